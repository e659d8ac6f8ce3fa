//! What changes.

use super::{Batch, Known, KnownStep, READ, Statement};
use crate::fold::{Claim, StepStatus};
use crate::store::Applied;
use std::collections::HashMap;

/// What a store writes. Steps and jobs that are not there yet have no row; what points at them says where they stand here.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    /// What became of each statement.
    pub(crate) applied: Vec<Applied>,
    pub(crate) jobs: Vec<JobChange<'a>>,
    pub(crate) steps: Vec<StepChange<'a>>,
    /// Which statements are kept, and with which of the steps.
    pub(crate) results: Vec<(usize, Option<usize>)>,
    pub(crate) edges: Vec<EdgeRow<'a>>,
    pub(crate) pairs: Vec<PairRow>,
}

/// A job that is new, or that changes.
pub(crate) struct JobChange<'a> {
    pub(crate) known: Option<i64>,
    pub(crate) job_id: &'a str,
    /// When it was created, as far as is known now.
    pub(crate) created_us: i64,
    /// Whether that changed.
    pub(crate) is_older: bool,
    /// How many more of its steps began, ended, failed.
    pub(crate) begun: i64,
    pub(crate) ended: i64,
    pub(crate) failed: i64,
    /// When the last of the steps that ended now did.
    pub(crate) ended_us: Option<i64>,
}

/// A step that is new, or that changes.
pub(crate) struct StepChange<'a> {
    pub(crate) known: Option<i64>,
    pub(crate) step_id: &'a str,
    /// The job that it belongs to from now on; `None` where that does not change.
    pub(crate) job: Option<usize>,
    /// The statement that decides its state now; `None` where that does not change.
    pub(crate) decided_by: Option<usize>,
    /// When it began; `None` where that does not change.
    pub(crate) started_us: Option<i64>,
    /// What it read before was read earlier than was known.
    pub(crate) has_moved: bool,
}

/// A dataset that a Result read or wrote.
pub(crate) struct EdgeRow<'a> {
    pub(crate) dataset: i64,
    pub(crate) kind: i64,
    /// Of a read: when the step began, since it saw what was there then. Of a write: when the Result said so.
    pub(crate) seen_us: i64,
    pub(crate) at_us: i64,
    /// Among [`Plan::results`].
    pub(crate) result: usize,
    pub(crate) position: i64,
    pub(crate) step: usize,
    pub(crate) version: Option<&'a str>,
    pub(crate) row_count: Option<i64>,
    pub(crate) bytes: Option<i64>,
}

/// What an output was made from.
pub(crate) struct PairRow {
    pub(crate) step: usize,
    pub(crate) output: i64,
    pub(crate) input: i64,
    pub(crate) result: usize,
    pub(crate) at_us: i64,
    pub(crate) is_own: bool,
}

/// A step while the statements are gone through.
struct Folding<'a> {
    known: Option<&'a KnownStep>,
    step_id: &'a str,
    job: Option<usize>,
    status: StepStatus,
    claim: Option<Claim>,
    decided_by: Option<usize>,
    started_us: Option<i64>,
}

impl<'a> Plan<'a> {
    /// Goes through the statements in their order.
    pub(crate) fn new(batch: &'a Batch<'a>, known: &'a Known) -> Self {
        let mut plan = Self::default();
        let mut steps: Vec<Folding<'a>> = Vec::new();
        let (mut step_places, mut job_places) = (HashMap::new(), HashMap::new());
        let mut kept: HashMap<&str, ()> = HashMap::new();
        for (n, statement) in batch.statements.iter().enumerate() {
            if let Some(said) = &statement.said
                && (known.results.contains(said.identity)
                    || kept.insert(said.identity, ()).is_some())
            {
                plan.applied.push(Applied::Duplicate);
                continue;
            }
            let Some(step_id) = statement.step_id else {
                plan.results.push((n, None));
                plan.applied.push(Applied::Skipped);
                continue;
            };
            let place = *step_places.entry(step_id).or_insert_with(|| {
                steps.push(Folding::new(step_id, known.steps.get(step_id)));
                steps.len() - 1
            });
            let step = &mut steps[place];
            if let Some(job_id) = statement.job_id {
                let job = *job_places.entry(job_id).or_insert_with(|| {
                    plan.jobs
                        .push(JobChange::new(job_id, statement.at_us, known));
                    plan.jobs.len() - 1
                });
                plan.jobs[job].seen(statement.at_us, known);
                if step.known.is_none_or(|known| known.job.is_none()) {
                    step.job.get_or_insert(job);
                }
            }
            let decides = step.fold(n, statement);
            if statement.said.is_some() {
                plan.results.push((n, Some(place)));
                plan.keep(statement, place, known);
            }
            plan.applied.push(if decides || statement.status.is_none() {
                Applied::Applied
            } else {
                Applied::Superseded
            });
        }
        // What a step read, it read when it began.
        for edge in plan.edges.iter_mut().filter(|edge| edge.kind == READ) {
            edge.seen_us = steps[edge.step].started_us.unwrap_or(edge.at_us);
        }
        for step in &steps {
            plan.count(step, known);
        }
        plan.steps = steps.into_iter().map(Folding::change).collect();
        plan
    }

    fn keep(&mut self, statement: &'a Statement<'a>, step: usize, known: &Known) {
        let result = self.results.len() - 1;
        let at_us = statement.at_us;
        for named in &statement.datasets {
            let metadata = &named.reference.metadata;
            let count = |name: &str| metadata.get(name).and_then(serde_json::Value::as_i64);
            let text = |name: &str| metadata.get(name).and_then(serde_json::Value::as_str);
            self.edges.push(EdgeRow {
                dataset: known.datasets[named.location],
                kind: named.kind,
                seen_us: at_us,
                at_us,
                result,
                position: named.position,
                step,
                version: text("version")
                    .or_else(|| text("etag"))
                    .filter(|version| !version.contains('\0')),
                row_count: count("row_count"),
                bytes: count("size"),
            });
        }
        self.pairs
            .extend(statement.pairs.iter().map(|pair| PairRow {
                step,
                output: known.datasets[pair.output],
                input: known.datasets[pair.input],
                result,
                at_us,
                is_own: pair.is_own,
            }));
    }

    /// Adds to the counts of the step's job what changed about the step.
    fn count(&mut self, step: &Folding<'a>, known: &Known) {
        let counted = step
            .known
            .filter(|known| known.job.is_some())
            .map(|known| known.status);
        let job = match (step.job, step.known.and_then(|known| known.job)) {
            (Some(joined), _) => joined,
            (None, Some(id)) if step.decided_by.is_some() => self.known_job(id, known),
            _ => return,
        };
        let job = &mut self.jobs[job];
        let delta = |of: fn(StepStatus) -> bool| {
            i64::from(of(step.status)) - counted.map_or(0, |before| i64::from(of(before)))
        };
        job.begun += delta(|status| status != StepStatus::Pending);
        job.ended += delta(StepStatus::is_terminal);
        job.failed += delta(|status| status == StepStatus::Failed);
        if step.status.is_terminal() {
            job.ended_us = job.ended_us.max(step.claim.as_ref().map(Claim::at_us));
        }
    }

    /// A job that no statement names, though one of its steps changed.
    fn known_job(&mut self, id: i64, known: &Known) -> usize {
        let found = self.jobs.iter().position(|job| job.known == Some(id));
        found.unwrap_or_else(|| {
            // The id is all that is written.
            let named = known.jobs.values().find(|job| job.id == id);
            self.jobs.push(JobChange {
                known: Some(id),
                job_id: "",
                created_us: named.map_or(i64::MAX, |job| job.created_us),
                is_older: false,
                begun: 0,
                ended: 0,
                failed: 0,
                ended_us: None,
            });
            self.jobs.len() - 1
        })
    }
}

impl<'a> JobChange<'a> {
    fn new(job_id: &'a str, at_us: i64, known: &Known) -> Self {
        let there = known.jobs.get(job_id);
        Self {
            known: there.map(|job| job.id),
            job_id,
            created_us: there.map_or(at_us, |job| job.created_us),
            is_older: false,
            begun: 0,
            ended: 0,
            failed: 0,
            ended_us: None,
        }
    }

    /// Until somebody creates it, a job is as old as its first Result, whichever comes first.
    fn seen(&mut self, at_us: i64, known: &Known) {
        let is_declared = known
            .jobs
            .get(self.job_id)
            .is_some_and(|job| job.is_declared);
        if !is_declared && at_us < self.created_us {
            self.created_us = at_us;
            self.is_older = true;
        }
    }

    /// Whether its row changes, where it has one.
    pub(crate) fn changes(&self) -> bool {
        self.is_older
            || (self.begun, self.ended, self.failed) != (0, 0, 0)
            || self.ended_us.is_some()
    }
}

impl<'a> Folding<'a> {
    fn new(step_id: &'a str, known: Option<&'a KnownStep>) -> Self {
        Self {
            known,
            step_id,
            job: None,
            status: known.map_or(StepStatus::Pending, |known| known.status),
            claim: known.and_then(|known| known.claim.clone()),
            decided_by: None,
            started_us: known.and_then(|known| known.started_us),
        }
    }

    /// Whether the statement decides the state from now on.
    fn fold(&mut self, n: usize, statement: &Statement<'_>) -> bool {
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

    fn change(self) -> StepChange<'a> {
        let before = self.known.and_then(|known| known.started_us);
        StepChange {
            known: self.known.map(|known| known.id),
            step_id: self.step_id,
            job: self.job,
            decided_by: self.decided_by,
            started_us: self.started_us.filter(|us| before != Some(*us)),
            has_moved: before.is_some() && before != self.started_us,
        }
    }
}
