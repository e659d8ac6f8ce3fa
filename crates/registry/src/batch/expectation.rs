//! Decides which Results count for a step.
//!
//! Anybody can send a Command that names any step. Its Result counts for the step only if it matches the step's job, service, action and
//! correlation ids; otherwise it is a mismatch, which the registry stores but does not apply. `add_step` declares these values. If nobody
//! declared them, they follow from the Results themselves: in the order of their instants, then of their identities, each Result either
//! contradicts the values established so far (a mismatch) or counts and establishes the open ones. The order of arrival does not matter.

use super::{Known, KnownStep, Statement};
use serde::Serialize;

/// The field in which a Result differs from the step that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The step has other correlation ids.
    CorrelationId,
    /// The Result comes from another service.
    Handler,
    /// The Result answers another action.
    Action,
    /// The Result names another job.
    JobId,
}

impl Difference {
    /// The name of the field in a Result.
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
pub(crate) enum Verdict {
    /// Counts without a check: an update, or a Result that was recorded before the registry checked for mismatches.
    Accepted,
    /// Counts because it matches the step.
    Matches,
    /// Does not match the step. The registry stores it and changes nothing.
    Mismatch(Difference),
}

impl Verdict {
    pub(crate) fn counts(self) -> bool {
        !matches!(self, Self::Mismatch(_))
    }

    /// The number that the column `standing` stores. Queries rely on numbers below 2 meaning "counts".
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Accepted => 0,
            Self::Matches => 1,
            Self::Mismatch(Difference::CorrelationId) => 2,
            Self::Mismatch(Difference::Handler) => 3,
            Self::Mismatch(Difference::Action) => 4,
            Self::Mismatch(Difference::JobId) => 5,
        }
    }

    pub(crate) fn of_number(number: i64) -> Self {
        match number {
            0 => Self::Accepted,
            2 => Self::Mismatch(Difference::CorrelationId),
            3 => Self::Mismatch(Difference::Handler),
            4 => Self::Mismatch(Difference::Action),
            5 => Self::Mismatch(Difference::JobId),
            _ => Self::Matches,
        }
    }

    /// The field that differs, if the Result does not match.
    pub(crate) fn difference(self) -> Option<Difference> {
        match self {
            Self::Mismatch(difference) => Some(difference),
            Self::Accepted | Self::Matches => None,
        }
    }
}

/// A job, by its row or, if it has none yet, by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum JobKey<'a> {
    Known(i64),
    New(&'a str),
}

/// The values that the Results of a step must match. `None` and an empty list mean that the value is still open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expectation<'a> {
    pub(crate) job: Option<JobKey<'a>>,
    pub(crate) handler: Option<&'a str>,
    pub(crate) action: Option<&'a str>,
    pub(crate) ids: Vec<&'a str>,
    /// Further services and actions that were declared, because the step was changed before it was resumed.
    pub(crate) also: Vec<(&'a str, &'a str)>,
    /// The instant and identity of the last Result that established one of these values.
    pub(crate) since: Option<(i64, &'a str)>,
}

impl<'a> Expectation<'a> {
    /// Everything known about the step, including what its Results established.
    pub(crate) fn known(step: &'a KnownStep) -> Self {
        let mut expectation = Self {
            job: step.job.map(JobKey::Known),
            handler: step.handler.as_deref(),
            action: step.action.as_deref(),
            ids: step.ids(),
            also: step.also(),
            since: step.since.as_ref().map(|(us, id)| (*us, id.as_str())),
        };
        if expectation.ids.is_empty() {
            expectation.ids.extend(step.seen_id.as_deref());
        }
        expectation
    }

    /// The declared values alone.
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

    /// Evaluates one Result.
    pub(crate) fn evaluate(&self, statement: &Statement<'_>, job: Option<JobKey<'_>>) -> Verdict {
        if let Some(verdict) = statement.verdict {
            return verdict;
        }
        let id = statement.correlation_id;
        if !self.ids.is_empty() && id.is_some_and(|id| !self.ids.contains(&id)) {
            return Verdict::Mismatch(Difference::CorrelationId);
        }
        if let Some(difference) = work_differs(statement, self.handler, self.action)
            && !self.also.iter().any(|(handler, action)| {
                work_differs(statement, Some(handler), Some(action)).is_none()
            })
        {
            return Verdict::Mismatch(difference);
        }
        if self.job.zip(job).is_some_and(|(own, stated)| own != stated) {
            return Verdict::Mismatch(Difference::JobId);
        }
        Verdict::Matches
    }

    /// Evaluates statements in the given order, which must be that of their places, and learns from those that count.
    pub(crate) fn evaluate_all(
        &mut self,
        statements: impl Iterator<Item = &'a Statement<'a>>,
        known: &'a Known,
    ) -> Vec<Verdict> {
        let evaluated = statements.map(|statement| {
            let job = statement.job_id.map(|id| known.job(id));
            let verdict = self.evaluate(statement, job);
            if verdict.counts() {
                self.learn(statement, job);
            }
            verdict
        });
        evaluated.collect()
    }

    /// Whether both expect the same values.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        (self.job, self.handler, self.action) == (other.job, other.handler, other.action)
            && (&self.ids, &self.also) == (&other.ids, &other.also)
    }

    /// Fills the open values from the Result, and returns whether there were any.
    pub(crate) fn learn(&mut self, statement: &'a Statement<'a>, job: Option<JobKey<'a>>) -> bool {
        fn fill<T>(open: &mut Option<T>, stated: Option<T>) -> bool {
            let fills = open.is_none() && stated.is_some();
            if fills {
                *open = stated;
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

/// Compares service and action. A value that the Result leaves out never differs.
fn work_differs(
    statement: &Statement<'_>,
    handler: Option<&str>,
    action: Option<&str>,
) -> Option<Difference> {
    let differs = |own: Option<&str>, stated: Option<&str>| {
        own.zip(stated).is_some_and(|(own, stated)| own != stated)
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
    fn a_verdict_is_read_back_as_it_was_stored() {
        for number in 0..6 {
            assert_eq!(Verdict::of_number(number).number(), number);
            assert_eq!(Verdict::of_number(number).counts(), number < 2);
        }
    }
}
