//! What a batch of Results says, and what a store changes because of it: worked out without a database, once for all of them.
//!
//! A store looks up what the batch [names](Batch::names), hands it in as [`Known`], and writes the [`Plan`].

mod folding;
mod lineage;
mod plan;
mod recall;
mod statement;
mod terms;

pub(crate) use plan::{Plan, ResultRow, StepChange};
pub(crate) use recall::Recalled;
pub(crate) use statement::{Said, Statement, Uttered};
pub use terms::Difference;
pub(crate) use terms::{JobKey, Standing, Terms};

use crate::error::{Error, ErrorKind};
use crate::fold::{Claim, StepStatus};
use crate::model::NewJob;
use pudato_protocol::canonical;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The step read the dataset.
pub(crate) const READ: i64 = 0;
/// The step wrote the dataset; what was in it before is gone.
pub(crate) const REPLACED: i64 = 1;
/// The step changed the dataset; what was in it before is still there, or some of it.
pub(crate) const ADDED: i64 = 2;

/// Statements that are written together.
pub(crate) struct Batch<'a> {
    pub(crate) statements: Vec<Statement<'a>>,
    /// Every location that they name, once.
    pub(crate) locations: Vec<Cow<'a, str>>,
    /// The rows of steps that are worked out anew, since all that was said of them is among the statements.
    pub(crate) rebuilt: Vec<i64>,
}

/// What a store must look up for a batch. Everything is sorted, so that two transactions lock in the same order.
pub(crate) struct Names<'a> {
    pub(crate) identities: BTreeSet<&'a str>,
    pub(crate) steps: BTreeSet<&'a str>,
    pub(crate) jobs: BTreeSet<&'a str>,
}

/// What a store has of all that a batch names.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) results: HashSet<String>,
    pub(crate) steps: HashMap<String, KnownStep>,
    pub(crate) jobs: HashMap<String, KnownJob>,
    /// The rows of [`Batch::locations`], in their order.
    pub(crate) datasets: Vec<i64>,
}

/// A step that is there.
#[derive(Debug, Clone)]
pub(crate) struct KnownStep {
    pub(crate) id: i64,
    pub(crate) job: Option<i64>,
    pub(crate) status: StepStatus,
    /// What decided its state; `None` where nothing did yet.
    pub(crate) claim: Option<Claim>,
    pub(crate) started_us: Option<i64>,
    /// `add_step` declared it.
    pub(crate) is_declared: bool,
    /// Its service and action: as declared, else as its Results say.
    pub(crate) handler: Option<String>,
    pub(crate) action: Option<String>,
    /// The correlation ids that were declared.
    pub(crate) ids: Vec<String>,
    /// Services and actions that were declared beside the first.
    pub(crate) also: Vec<(String, String)>,
    /// The one that its Results have, where none was declared.
    pub(crate) seen_id: Option<String>,
    /// Instant and identity of the last Result that established any of these.
    pub(crate) since: Option<(i64, String)>,
}

impl KnownStep {
    fn ids(&self) -> Vec<&str> {
        self.ids.iter().map(String::as_str).collect()
    }

    /// Whether that is among the services and actions that were declared.
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

/// A job that is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownJob {
    pub(crate) id: i64,
    pub(crate) is_declared: bool,
    pub(crate) created_us: i64,
}

impl<'a> Batch<'a> {
    /// Takes the statements together.
    ///
    /// # Errors
    /// `Invalid`: one of them holds a NUL where no store can keep one.
    pub(crate) fn new(uttered: &[Uttered<'a>]) -> Result<Self, Error> {
        Self::again(&[], &[], uttered)
    }

    /// As [`Batch::new`], together with all that was said before about some steps (by their rows).
    pub(crate) fn again(
        rebuilt: &[i64],
        recalled: &'a [Recalled],
        uttered: &[Uttered<'a>],
    ) -> Result<Self, Error> {
        let mut places = HashMap::new();
        let mut locations = Vec::new();
        // Whoever wrote a name down, in whatever case the engine allows: it is one dataset.
        let mut place = |location: &'a str| {
            let location = canonical(location);
            if let Some(place) = places.get(&location) {
                return *place;
            }
            locations.push(location.clone());
            places.insert(location, locations.len() - 1);
            locations.len() - 1
        };
        let mut statements = Vec::with_capacity(recalled.len() + uttered.len());
        for recalled in recalled {
            let mut statement = Statement::new(recalled.uttered(), &mut place)?;
            statement.row = Some((recalled.row, recalled.standing));
            if recalled.standing == Standing::Accepted {
                statement.standing = Some(Standing::Accepted);
            }
            statements.push(statement);
        }
        for uttered in uttered {
            statements.push(Statement::new(*uttered, &mut place)?);
        }
        Ok(Self {
            statements,
            locations,
            rebuilt: rebuilt.to_vec(),
        })
    }

    /// The rows of steps that must be worked out anew: a statement in this batch sorts before the one that established the step, or
    /// establishes more of it. Every statement about them must be [read again](Batch::again).
    pub(crate) fn unsettled(&self, known: &Known) -> Vec<i64> {
        let mut rows = BTreeSet::new();
        for statement in &self.statements {
            let Some(step) = statement.step_id.and_then(|id| known.steps.get(id)) else {
                continue;
            };
            let is_there = |identity| known.results.contains(identity);
            if statement.said.is_some_and(|said| is_there(said.identity)) {
                continue;
            }
            let declares = statement.declares.as_ref();
            let judged = statement.standing.is_none() && statement.said.is_some();
            let unsettles = || {
                let mut terms = Terms::known(step);
                let job = statement.job_id.map(|id| known.job(id));
                terms.since.is_some() && statement.place() < terms.since
                    || terms.judge(statement, job).counts() && terms.learn(statement, job)
            };
            if declares.is_some_and(|declares| declares.changes(step)) || judged && unsettles() {
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
                .filter_map(|s| s.said.map(|said| said.identity))
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

/// Most bytes of a text that is looked up: an entry of an index of Postgres has 2,704 at most. The other stores keep to it, so that all of
/// them take the same.
const INDEXED_BYTES_MAX: usize = 2_000;

/// # Errors
/// `Invalid`: the text is too long to be looked up.
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
/// `Invalid`: one of the job's texts is too long to be looked up.
pub(crate) fn check_indexed(job: &NewJob) -> Result<(), Error> {
    let texts = job.texts().into_iter();
    let mut looked_up =
        texts.filter(|(field, _)| ["job_id", "pipeline", "dag_run_id"].contains(field));
    looked_up.try_for_each(|(field, text)| indexed(field, text))
}

/// # Errors
/// `Invalid`: the text holds a NUL, which Postgres cannot keep.
pub(crate) fn no_nul(field: &str, text: &str) -> Result<(), Error> {
    if !text.contains('\0') {
        return Ok(());
    }
    let context = format!("{field}: {text:?}: a NUL is not allowed");
    Err(Error::new(ErrorKind::Invalid, context))
}
