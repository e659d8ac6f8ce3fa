//! How the state of a step follows from its Results, in whatever order they come (design.md, "Registry").

use pudato_protocol::Status;
use serde::Serialize;

/// The state of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepStatus {
    /// Nothing is known to have begun.
    Pending,
    /// It has begun.
    Running,
    /// It ended well.
    Success,
    /// It ended badly.
    Failed,
    /// It was decided not to run it.
    Skipped,
}

impl StepStatus {
    /// Its name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// Reads its name.
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::Pending,
            Self::Running,
            Self::Success,
            Self::Failed,
            Self::Skipped,
        ]
        .into_iter()
        .find(|status| status.as_str() == name)
    }

    /// Whether nothing but another end can follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Skipped)
    }

    /// How far it is: nothing replaces a higher rank by a lower one.
    pub(crate) fn rank(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Running => 1,
            Self::Success | Self::Failed | Self::Skipped => 2,
        }
    }
}

impl From<Status> for StepStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Running,
            Status::Success => Self::Success,
            Status::Error => Self::Failed,
        }
    }
}

/// What a Result claims about its step. The greatest claim decides; since that is a total order, the order of arrival
/// does not matter: a later end replaces an earlier one, at the same instant an error a success, and at last the greater
/// identity the smaller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    rank: u8,
    at_us: i64,
    is_error: bool,
    identity: String,
}

impl Claim {
    pub(crate) fn new(status: StepStatus, at_us: i64, identity: &str) -> Self {
        Self {
            rank: status.rank(),
            at_us,
            is_error: status == StepStatus::Failed,
            identity: identity.to_owned(),
        }
    }

    pub(crate) fn at_us(&self) -> i64 {
        self.at_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_ordered_as_the_design_says() {
        let claim = |status, at_us, identity| Claim::new(status, at_us, identity);
        let ordered = [
            claim(StepStatus::Pending, 9, "z"),
            claim(StepStatus::Running, 1, "a"),
            claim(StepStatus::Running, 9, "a"),
            claim(StepStatus::Failed, 1, "z"),
            claim(StepStatus::Success, 2, "a"),
            claim(StepStatus::Success, 2, "b"),
            claim(StepStatus::Failed, 2, "a"),
        ];
        assert!(ordered.is_sorted());
    }
}
