//! Which Results count for a step, and which are only somebody's claim about it.
//!
//! Anybody may send a Command that names any step. Its Result counts for the step only where it agrees with what the step is: its job,
//! its service, its action and its correlation ids. What `add_step` declared is what the step is. What nobody declared follows from the
//! Results themselves: in the order of their instants, and of their identities at the same instant, each either contradicts what
//! is established so far, and is a claim, or counts and establishes what was still open. The order in which they arrive does not matter.

use super::{Known, KnownStep, Statement};
use serde::Serialize;

/// In what a Result differs from the step that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// Its correlation id is none of the step's.
    CorrelationId,
    /// Another service answered.
    Handler,
    /// It answers another action.
    Action,
    /// It names another job.
    JobId,
}

impl Difference {
    /// The field in which it shows.
    pub fn field(self) -> &'static str {
        match self {
            Self::CorrelationId => "correlation_id",
            Self::Handler => "handler",
            Self::Action => "action",
            Self::JobId => "job_id",
        }
    }
}

/// Whether a Result counts for the step that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It counts whatever it says: it is an update, or it was recorded before there were claims.
    Accepted,
    /// It counts, since it agrees with the step.
    Counts,
    /// It is somebody's claim: it is kept and changes nothing.
    Claim(Difference),
}

impl Standing {
    pub(crate) fn counts(self) -> bool {
        !matches!(self, Self::Claim(_))
    }

    /// As it is stored. What is less than 2 counts, which queries say as well.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Accepted => 0,
            Self::Counts => 1,
            Self::Claim(Difference::CorrelationId) => 2,
            Self::Claim(Difference::Handler) => 3,
            Self::Claim(Difference::Action) => 4,
            Self::Claim(Difference::JobId) => 5,
        }
    }

    pub(crate) fn of_number(number: i64) -> Self {
        match number {
            0 => Self::Accepted,
            2 => Self::Claim(Difference::CorrelationId),
            3 => Self::Claim(Difference::Handler),
            4 => Self::Claim(Difference::Action),
            5 => Self::Claim(Difference::JobId),
            _ => Self::Counts,
        }
    }

    /// In what it differs from its step, where it is a claim.
    pub(crate) fn difference(self) -> Option<Difference> {
        match self {
            Self::Claim(difference) => Some(difference),
            Self::Accepted | Self::Counts => None,
        }
    }
}

/// A job that has a row, or one that has none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum JobKey<'a> {
    Known(i64),
    New(&'a str),
}

/// What the Results of a step must agree with; what is `None` or empty is still open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms<'a> {
    pub(crate) job: Option<JobKey<'a>>,
    pub(crate) handler: Option<&'a str>,
    pub(crate) action: Option<&'a str>,
    pub(crate) ids: Vec<&'a str>,
    /// Services and actions that were declared beside these, where a step was changed before it was gone on with.
    pub(crate) also: Vec<(&'a str, &'a str)>,
    /// Where the last Result stands that established any of it, in the order of instants and identities.
    pub(crate) since: Option<(i64, &'a str)>,
}

impl<'a> Terms<'a> {
    /// What is known of the step, its Results included.
    pub(crate) fn known(step: &'a KnownStep) -> Self {
        let mut terms = Self {
            job: step.job.map(JobKey::Known),
            handler: step.handler.as_deref(),
            action: step.action.as_deref(),
            ids: step.ids(),
            also: step.also(),
            since: step.since.as_ref().map(|(us, id)| (*us, id.as_str())),
        };
        if terms.ids.is_empty() {
            terms.ids.extend(step.seen_id.as_deref());
        }
        terms
    }

    /// What was declared of the step, without what its Results established.
    pub(crate) fn declared(step: &'a KnownStep) -> Self {
        Self {
            ids: step.ids(),
            since: None,
            ..if step.is_declared {
                Self::known(step)
            } else {
                Self::default()
            }
        }
    }

    /// Whether a Result counts.
    pub(crate) fn judge(&self, statement: &Statement<'_>, job: Option<JobKey<'_>>) -> Standing {
        if let Some(standing) = statement.standing {
            return standing;
        }
        let id = statement.correlation_id;
        if !self.ids.is_empty() && id.is_some_and(|id| !self.ids.contains(&id)) {
            return Standing::Claim(Difference::CorrelationId);
        }
        if let Some(difference) = work_differs(statement, self.handler, self.action)
            && !self.also.iter().any(|(handler, action)| {
                work_differs(statement, Some(handler), Some(action)).is_none()
            })
        {
            return Standing::Claim(difference);
        }
        if self.job.zip(job).is_some_and(|(own, said)| own != said) {
            return Standing::Claim(Difference::JobId);
        }
        Standing::Counts
    }

    /// Goes through statements in the order of their places; which of them count.
    pub(crate) fn hear(
        &mut self,
        statements: impl Iterator<Item = &'a Statement<'a>>,
        known: &'a Known,
    ) -> Vec<Standing> {
        let judged = statements.map(|statement| {
            let job = statement.job_id.map(|id| known.job(id));
            let standing = self.judge(statement, job);
            if standing.counts() {
                self.learn(statement, job);
            }
            standing
        });
        judged.collect()
    }

    /// Whether both ask the same of a Result.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        (self.job, self.handler, self.action) == (other.job, other.handler, other.action)
            && (&self.ids, &self.also) == (&other.ids, &other.also)
    }

    /// Establishes what was open and the Result says; whether there was any such thing.
    pub(crate) fn learn(&mut self, statement: &'a Statement<'a>, job: Option<JobKey<'a>>) -> bool {
        fn fill<T>(open: &mut Option<T>, said: Option<T>) -> bool {
            let fills = open.is_none() && said.is_some();
            if fills {
                *open = said;
            }
            fills
        }
        let mut learned = fill(&mut self.job, job);
        learned |= fill(&mut self.handler, statement.handler.as_deref());
        learned |= fill(&mut self.action, statement.action.as_deref());
        if let Some(id) = statement.correlation_id.filter(|_| self.ids.is_empty()) {
            self.ids.push(id);
            learned = true;
        }
        if learned {
            self.since = statement.place();
        }
        learned
    }
}

/// Whether another service answered, or another action. What a Result does not say differs from nothing.
fn work_differs(
    statement: &Statement<'_>,
    handler: Option<&str>,
    action: Option<&str>,
) -> Option<Difference> {
    let differs = |own: Option<&str>, said: Option<&str>| {
        own.zip(said).is_some_and(|(own, said)| own != said)
    };
    if differs(handler, statement.handler.as_deref()) {
        return Some(Difference::Handler);
    }
    let mut names = statement.action_names.iter();
    let is_named = names.any(|name| action == Some(*name));
    let is_other = differs(action, statement.action.as_deref()) && !is_named;
    is_other.then_some(Difference::Action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_is_read_as_it_was_written() {
        for number in 0..6 {
            assert_eq!(Standing::of_number(number).number(), number);
            assert_eq!(Standing::of_number(number).counts(), number < 2);
        }
    }
}
