//! Writes the plan of a batch: one round trip to look up rows and one to write, however many Results there are.

use super::session::{Session, all, rows, run};
use super::{edges, jobs, relocate, steps};
use crate::batch::{Batch, Known, KnownJob, NewResult, Observation, Plan, StoredStatement};
use crate::error::{Error, ErrorKind};
use crate::queries;
use crate::store::Applied;
use futures_util::future::join_all;
use pudato_protocol::Dataset;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// The most datasets whose rows are cached. A full cache is emptied.
const DATASETS_MAX: usize = 100_000;

/// A cache of the rows of locations. Rows are committed before they are cached, and only a relocation removes them.
#[derive(Default)]
pub(super) struct Datasets(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    rows: HashMap<String, i64>,
    /// The last relocation when the cache was filled. Another relocation may have renamed the datasets.
    relocation: Option<i64>,
}

/// The SHA-256 of a location.
pub(super) fn key(location: &str) -> Vec<u8> {
    Sha256::digest(location.as_bytes()).to_vec()
}

/// Decodes the identity of a Result.
///
/// # Errors
/// `Invalid`: it is not a SHA-256 in hex.
pub(super) fn identity(hex: &str) -> Result<Vec<u8>, Error> {
    let byte = |n: usize| {
        hex.get(2 * n..2 * n + 2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    bytes.filter(|_| hex.len() == 64).ok_or_else(|| {
        let context = format!("identity {hex:?}: expected a SHA-256 in hex");
        Error::new(ErrorKind::Invalid, context)
    })
}

impl Datasets {
    fn get(&self, locations: &[Cow<'_, str>]) -> Vec<Option<i64>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let get = |location: &Cow<'_, str>| known.rows.get(&**location).copied();
        locations.iter().map(get).collect()
    }

    fn remember(&self, new: impl Iterator<Item = (String, i64)>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.rows.len() > DATASETS_MAX {
            known.rows.clear();
        }
        known.rows.extend(new);
    }

    /// Whether the cache is valid after `relocation`, the last one in the database; otherwise it is emptied.
    fn hold(&self, relocation: i64) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = known.relocation == Some(relocation);
        if !holds {
            known.rows.clear();
            known.relocation = Some(relocation);
        }
        holds
    }

    /// Returns the rows of `locations`, and inserts new ones outside of any transaction: a dataset without an edge does no harm.
    async fn rows(
        &self,
        session: &Session<'_>,
        locations: &[Cow<'_, str>],
    ) -> Result<Vec<i64>, Error> {
        let mut found = self.get(locations);
        let mut missing: Vec<(Vec<u8>, usize)> = (0..found.len())
            .filter(|n| found[*n].is_none())
            .map(|n| (key(&locations[n]), n))
            .collect();
        if !missing.is_empty() {
            // A fixed order, so that two inserts of the same rows cannot deadlock.
            missing.sort_unstable();
            let keys: Vec<&[u8]> = missing.iter().map(|(key, _)| &key[..]).collect();
            let mut ids = dataset_ids(session, &keys).await?;
            if ids.len() < missing.len() {
                let new: Vec<Dataset> = missing
                    .iter()
                    .filter(|(key, _)| !ids.contains_key(key))
                    .map(|(_, n)| Dataset::parse(&locations[*n]))
                    .collect();
                make_datasets(session, &new).await?;
                ids = dataset_ids(session, &keys).await?;
            }
            for (key, n) in &missing {
                found[*n] = ids.get(key).copied();
            }
            let new = missing
                .iter()
                .filter_map(|(_, n)| Some((locations[*n].clone().into_owned(), found[*n]?)));
            self.remember(new);
        }
        let all: Option<Vec<i64>> = found.into_iter().collect();
        all.ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                "registry: a dataset row could not be created",
            )
        })
    }
}

async fn dataset_ids(
    session: &Session<'_>,
    keys: &[&[u8]],
) -> Result<HashMap<Vec<u8>, i64>, Error> {
    let sql = "SELECT key, id FROM dataset WHERE key = ANY($1)";
    let found = rows(session, sql, &[&keys]).await?;
    Ok(found.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn make_datasets(session: &Session<'_>, new: &[Dataset]) -> Result<(), Error> {
    let locations: Vec<String> = new.iter().map(Dataset::location).collect();
    let keys: Vec<Vec<u8>> = locations.iter().map(|location| key(location)).collect();
    let namespaces: Vec<&str> = new.iter().map(|dataset| &*dataset.namespace).collect();
    let names: Vec<&str> = new.iter().map(|dataset| &*dataset.name).collect();
    let backwards = locations
        .iter()
        .map(|location| location.chars().rev().collect());
    let backwards: Vec<String> = backwards.collect();
    let sql = "INSERT INTO dataset (key, namespace, name, backwards)
        SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[]) ON CONFLICT (key) DO NOTHING";
    run(session, sql, &[&keys, &namespaces, &names, &backwards]).await?;
    Ok(())
}

/// Plans the changes and writes them within the session's transaction.
pub(super) async fn apply<'a>(
    session: &Session<'_>,
    datasets: &Datasets,
    observations: impl IntoIterator<Item = Observation<'a>>,
    has_outbox: bool,
) -> Result<Vec<Applied>, Error> {
    let observations: Vec<Observation<'a>> = observations.into_iter().collect();
    let batch = Batch::new(&observations)?;
    let (known, ids) = loop {
        let rows = datasets.rows(session, &batch.locations).await?;
        // From here on no relocation can run.
        session.begin_naming().await?;
        let (known, ids) = self::known(session, &batch, rows).await?;
        if datasets.hold(ids.relocation) {
            break (known, ids);
        }
        session.undo().await?;
    };
    let to_rebuild = batch.to_rebuild(&known);
    if to_rebuild.is_empty() {
        return write(session, &batch, &known, ids, has_outbox).await;
    }
    let stored = read_statements(session, &to_rebuild).await?;
    let batch = Batch::with_stored(&to_rebuild, &stored, &observations)?;
    // Those that the steps mentioned before have rows already.
    let rows = datasets.rows(session, &batch.locations).await?;
    let (known, ids) = self::known(session, &batch, rows).await?;
    write(session, &batch, &known, ids, has_outbox).await
}

/// Reads all stored statements about these steps.
async fn read_statements(
    session: &Session<'_>,
    steps: &[i64],
) -> Result<Vec<StoredStatement>, Error> {
    // The lineage beside a large body is incomplete, so large bodies are read, one at a time.
    let sql = "SELECT id, standing, encode(identity, 'hex'), recorded_at, CASE WHEN lineage IS NULL THEN body END FROM result
        WHERE step = ANY($1) ORDER BY id";
    let relocations = relocate::relocations(session).await?;
    let mut stored = Vec::new();
    for row in rows(session, sql, &[&steps]).await? {
        let body: Option<String> = row.get(4);
        let body = match body {
            Some(body) => body,
            None => {
                let found = rows(session, queries::RESULT_BODY, &[&row.get::<_, i64>(0)]).await?;
                found.first().map(|row| row.get(0)).unwrap_or_default()
            }
        };
        let body = relocations.body(row.get(0), body);
        stored.push(StoredStatement::read(&row, &body)?);
    }
    Ok(stored)
}

/// Ids for rows that may be inserted.
struct Ids {
    jobs: Vec<i64>,
    steps: Vec<i64>,
    results: Vec<i64>,
    /// The last relocation.
    relocation: i64,
}

/// Looks up the rows of the batch, and locks its steps and jobs until the transaction ends.
async fn known(
    session: &Session<'_>,
    batch: &Batch<'_>,
    datasets: Vec<i64>,
) -> Result<(Known, Ids), Error> {
    let names = batch.names();
    let identities = names.identities.iter().map(|hex| identity(hex));
    let identities: Vec<Vec<u8>> = identities.collect::<Result<_, _>>()?;
    let steps: Vec<&str> = names.steps.into_iter().collect();
    let jobs: Vec<&str> = names.jobs.into_iter().collect();
    let counts = [jobs.len(), steps.len(), batch.statements.len()];
    let counts = counts.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    let [job_count, step_count, result_count] = &counts;
    let next = |sequence: &str| {
        format!("SELECT nextval('{sequence}') FROM generate_series(1, $1::bigint)")
    };
    let asked: [(&str, [&(dyn ToSql + Sync); 1]); 6] = [
        (
            "SELECT encode(identity, 'hex') FROM result WHERE identity = ANY($1)",
            [&identities],
        ),
        (queries::KNOWN_STEPS, [&steps]),
        (
            "SELECT id, job_id, declared, created_us FROM job WHERE job_id = ANY($1) ORDER BY job_id FOR NO KEY UPDATE",
            [&jobs],
        ),
        (&next("job_seq"), [job_count]),
        (&next("step_seq"), [step_count]),
        (&next("result_seq"), [result_count]),
    ];
    let answers = asked.iter().map(|(sql, params)| rows(session, sql, params));
    let (answers, relocation) = tokio::join!(join_all(answers), rows(session, relocate::LAST, &[]));
    let mut answers = all(answers.into_iter().chain([relocation]))?;
    let relocation = answers.pop().unwrap_or_default();
    let numbers = |rows: &[Row]| rows.iter().map(|row| row.get(0)).collect();
    let known = Known {
        results: answers[0].iter().map(|row| row.get(0)).collect(),
        steps: answers[1]
            .iter()
            .map(|row| queries::known_step(row))
            .collect::<Result<_, _>>()?,
        jobs: answers[2]
            .iter()
            .map(|row| (row.get(1), job(row)))
            .collect(),
        datasets,
    };
    let ids = Ids {
        jobs: numbers(&answers[3]),
        steps: numbers(&answers[4]),
        results: numbers(&answers[5]),
        relocation: relocation.first().map(|row| row.get(0)).unwrap_or_default(),
    };
    Ok((known, ids))
}

fn job(row: &Row) -> KnownJob {
    KnownJob {
        id: row.get(0),
        is_declared: row.get::<_, i64>(2) != 0,
        created_us: row.get(3),
    }
}

async fn write(
    session: &Session<'_>,
    batch: &Batch<'_>,
    known: &Known,
    ids: Ids,
    has_outbox: bool,
) -> Result<Vec<Applied>, Error> {
    let plan = &Plan::new(batch, known)?;
    let mut new_jobs = ids.jobs.into_iter();
    let jobs = plan
        .jobs
        .iter()
        .map(|job| job.known.or_else(|| new_jobs.next()));
    let jobs: Vec<i64> = jobs.map(Option::unwrap_or_default).collect();
    let mut new_steps = ids.steps.into_iter();
    let steps = plan
        .steps
        .iter()
        .map(|step| step.known.or_else(|| new_steps.next()));
    let steps: Vec<i64> = steps.map(Option::unwrap_or_default).collect();
    let results = &ids.results[..];

    steps::forget(session, plan).await?;
    // These statements are independent, so they are sent together.
    let jobs_written = jobs::write(session, plan, &jobs);
    let steps_written = steps::write(session, batch, plan, &jobs, &steps);
    let results_written = write_results(session, batch, plan, &steps, results, has_outbox);
    let edges_written = edges::write(session, plan, &steps, results);
    let pairs_written = edges::write_pairs(session, plan, &steps, results);
    let (jobs_written, steps_written, results_written, edges_written, pairs_written) = tokio::join!(
        jobs_written,
        steps_written,
        results_written,
        edges_written,
        pairs_written
    );
    all([
        jobs_written,
        steps_written,
        results_written,
        edges_written,
        pairs_written,
    ])?;
    rejudge(session, plan, has_outbox).await?;
    jobs::ended(session, plan, &jobs).await?;
    Ok(plan.applied.clone())
}

/// Stores changed verdicts. A Result that no longer counts leaves the outbox; one that now counts enters it.
async fn rejudge(session: &Session<'_>, plan: &Plan<'_>, has_outbox: bool) -> Result<(), Error> {
    for (result, verdict) in &plan.reevaluated {
        let sql = "UPDATE result SET standing = $1 WHERE id = $2";
        run(session, sql, &[&verdict.number(), result]).await?;
        if !verdict.counts() {
            run(session, "DELETE FROM outbox WHERE result = $1", &[result]).await?;
        } else if has_outbox {
            let sql = "INSERT INTO outbox (result) VALUES ($1) ON CONFLICT (result) DO NOTHING";
            run(session, sql, &[result]).await?;
        }
    }
    Ok(())
}

async fn write_results(
    session: &Session<'_>,
    batch: &Batch<'_>,
    plan: &Plan<'_>,
    steps: &[i64],
    ids: &[i64],
    has_outbox: bool,
) -> Result<(), Error> {
    if plan.results.is_empty() {
        return Ok(());
    }
    let statements = || {
        plan.results
            .iter()
            .map(|kept| &batch.statements[kept.statement])
    };
    let records = || statements().filter_map(|statement| statement.record);
    let ids = &ids[..plan.results.len()];
    let identities = records().map(|record| identity(record.identity));
    let identities: Vec<Vec<u8>> = identities.collect::<Result<_, _>>()?;
    let step = |kept: &NewResult| kept.step.map(|place| steps[place]);
    let of: Vec<Option<i64>> = plan.results.iter().map(step).collect();
    let verdicts = plan.results.iter().map(|kept| kept.verdict.number());
    let verdicts: Vec<i64> = verdicts.collect();
    let counting = ids.iter().zip(&plan.results);
    let counting = counting.filter(|(_, kept)| kept.verdict.counts());
    let counting: Vec<i64> = counting.map(|(id, _)| *id).collect();
    let at_us: Vec<i64> = statements().map(|statement| statement.at_us).collect();
    let correlation_ids: Vec<&str> = records().map(|record| record.correlation_id).collect();
    let statuses: Vec<&str> = records().map(|record| record.status).collect();
    let recorded_at: Vec<&str> = records().map(|record| record.recorded_at).collect();
    let bodies: Vec<&str> = records().map(|record| record.body).collect();
    let lineage: Vec<Option<String>> = bodies
        .iter()
        .map(|body| queries::lineage_of(body))
        .collect();
    let sql = "INSERT INTO result (id, identity, correlation_id, step, status, at_us, recorded_at, lineage, body,
        standing)
        SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[],
        $8::text[], $9::text[], $10::bigint[])";
    let params: [&(dyn ToSql + Sync); 10] = [
        &ids,
        &identities,
        &correlation_ids,
        &of,
        &statuses,
        &at_us,
        &recorded_at,
        &lineage,
        &bodies,
        &verdicts,
    ];
    let put_out = async {
        if !has_outbox {
            return Ok(0);
        }
        let sql = "INSERT INTO outbox (result) SELECT * FROM unnest($1::bigint[])";
        run(session, sql, &[&counting]).await
    };
    let (written, put_out) = tokio::join!(run(session, sql, &params), put_out);
    all([written, put_out]).map(|_| ())
}
