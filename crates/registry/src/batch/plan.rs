//! What changes.

use super::folding::Folding;
use super::{Batch, JobKey, Known, READ, Standing, Statement, Terms};
use crate::error::Error;
use crate::fold::{Claim, StepStatus};
use crate::store::Applied;
use std::collections::{HashMap, HashSet};

/// What a store writes. Steps and jobs that are not there yet have no row; what points at them says where they stand here.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    /// What became of each statement that is new.
    pub(crate) applied: Vec<Applied>,
    pub(crate) jobs: Vec<JobChange<'a>>,
    pub(crate) steps: Vec<StepChange<'a>>,
    /// Statements that are kept.
    pub(crate) results: Vec<ResultRow>,
    /// Rows of Results that were kept before and stand otherwise now.
    pub(crate) rejudged: Vec<(i64, Standing)>,
    pub(crate) edges: Vec<EdgeRow<'a>>,
    pub(crate) pairs: Vec<PairRow>,
}

/// A statement that is kept.
pub(crate) struct ResultRow {
    /// Among the statements of the batch.
    pub(crate) statement: usize,
    /// Among [`Plan::steps`].
    pub(crate) step: Option<usize>,
    pub(crate) standing: Standing,
}

/// The Result that says something.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// Among [`Plan::results`].
    New(usize),
    /// The row of one that was kept before.
    Row(i64),
}

impl Source {
    /// Its row, where those of the plan have these.
    pub(crate) fn row(self, results: &[i64]) -> i64 {
        match self {
            Self::New(place) => results[place],
            Self::Row(row) => row,
        }
    }
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
    /// The same of those that were declared, and how many more there are.
    pub(crate) declared: Declared,
    /// When the last of the steps that ended now did.
    pub(crate) ended_us: Option<i64>,
    /// A step of it was worked out anew: when the last one ended must be looked up.
    pub(crate) is_rebuilt: bool,
}

/// How many more of the declared steps of a job there are, began, ended, failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) steps: i64,
    pub(crate) begun: i64,
    pub(crate) ended: i64,
    pub(crate) failed: i64,
}

/// A step that is new, or that changes.
pub(crate) struct StepChange<'a> {
    pub(crate) known: Option<i64>,
    pub(crate) step_id: &'a str,
    /// It was worked out anew: nothing of what its row says stays, nor its edges.
    pub(crate) is_rebuilt: bool,
    /// The job that it belongs to; `None` where it has none, or where the step is there and goes on.
    pub(crate) job: Option<usize>,
    /// The statement that decides its state now; `None` where that does not change.
    pub(crate) decided_by: Option<usize>,
    /// When it began; `None` where that does not change.
    pub(crate) started_us: Option<i64>,
    /// What its Results agree with. That of a step that is there and goes on is not written.
    pub(crate) terms: Terms<'a>,
    /// The correlation ids that were declared.
    pub(crate) ids: Vec<&'a str>,
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
    pub(crate) result: Source,
    pub(crate) position: i64,
    pub(crate) step: usize,
    pub(crate) version: Option<&'a str>,
    pub(crate) row_count: Option<i64>,
    pub(crate) rows_changed: Option<i64>,
    pub(crate) bytes: Option<i64>,
}

/// What an output was made from.
pub(crate) struct PairRow {
    pub(crate) step: usize,
    pub(crate) output: i64,
    pub(crate) input: i64,
    pub(crate) result: Source,
    pub(crate) at_us: i64,
    pub(crate) is_own: bool,
}

/// What a statement is about.
enum About {
    /// It was there already.
    Known,
    Nothing,
    /// Among the steps.
    Step(usize),
}

impl<'a> Plan<'a> {
    /// Goes through the statements: first which of them count, then what those that do change, in their order.
    ///
    /// # Errors
    /// `Invalid`: a step is declared, or updated, as one of a job that it does not belong to, or has too many correlation ids.
    pub(crate) fn new(batch: &'a Batch<'a>, known: &'a Known) -> Result<Self, Error> {
        let mut plan = Self::default();
        let mut steps: Vec<Folding<'a>> = Vec::new();
        let (mut step_places, mut job_places) = (HashMap::new(), HashMap::new());
        let mut kept = HashSet::new();
        let mut about = Vec::with_capacity(batch.statements.len());
        for (n, statement) in batch.statements.iter().enumerate() {
            if let Some(said) = &statement.said
                && statement.row.is_none()
                && (known.results.contains(said.identity) || !kept.insert(said.identity))
            {
                about.push(About::Known);
                continue;
            }
            let Some(step_id) = statement.step_id else {
                about.push(About::Nothing);
                continue;
            };
            let place = *step_places.entry(step_id).or_insert_with(|| {
                steps.push(Folding::new(step_id, batch, known));
                steps.len() - 1
            });
            steps[place].heard.push(n);
            about.push(About::Step(place));
            if let Some(job_id) = statement.job_id {
                let jobs = &mut plan.jobs;
                let job = *job_places.entry(known.job(job_id)).or_insert_with(|| {
                    jobs.push(JobChange::new(job_id, statement.at_us, known));
                    jobs.len() - 1
                });
                plan.jobs[job].seen(statement.at_us, known);
            }
        }
        let mut standings = vec![Standing::Counts; batch.statements.len()];
        for step in &mut steps {
            step.judge(batch, known, &mut standings)?;
        }
        for (n, statement) in batch.statements.iter().enumerate() {
            let standing = standings[n];
            let applied = match about[n] {
                About::Known => Applied::Duplicate,
                About::Nothing => {
                    plan.keep(n, statement, None, standing, known);
                    Applied::Skipped
                }
                About::Step(place) => {
                    plan.keep(n, statement, Some(place), standing, known);
                    match standing.counts() {
                        false => Applied::Claimed,
                        true if steps[place].fold(n, statement) => Applied::Applied,
                        true if statement.status.is_none() => Applied::Applied,
                        true => Applied::Superseded,
                    }
                }
            };
            if statement.row.is_none() {
                plan.applied.push(applied);
            }
        }
        // What a step read, it read when it began.
        for edge in plan.edges.iter_mut().filter(|edge| edge.kind == READ) {
            edge.seen_us = steps[edge.step].started_us.unwrap_or(edge.at_us);
        }
        for step in &mut steps {
            plan.count(step, &mut job_places);
        }
        plan.steps = steps.into_iter().map(Folding::change).collect();
        Ok(plan)
    }

    /// Keeps a statement, and what it says was read and written where it counts.
    fn keep(
        &mut self,
        n: usize,
        statement: &'a Statement<'a>,
        step: Option<usize>,
        standing: Standing,
        known: &Known,
    ) {
        let result = match statement.row {
            _ if statement.said.is_none() => return,
            Some((row, before)) => {
                if before != standing {
                    self.rejudged.push((row, standing));
                }
                Source::Row(row)
            }
            None => {
                self.results.push(ResultRow {
                    statement: n,
                    step,
                    standing,
                });
                Source::New(self.results.len() - 1)
            }
        };
        let Some(step) = step.filter(|_| standing.counts()) else {
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

    /// Takes what the step was from the counts of the job that it had, and adds what it is to those of the job that it has.
    fn count(&mut self, step: &mut Folding<'a>, places: &mut HashMap<JobKey<'a>, usize>) {
        let job = step.terms.job.map(|job| self.job(job, places));
        // One that is there and goes on keeps its job.
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
            job.ended_us = job.ended_us.max(step.claim.as_ref().map(Claim::at_us));
        }
    }

    /// Where the job stands; one that no statement names is added.
    fn job(&mut self, job: JobKey<'a>, places: &mut HashMap<JobKey<'a>, usize>) -> usize {
        *places.entry(job).or_insert_with(|| {
            let (known, job_id) = match job {
                // The row is all that is needed.
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

    /// Counts a step in that state, or takes it out.
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
            || self.declared != Declared::default()
            || self.ended_us.is_some()
    }
}
