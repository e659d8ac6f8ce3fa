//! A step while the statements about it are gone through.

use super::plan::StepChange;
use super::{Batch, Known, KnownStep, Standing, Statement, Terms};
use crate::error::{Error, ErrorKind};
use crate::fold::{Claim, StepStatus};

/// Most correlation ids that a step can declare, and most services and actions: they stand in its row, which is read with every Result.
const DECLARED_MAX: usize = 1_000;

pub(super) struct Folding<'a> {
    pub(super) known: Option<&'a KnownStep>,
    step_id: &'a str,
    pub(super) is_rebuilt: bool,
    pub(super) terms: Terms<'a>,
    /// The correlation ids that were declared.
    ids: Vec<&'a str>,
    /// Places of the statements about it.
    pub(super) heard: Vec<usize>,
    pub(super) job: Option<usize>,
    /// `add_step` declared it, before or now.
    pub(super) is_declared: bool,
    pub(super) status: StepStatus,
    pub(super) claim: Option<Claim>,
    pub(super) decided_by: Option<usize>,
    pub(super) started_us: Option<i64>,
}

impl<'a> Folding<'a> {
    pub(super) fn new(step_id: &'a str, batch: &Batch<'_>, known: &'a Known) -> Self {
        let known = known.steps.get(step_id);
        let is_rebuilt = known.is_some_and(|known| batch.rebuilt.contains(&known.id));
        // Of a step that is worked out anew nothing is known but what was declared.
        let before = known.filter(|_| !is_rebuilt);
        Self {
            known,
            step_id,
            is_rebuilt,
            terms: known.map(Terms::known).unwrap_or_default(),
            ids: known.map(KnownStep::ids).unwrap_or_default(),
            heard: Vec::new(),
            job: None,
            is_declared: known.is_some_and(|known| known.is_declared),
            status: before.map_or(StepStatus::Pending, |known| known.status),
            claim: before.and_then(|known| known.claim.clone()),
            decided_by: None,
            started_us: before.and_then(|known| known.started_us),
        }
    }

    /// Works out which of the statements about it count.
    pub(super) fn judge(
        &mut self,
        batch: &'a Batch<'a>,
        known: &'a Known,
        standings: &mut [Standing],
    ) -> Result<(), Error> {
        let statement = |n: &usize| &batch.statements[*n];
        let mut order: Vec<usize> = self.heard.clone();
        order.retain(|n| statement(n).said.is_some());
        order.sort_by_key(|n| statement(n).place());
        if let (Some(step), true) = (self.known, self.is_rebuilt) {
            // What was said before gives what is known; where it does not, some of it was removed because it was old, and what is
            // known stands as if it were declared.
            let mut terms = Terms::declared(step);
            let before = order.iter().filter(|n| statement(n).row.is_some());
            terms.hear(before.map(statement), known);
            if terms.agrees(&self.terms) {
                self.terms = Terms::declared(step);
            }
        }
        for n in self.heard.clone() {
            self.declare(&batch.statements[n], known)?;
        }
        let heard = self.terms.hear(order.iter().map(statement), known);
        for (n, standing) in order.into_iter().zip(heard) {
            standings[n] = standing;
        }
        let expected = self
            .heard
            .iter()
            .filter_map(|n| batch.statements[*n].expected_job);
        for job_id in expected {
            if self.terms.job != Some(known.job(job_id)) {
                let context = match known.jobs.contains_key(job_id) {
                    true => format!(
                        "payload.job_id: the step {:?} does not belong to the job {job_id:?}; expected the id of its own job",
                        self.step_id
                    ),
                    false => format!("payload.job_id: there is no job {job_id:?}"),
                };
                return Err(Error::new(ErrorKind::Invalid, context));
            }
        }
        Ok(())
    }

    /// Takes over what a statement declares about the step.
    fn declare(&mut self, statement: &'a Statement<'a>, known: &'a Known) -> Result<(), Error> {
        let Some(declares) = &statement.declares else {
            return Ok(());
        };
        let is_declared = self.known.is_some_and(|step| step.is_declared);
        if let Some((handler, action)) = declares.work {
            self.is_declared = true;
            let job = statement.job_id.map(|id| known.job(id));
            if !is_declared {
                self.terms.job = job;
                (self.terms.handler, self.terms.action) = (Some(handler), Some(action));
            } else if self.terms.job != job {
                let context = format!(
                    "payload.job_id: the step {:?} was declared as one of another job; expected that job's id, or another step_id",
                    self.step_id
                );
                return Err(Error::new(ErrorKind::Invalid, context));
            } else if !self.known.is_some_and(|step| step.does((handler, action))) {
                self.check_room("action", "services and actions", self.terms.also.len())?;
                self.terms.also.push((handler, action));
            }
        }
        if let Some(id) = declares.correlation_id
            && !self.ids.contains(&id)
        {
            self.check_room("correlation_id", "correlation ids", self.ids.len())?;
            match declares.work {
                // The one that comes with the declaration is shown as the step's own.
                Some(_) if !is_declared => self.ids.insert(0, id),
                _ => self.ids.push(id),
            }
            self.terms.ids.clone_from(&self.ids);
        }
        Ok(())
    }

    fn check_room(&self, field: &str, what: &str, count: usize) -> Result<(), Error> {
        if count < DECLARED_MAX {
            return Ok(());
        }
        let context = format!(
            "payload.{field}: the step {:?} has {DECLARED_MAX} {what}, which is the most that one can have; add another step",
            self.step_id
        );
        Err(Error::new(ErrorKind::Invalid, context))
    }

    /// Whether the statement, which counts, decides the state from now on.
    pub(super) fn fold(&mut self, n: usize, statement: &Statement<'_>) -> bool {
        if let Some(us) = statement.started_us {
            self.started_us = Some(self.started_us.map_or(us, |known| known.min(us)));
        }
        let (Some(status), Some(said)) = (statement.status, &statement.said) else {
            return false;
        };
        let claim = Claim::new(status, statement.at_us, said.identity);
        if self.claim.as_ref().is_some_and(|decided| claim <= *decided) {
            return false;
        }
        self.claim = Some(claim);
        self.status = status;
        self.decided_by = Some(n);
        true
    }

    pub(super) fn change(self) -> StepChange<'a> {
        let before = self.known.filter(|_| !self.is_rebuilt);
        let before = before.and_then(|known| known.started_us);
        StepChange {
            known: self.known.map(|known| known.id),
            step_id: self.step_id,
            is_rebuilt: self.is_rebuilt,
            job: self.job,
            decided_by: self.decided_by,
            started_us: self.started_us.filter(|us| before != Some(*us)),
            has_moved: before.is_some() && before != self.started_us,
            terms: self.terms,
            ids: self.ids,
        }
    }
}
