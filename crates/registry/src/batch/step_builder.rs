//! Builds the new state of one step from the statements about it.

use super::plan::StepChange;
use super::{Batch, Expectation, Known, KnownStep, Statement, Verdict};
use crate::error::{Error, ErrorKind};
use crate::fold::{Precedence, StepStatus};

/// The most correlation ids, and the most services and actions, that a step can declare. They are part of its row, which is read with every
/// Result.
const DECLARED_MAX: usize = 1_000;

pub(super) struct StepBuilder<'a> {
    pub(super) known: Option<&'a KnownStep>,
    step_id: &'a str,
    pub(super) is_rebuilt: bool,
    pub(super) expectation: Expectation<'a>,
    /// The declared correlation ids.
    ids: Vec<&'a str>,
    /// The indexes of the statements about the step.
    pub(super) statements: Vec<usize>,
    pub(super) job: Option<usize>,
    /// `add_step` declared the step, in this batch or before.
    pub(super) is_declared: bool,
    pub(super) status: StepStatus,
    pub(super) precedence: Option<Precedence>,
    pub(super) decided_by: Option<usize>,
    pub(super) started_us: Option<i64>,
}

impl<'a> StepBuilder<'a> {
    pub(super) fn new(step_id: &'a str, batch: &Batch<'_>, known: &'a Known) -> Self {
        let known = known.steps.get(step_id);
        let is_rebuilt = known.is_some_and(|known| batch.rebuilt.contains(&known.id));
        // A rebuilt step starts from its declared values alone.
        let before = known.filter(|_| !is_rebuilt);
        Self {
            known,
            step_id,
            is_rebuilt,
            expectation: known.map(Expectation::known).unwrap_or_default(),
            ids: known.map(KnownStep::ids).unwrap_or_default(),
            statements: Vec::new(),
            job: None,
            is_declared: known.is_some_and(|known| known.is_declared),
            status: before.map_or(StepStatus::Pending, |known| known.status),
            precedence: before.and_then(|known| known.precedence.clone()),
            decided_by: None,
            started_us: before.and_then(|known| known.started_us),
        }
    }

    /// Evaluates which of the statements count.
    pub(super) fn evaluate(
        &mut self,
        batch: &'a Batch<'a>,
        known: &'a Known,
        verdicts: &mut [Verdict],
    ) -> Result<(), Error> {
        let statement = |n: &usize| &batch.statements[*n];
        let mut order: Vec<usize> = self.statements.clone();
        order.retain(|n| statement(n).record.is_some());
        order.sort_by_key(|n| statement(n).place());
        if let (Some(step), true) = (self.known, self.is_rebuilt) {
            // The stored statements should lead to the stored values. If they do not, old statements were pruned, and the stored values
            // count as declared.
            let mut expectation = Expectation::declared(step);
            let before = order.iter().filter(|n| statement(n).row.is_some());
            expectation.evaluate_all(before.map(statement), known);
            if expectation.agrees(&self.expectation) {
                self.expectation = Expectation::declared(step);
            }
        }
        for n in self.statements.clone() {
            self.declare(&batch.statements[n], known)?;
        }
        let statements = self
            .expectation
            .evaluate_all(order.iter().map(statement), known);
        for (n, verdict) in order.into_iter().zip(statements) {
            verdicts[n] = verdict;
        }
        let expected = self
            .statements
            .iter()
            .filter_map(|n| batch.statements[*n].expected_job);
        for job_id in expected {
            if self.expectation.job != Some(known.job(job_id)) {
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

    /// Takes over the declared values of a statement.
    fn declare(&mut self, statement: &'a Statement<'a>, known: &'a Known) -> Result<(), Error> {
        let Some(declares) = &statement.declares else {
            return Ok(());
        };
        let is_declared = self.known.is_some_and(|step| step.is_declared);
        if let Some((handler, action)) = declares.work {
            self.is_declared = true;
            let job = statement.job_id.map(|id| known.job(id));
            if !is_declared {
                self.expectation.job = job;
                (self.expectation.handler, self.expectation.action) = (Some(handler), Some(action));
            } else if self.expectation.job != job {
                let context = format!(
                    "payload.job_id: the step {:?} was declared as part of another job; expected that job's id, or another step_id",
                    self.step_id
                );
                return Err(Error::new(ErrorKind::Invalid, context));
            } else if !self.known.is_some_and(|step| step.does((handler, action))) {
                self.check_room(
                    "action",
                    "services and actions",
                    self.expectation.also.len(),
                )?;
                self.expectation.also.push((handler, action));
            }
        }
        if let Some(id) = declares.correlation_id
            && !self.ids.contains(&id)
        {
            self.check_room("correlation_id", "correlation ids", self.ids.len())?;
            match declares.work {
                // The id of the declaration is shown as the step's own.
                Some(_) if !is_declared => self.ids.insert(0, id),
                _ => self.ids.push(id),
            }
            self.expectation.ids.clone_from(&self.ids);
        }
        Ok(())
    }

    fn check_room(&self, field: &str, what: &str, count: usize) -> Result<(), Error> {
        if count < DECLARED_MAX {
            return Ok(());
        }
        let context = format!(
            "payload.{field}: the step {:?} has {DECLARED_MAX} {what}, which is the limit; add another step",
            self.step_id
        );
        Err(Error::new(ErrorKind::Invalid, context))
    }

    /// Applies a statement that counts, and returns whether it now decides the status.
    pub(super) fn apply(&mut self, n: usize, statement: &Statement<'_>) -> bool {
        if let Some(us) = statement.started_us {
            self.started_us = Some(self.started_us.map_or(us, |known| known.min(us)));
        }
        let (Some(status), Some(record)) = (statement.status, &statement.record) else {
            return false;
        };
        let precedence = Precedence::new(status, statement.at_us, record.identity);
        if self
            .precedence
            .as_ref()
            .is_some_and(|decided| precedence <= *decided)
        {
            return false;
        }
        self.precedence = Some(precedence);
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
            expectation: self.expectation,
            ids: self.ids,
        }
    }
}
