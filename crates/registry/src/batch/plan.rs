//! The plan: the rows that a batch adds or changes.

use super::step_builder::StepBuilder;
use super::{Batch, Expectation, JobKey, Known, READ, Statement, Verdict};
use crate::error::Error;
use crate::fold::{Precedence, StepStatus};
use crate::store::Applied;
use std::collections::{HashMap, HashSet};

/// The changes that a store writes. New steps and jobs have no row yet, so other parts of the plan refer to them by index.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    /// The outcome of each new statement.
    pub(crate) applied: Vec<Applied>,
    pub(crate) jobs: Vec<JobChange<'a>>,
    pub(crate) steps: Vec<StepChange<'a>>,
    /// The statements to store.
    pub(crate) results: Vec<NewResult>,
    /// Stored Results whose verdict changed, by their rows.
    pub(crate) reevaluated: Vec<(i64, Verdict)>,
    pub(crate) edges: Vec<EdgeRow<'a>>,
    pub(crate) pairs: Vec<PairRow>,
}

/// A statement to store.
pub(crate) struct NewResult {
    /// The index into the statements of the batch.
    pub(crate) statement: usize,
    /// The index into [`Plan::steps`].
    pub(crate) step: Option<usize>,
    pub(crate) verdict: Verdict,
}

/// The Result that an edge comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// The index into [`Plan::results`].
    New(usize),
    /// The row of a Result that was stored before.
    Row(i64),
}

impl Source {
    /// The row of the Result; `results` holds the rows of [`Plan::results`].
    pub(crate) fn row(self, results: &[i64]) -> i64 {
        match self {
            Self::New(place) => results[place],
            Self::Row(row) => row,
        }
    }
}

/// A job that is added or changed.
pub(crate) struct JobChange<'a> {
    pub(crate) known: Option<i64>,
    pub(crate) job_id: &'a str,
    /// The earliest known time of creation.
    pub(crate) created_us: i64,
    /// Whether `created_us` changed.
    pub(crate) is_older: bool,
    /// How many more of its steps began, ended or failed.
    pub(crate) begun: i64,
    pub(crate) ended: i64,
    pub(crate) failed: i64,
    /// The same counts for declared steps.
    pub(crate) declared: Declared,
    /// When the last of the steps that ended in this batch did so.
    pub(crate) ended_us: Option<i64>,
    /// One of its steps was rebuilt, so the end of the last step must be looked up again.
    pub(crate) is_rebuilt: bool,
}

/// Changes of the numbers of declared steps: how many there are, began, ended and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) steps: i64,
    pub(crate) begun: i64,
    pub(crate) ended: i64,
    pub(crate) failed: i64,
}

/// A step that is added or changed.
pub(crate) struct StepChange<'a> {
    pub(crate) known: Option<i64>,
    pub(crate) step_id: &'a str,
    /// The step was rebuilt: its row and its edges are replaced.
    pub(crate) is_rebuilt: bool,
    /// The index of the job; `None` if the step has no job, or keeps the one in its row.
    pub(crate) job: Option<usize>,
    /// The statement that now decides the status; `None` if the status stays.
    pub(crate) decided_by: Option<usize>,
    /// When the step began; `None` if that stays.
    pub(crate) started_us: Option<i64>,
    /// The values that the Results must match. The store does not write them for a step that has a row and is not rebuilt.
    pub(crate) expectation: Expectation<'a>,
    /// The declared correlation ids.
    pub(crate) ids: Vec<&'a str>,
    /// The step began earlier than recorded, so its stored reads move as well.
    pub(crate) has_moved: bool,
}

/// A dataset that a Result read or wrote.
pub(crate) struct EdgeRow<'a> {
    pub(crate) dataset: i64,
    pub(crate) kind: i64,
    /// For a read, when the step began, because it read the contents of that instant. For a write, the timestamp of the Result.
    pub(crate) seen_us: i64,
    pub(crate) at_us: i64,
    pub(crate) result: Source,
    pub(crate) position: i64,
    pub(crate) step: usize,
    pub(crate) version: Option<&'a str>,
    pub(crate) row_count: Option<i64>,
    pub(crate) rows_changed: Option<i64>,
    pub(crate) bytes: Option<i64>,
}

/// One input of one output.
pub(crate) struct PairRow {
    pub(crate) step: usize,
    pub(crate) output: i64,
    pub(crate) input: i64,
    pub(crate) result: Source,
    pub(crate) at_us: i64,
    pub(crate) is_own: bool,
}

/// The outcome of looking up a statement.
enum Subject {
    /// The statement is a duplicate.
    Known,
    Nothing,
    /// The index of its step.
    Step(usize),
}

impl<'a> Plan<'a> {
    /// First evaluates which statements count, then applies those in their order.
    ///
    /// # Errors
    /// `Invalid`: the step is declared or updated as part of another job, or has too many correlation ids.
    pub(crate) fn new(batch: &'a Batch<'a>, known: &'a Known) -> Result<Self, Error> {
        let mut plan = Self::default();
        let mut steps: Vec<StepBuilder<'a>> = Vec::new();
        let (mut step_places, mut job_places) = (HashMap::new(), HashMap::new());
        let mut kept = HashSet::new();
        let mut about = Vec::with_capacity(batch.statements.len());
        for (n, statement) in batch.statements.iter().enumerate() {
            if let Some(record) = &statement.record
                && statement.row.is_none()
                && (known.results.contains(record.identity) || !kept.insert(record.identity))
            {
                about.push(Subject::Known);
                continue;
            }
            let Some(step_id) = statement.step_id else {
                about.push(Subject::Nothing);
                continue;
            };
            let place = *step_places.entry(step_id).or_insert_with(|| {
                steps.push(StepBuilder::new(step_id, batch, known));
                steps.len() - 1
            });
            steps[place].statements.push(n);
            about.push(Subject::Step(place));
            if let Some(job_id) = statement.job_id {
                let jobs = &mut plan.jobs;
                let job = *job_places.entry(known.job(job_id)).or_insert_with(|| {
                    jobs.push(JobChange::new(job_id, statement.at_us, known));
                    jobs.len() - 1
                });
                plan.jobs[job].seen(statement.at_us, known);
            }
        }
        let mut verdicts = vec![Verdict::Matches; batch.statements.len()];
        for step in &mut steps {
            step.evaluate(batch, known, &mut verdicts)?;
        }
        for (n, statement) in batch.statements.iter().enumerate() {
            let verdict = verdicts[n];
            let applied = match about[n] {
                Subject::Known => Applied::Duplicate,
                Subject::Nothing => {
                    plan.keep(n, statement, None, verdict, known);
                    Applied::Skipped
                }
                Subject::Step(place) => {
                    plan.keep(n, statement, Some(place), verdict, known);
                    match verdict.counts() {
                        false => Applied::Mismatched,
                        true if steps[place].apply(n, statement) => Applied::Applied,
                        true if statement.status.is_none() => Applied::Applied,
                        true => Applied::Superseded,
                    }
                }
            };
            if statement.row.is_none() {
                plan.applied.push(applied);
            }
        }
        // A step read its inputs when it began.
        for edge in plan.edges.iter_mut().filter(|edge| edge.kind == READ) {
            edge.seen_us = steps[edge.step].started_us.unwrap_or(edge.at_us);
        }
        for step in &mut steps {
            plan.count(step, &mut job_places);
        }
        plan.steps = steps.into_iter().map(StepBuilder::change).collect();
        Ok(plan)
    }

    /// Adds the statement and, if it counts, its lineage.
    fn keep(
        &mut self,
        n: usize,
        statement: &'a Statement<'a>,
        step: Option<usize>,
        verdict: Verdict,
        known: &Known,
    ) {
        let result = match statement.row {
            _ if statement.record.is_none() => return,
            Some((row, before)) => {
                if before != verdict {
                    self.reevaluated.push((row, verdict));
                }
                Source::Row(row)
            }
            None => {
                self.results.push(NewResult {
                    statement: n,
                    step,
                    verdict,
                });
                Source::New(self.results.len() - 1)
            }
        };
        let Some(step) = step.filter(|_| verdict.counts()) else {
            return;
        };
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
                rows_changed: count("rows_changed"),
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

    /// Subtracts the old state of the step from the counts of its old job, and adds the new state to those of its new job.
    fn count(&mut self, step: &mut StepBuilder<'a>, places: &mut HashMap<JobKey<'a>, usize>) {
        let job = step.expectation.job.map(|job| self.job(job, places));
        // A step that has a row and is not rebuilt keeps its job.
        step.job = job.filter(|_| step.known.is_none() || step.is_rebuilt);
        let before = step.known.and_then(|step| Some((step.job?, step)));
        if let Some((id, known)) = before {
            let left = self.job(JobKey::Known(id), places);
            self.jobs[left].add(known.status, known.is_declared, -1);
            self.jobs[left].is_rebuilt |= step.is_rebuilt;
        }
        let Some(job) = job else {
            return;
        };
        let job = &mut self.jobs[job];
        job.add(step.status, step.is_declared, 1);
        job.is_rebuilt |= step.is_rebuilt;
        if step.status.is_terminal() && (step.decided_by.is_some() || before.is_none()) {
            job.ended_us = job
                .ended_us
                .max(step.precedence.as_ref().map(Precedence::at_us));
        }
    }

    /// The index of the job, which is added if no statement names it.
    fn job(&mut self, job: JobKey<'a>, places: &mut HashMap<JobKey<'a>, usize>) -> usize {
        *places.entry(job).or_insert_with(|| {
            let (known, job_id) = match job {
                // The row alone identifies the job.
                JobKey::Known(id) => (Some(id), ""),
                JobKey::New(job_id) => (None, job_id),
            };
            self.jobs.push(JobChange {
                known,
                job_id,
                created_us: i64::MAX,
                is_older: false,
                begun: 0,
                ended: 0,
                failed: 0,
                declared: Declared::default(),
                ended_us: None,
                is_rebuilt: false,
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
            declared: Declared::default(),
            ended_us: None,
            is_rebuilt: false,
        }
    }

    /// Adds a step in this status to the counts, or removes it if `sign` is -1.
    fn add(&mut self, status: StepStatus, is_declared: bool, sign: i64) {
        let begun = sign * i64::from(status != StepStatus::Pending);
        let ended = sign * i64::from(status.is_terminal());
        let failed = sign * i64::from(status == StepStatus::Failed);
        self.begun += begun;
        self.ended += ended;
        self.failed += failed;
        if is_declared {
            self.declared.steps += sign;
            self.declared.begun += begun;
            self.declared.ended += ended;
            self.declared.failed += failed;
        }
    }

    /// Until it is created explicitly, a job is as old as its earliest Result.
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

    /// Whether an existing row changes.
    pub(crate) fn changes(&self) -> bool {
        self.is_older
            || (self.begun, self.ended, self.failed) != (0, 0, 0)
            || self.declared != Declared::default()
            || self.ended_us.is_some()
    }
}
