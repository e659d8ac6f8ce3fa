//! How the status of a step follows from its Results, whatever their order of arrival.

use pudato_protocol::Status;
use serde::Serialize;

/// The status of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepStatus {
    /// The step has not begun, as far as the registry knows.
    Pending,
    /// The step is running.
    Running,
    /// The step succeeded.
    Success,
    /// The step failed.
    Failed,
    /// The step was skipped on purpose.
    Skipped,
}

impl StepStatus {
    /// The name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// Parses the name in the contract.
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

    /// Whether only another terminal status can follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Skipped)
    }

    /// A higher rank is never replaced by a lower one.
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

/// The order in which Results decide the status of a step. The greatest decides: a later end replaces an earlier one, at the same instant
/// an error replaces a success, and then the greater identity wins. Because the order is total, the order of arrival does not matter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Precedence {
    rank: u8,
    at_us: i64,
    is_error: bool,
    identity: String,
}

impl Precedence {
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
    fn a_later_end_an_error_and_a_greater_identity_decide() {
        let precedence = |status, at_us, identity| Precedence::new(status, at_us, identity);
        let ordered = [
            precedence(StepStatus::Pending, 9, "z"),
            precedence(StepStatus::Running, 1, "a"),
            precedence(StepStatus::Running, 9, "a"),
            precedence(StepStatus::Failed, 1, "z"),
            precedence(StepStatus::Success, 2, "a"),
            precedence(StepStatus::Success, 2, "b"),
            precedence(StepStatus::Failed, 2, "a"),
        ];
        assert!(ordered.is_sorted());
    }
}
