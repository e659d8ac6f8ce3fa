//! What a batch of Results says, and what a store changes because of it: worked out without a database, once for all of them.
//!
//! A store looks up what the batch [names](Batch::names), hands it in as [`Known`], and writes the [`Plan`].

mod plan;
mod statement;

pub(crate) use plan::Plan;
pub(crate) use statement::{Said, Statement, Uttered};

use crate::error::{Error, ErrorKind};
use crate::fold::{Claim, StepStatus};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The step read the dataset.
pub(crate) const READ: i64 = 0;
/// The step wrote the dataset; what was in it before is gone.
pub(crate) const REPLACED: i64 = 1;
/// The step added to the dataset; what was in it before is still there.
pub(crate) const ADDED: i64 = 2;

/// Statements that are written together.
pub(crate) struct Batch<'a> {
    pub(crate) statements: Vec<Statement<'a>>,
    /// Every location that they name, once.
    pub(crate) locations: Vec<&'a str>,
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
    pub(crate) fn new(uttered: impl IntoIterator<Item = Uttered<'a>>) -> Result<Self, Error> {
        let mut places = HashMap::new();
        let mut locations = Vec::new();
        let mut place = |location: &'a str| {
            *places.entry(location).or_insert_with(|| {
                locations.push(location);
                locations.len() - 1
            })
        };
        let statements = uttered
            .into_iter()
            .map(|uttered| Statement::new(uttered, &mut place))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            statements,
            locations,
        })
    }

    pub(crate) fn names(&self) -> Names<'a> {
        let said = self.statements.iter();
        Names {
            identities: said
                .clone()
                .filter_map(|s| s.said.map(|said| said.identity))
                .collect(),
            steps: said.clone().filter_map(|s| s.step_id).collect(),
            jobs: said.filter_map(|s| s.job_id).collect(),
        }
    }
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
