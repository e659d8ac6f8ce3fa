//! Works out what a batch of Results changes, without a database and once for all stores.
//!
//! A store looks up the [names](Batch::names) of the batch, passes the rows in as [`Known`], and writes the resulting [`Plan`].

mod expectation;
mod lineage;
mod plan;
mod statement;
mod step_builder;
mod stored;

pub use expectation::Difference;
pub(crate) use expectation::{Expectation, JobKey, Verdict};
#[cfg(feature = "postgres")]
pub(crate) use plan::NewResult;
pub(crate) use plan::{Plan, StepChange};
pub(crate) use statement::{Observation, Statement, StoredUpdate};
pub(crate) use stored::StoredStatement;

use crate::error::{Error, ErrorKind};
use crate::fold::{Precedence, StepStatus};
use crate::model::NewJob;
use pudato_protocol::canonical;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The step read the dataset.
pub(crate) const READ: i64 = 0;
/// The step replaced the contents of the dataset.
pub(crate) const REPLACED: i64 = 1;
/// The step changed the dataset and kept some or all of its contents.
pub(crate) const ADDED: i64 = 2;

/// Statements that are written in one transaction.
pub(crate) struct Batch<'a> {
    pub(crate) statements: Vec<Statement<'a>>,
    /// Each location that the statements name, once.
    pub(crate) locations: Vec<Cow<'a, str>>,
    /// The rows of steps that are rebuilt from scratch. Every statement about them is in the batch.
    pub(crate) rebuilt: Vec<i64>,
}

/// The keys that a store looks up for a batch. They are sorted, so that two transactions lock rows in the same order.
pub(crate) struct Names<'a> {
    pub(crate) identities: BTreeSet<&'a str>,
    pub(crate) steps: BTreeSet<&'a str>,
    pub(crate) jobs: BTreeSet<&'a str>,
}

/// The rows that a store found for a batch.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) results: HashSet<String>,
    pub(crate) steps: HashMap<String, KnownStep>,
    pub(crate) jobs: HashMap<String, KnownJob>,
    /// The rows of [`Batch::locations`], in the same order.
    pub(crate) datasets: Vec<i64>,
}

/// A step that has a row.
#[derive(Debug, Clone)]
pub(crate) struct KnownStep {
    pub(crate) id: i64,
    pub(crate) job: Option<i64>,
    pub(crate) status: StepStatus,
    /// The precedence of the Result that decides the status; `None` while there is none.
    pub(crate) precedence: Option<Precedence>,
    pub(crate) started_us: Option<i64>,
    /// The step was declared with `add_step`.
    pub(crate) is_declared: bool,
    /// The service and the action: as declared, else as the Results report them.
    pub(crate) handler: Option<String>,
    pub(crate) action: Option<String>,
    /// The declared correlation ids.
    pub(crate) ids: Vec<String>,
    /// Further declared services and actions.
    pub(crate) also: Vec<(String, String)>,
    /// The correlation id of the Results, if none was declared.
    pub(crate) seen_id: Option<String>,
    /// The instant and identity of the last Result that established one of these values.
    pub(crate) since: Option<(i64, String)>,
}

impl KnownStep {
    fn ids(&self) -> Vec<&str> {
        self.ids.iter().map(String::as_str).collect()
    }

    /// Whether this service and action are among the declared ones.
    fn does(&self, (handler, action): (&str, &str)) -> bool {
        let first = (self.handler.as_deref(), self.action.as_deref());
        first == (Some(handler), Some(action)) || self.also().contains(&(handler, action))
    }

    fn also(&self) -> Vec<(&str, &str)> {
        let pairs = self.also.iter();
        pairs
            .map(|(handler, action)| (&**handler, &**action))
            .collect()
    }
}

/// A job that has a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownJob {
    pub(crate) id: i64,
    pub(crate) is_declared: bool,
    pub(crate) created_us: i64,
}

impl<'a> Batch<'a> {
    /// Builds a batch.
    ///
    /// # Errors
    /// `Invalid`: a text contains a NUL where no store can keep one.
    pub(crate) fn new(observations: &[Observation<'a>]) -> Result<Self, Error> {
        Self::with_stored(&[], &[], observations)
    }

    /// Builds a batch together with all stored statements about the steps in the rows `rebuilt`.
    pub(crate) fn with_stored(
        rebuilt: &[i64],
        stored: &'a [StoredStatement],
        observations: &[Observation<'a>],
    ) -> Result<Self, Error> {
        let mut places = HashMap::new();
        let mut locations = Vec::new();
        // Some engines ignore case. All spellings of a name are one dataset.
        let mut place = |location: &'a str| {
            let location = canonical(location);
            if let Some(place) = places.get(&location) {
                return *place;
            }
            locations.push(location.clone());
            places.insert(location, locations.len() - 1);
            locations.len() - 1
        };
        let mut statements = Vec::with_capacity(stored.len() + observations.len());
        for stored in stored {
            let mut statement = Statement::new(stored.observation(), &mut place)?;
            statement.row = Some((stored.row, stored.verdict));
            if stored.verdict == Verdict::Accepted {
                statement.verdict = Some(Verdict::Accepted);
            }
            statements.push(statement);
        }
        for observations in observations {
            statements.push(Statement::new(*observations, &mut place)?);
        }
        Ok(Self {
            statements,
            locations,
            rebuilt: rebuilt.to_vec(),
        })
    }

    /// The rows of steps that must be rebuilt, because a statement of this batch precedes the one that established the step, or establishes
    /// more of it. Read every stored statement about them and call [`Batch::with_stored`].
    pub(crate) fn to_rebuild(&self, known: &Known) -> Vec<i64> {
        let mut rows = BTreeSet::new();
        for statement in &self.statements {
            let Some(step) = statement.step_id.and_then(|id| known.steps.get(id)) else {
                continue;
            };
            let is_there = |identity| known.results.contains(identity);
            if statement
                .record
                .is_some_and(|record| is_there(record.identity))
            {
                continue;
            }
            let declares = statement.declares.as_ref();
            let evaluated = statement.verdict.is_none() && statement.record.is_some();
            let unsettles = || {
                let mut expectation = Expectation::known(step);
                let job = statement.job_id.map(|id| known.job(id));
                expectation.since.is_some() && statement.place() < expectation.since
                    || expectation.evaluate(statement, job).counts()
                        && expectation.learn(statement, job)
            };
            if declares.is_some_and(|declares| declares.changes(step)) || evaluated && unsettles() {
                rows.insert(step.id);
            }
        }
        rows.into_iter().collect()
    }

    pub(crate) fn names(&self) -> Names<'a> {
        let said = self.statements.iter();
        Names {
            identities: said
                .clone()
                .filter(|s| s.row.is_none())
                .filter_map(|s| s.record.map(|record| record.identity))
                .collect(),
            steps: said.clone().filter_map(|s| s.step_id).collect(),
            jobs: said
                .flat_map(|s| [s.job_id, s.expected_job])
                .flatten()
                .collect(),
        }
    }
}

impl Known {
    pub(crate) fn job<'a>(&self, job_id: &'a str) -> JobKey<'a> {
        match self.jobs.get(job_id) {
            Some(job) => JobKey::Known(job.id),
            None => JobKey::New(job_id),
        }
    }
}

/// The longest text that can be looked up. PostgreSQL limits an index entry to 2,704 bytes; the other stores apply the same limit.
const INDEXED_BYTES_MAX: usize = 2_000;

/// # Errors
/// `Invalid`: the text is too long for an index.
fn indexed(field: &str, text: &str) -> Result<(), Error> {
    if text.len() <= INDEXED_BYTES_MAX {
        return Ok(());
    }
    let context = format!(
        "{field}: expected at most {INDEXED_BYTES_MAX} bytes, found {}",
        text.len()
    );
    Err(Error::new(ErrorKind::Invalid, context))
}

/// # Errors
/// `Invalid`: a text that is looked up is too long for an index.
pub(crate) fn check_indexed(job: &NewJob) -> Result<(), Error> {
    let texts = job.texts().into_iter();
    let mut looked_up =
        texts.filter(|(field, _)| ["job_id", "pipeline", "dag_run_id"].contains(field));
    looked_up.try_for_each(|(field, text)| indexed(field, text))
}

/// # Errors
/// `Invalid`: the text contains a NUL, which PostgreSQL cannot store.
pub(crate) fn no_nul(field: &str, text: &str) -> Result<(), Error> {
    if !text.contains('\0') {
        return Ok(());
    }
    let context = format!("{field}: {text:?}: a NUL is not allowed");
    Err(Error::new(ErrorKind::Invalid, context))
}
