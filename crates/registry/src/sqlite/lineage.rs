//! Reads lineage for the walk. Every query uses an index.

use super::columns::{all, first};
use crate::batch::{ADDED, READ, REPLACED};
use crate::error::{Error, ErrorKind, sqlite_error};
use crate::model::Node;
use crate::queries::{self, is_complete, is_of_job};
use crate::walk::{Limits, LineageReader, Neighbour, Probe, Relation, StepNeighbours, sum_up};
use pudato_protocol::Dataset;
use rusqlite::{Connection, Row, params};

pub(super) struct SqliteLineage<'a>(pub(super) &'a Connection);

/// Whether the edge belongs to a job in the environment `$env`.
macro_rules! in_environment {
    ($env:literal) => {
        concat!(
            "(",
            $env,
            " IS NULL OR EXISTS (SELECT 1 FROM step JOIN job ON job.id = step.job AND ",
            is_of_job!(),
            " WHERE step.id = edge.step AND environment = ",
            $env,
            "))"
        )
    };
}

const LAST_WRITERS: &str = concat!(
    "SELECT edge.step, kind, edge.at_us, row_count, rows_changed FROM edge
     WHERE dataset = ?1 AND kind = ?2 AND seen_us <= ?3 AND edge.step <> ?4 AND ",
    in_environment!("?5"),
    " ORDER BY seen_us DESC LIMIT 2"
);

/// Clocks are coarse: several steps may have written at the instant of the last write.
const WRITERS_AT: &str = concat!(
    "SELECT edge.step, kind, edge.at_us, row_count, rows_changed FROM edge
     WHERE dataset = ?1 AND kind = ?2 AND seen_us = ?3 AND edge.step <> ?4 AND ",
    in_environment!("?5"),
    " LIMIT ?6"
);

const WRITERS: &str = concat!(
    "SELECT edge.step, kind, edge.at_us, row_count, rows_changed FROM edge
     WHERE dataset = ?1 AND kind = ?2 AND seen_us <= ?3 AND ",
    in_environment!("?4"),
    " ORDER BY seen_us DESC LIMIT ?5"
);

const READERS: &str = concat!(
    "SELECT edge.step, kind, edge.at_us, row_count, rows_changed FROM edge
     WHERE dataset = ?1 AND kind = 0 AND seen_us >= ?2 AND seen_us < ?3 AND edge.at_us <= ?4 AND ",
    in_environment!("?5"),
    " ORDER BY seen_us DESC LIMIT ?6"
);

const READ_AGAIN: &str = concat!(
    "SELECT edge.step, kind, edge.at_us, row_count, rows_changed FROM edge
     WHERE dataset = ?1 AND kind = ?7 AND seen_us >= ?2 AND seen_us < ?3 AND edge.at_us <= ?4
       AND EXISTS (SELECT 1 FROM pair WHERE pair.step = edge.step AND pair.input = edge.dataset AND is_own = 1) AND ",
    in_environment!("?5"),
    " ORDER BY seen_us DESC LIMIT ?6"
);

const REPLACED_AT: &str = concat!(
    "SELECT seen_us FROM edge WHERE dataset = ?1 AND kind = 1 AND seen_us > ?2 AND seen_us <= ?3 AND ",
    in_environment!("?4"),
    " ORDER BY seen_us LIMIT 1"
);

const STARTED: &str = "SELECT started_us FROM step WHERE id = ?";

const NEIGHBOURS: &str = "SELECT dataset, kind, at_us, row_count, rows_changed FROM edge WHERE step = ? AND at_us <= ? ORDER BY at_us DESC";

const PAIRS: &str = "SELECT output, input, is_own FROM pair WHERE step = ? AND at_us <= ?";

const DATASET: &str = "SELECT namespace, name FROM dataset WHERE id = ?";

const STEP_ID: &str = "SELECT step_id FROM step WHERE id = ?";

/// All queries, for the test that none of them scans a table.
#[cfg(test)]
pub(super) const QUERIES: [&str; 11] = [
    LAST_WRITERS,
    WRITERS_AT,
    WRITERS,
    READERS,
    READ_AGAIN,
    REPLACED_AT,
    STARTED,
    NEIGHBOURS,
    PAIRS,
    DATASET,
    STEP_ID,
];

impl SqliteLineage<'_> {
    fn last_writer(
        &self,
        dataset: i64,
        until_us: i64,
        not: i64,
        limits: &Limits,
    ) -> Result<Option<Neighbour>, Error> {
        let last = self.last_writers(dataset, until_us, not, limits)?;
        Ok(last.into_iter().flatten().next())
    }

    /// The last two writers of each kind. The kind with the later write comes first.
    fn last_writers(
        &self,
        dataset: i64,
        until_us: i64,
        not: i64,
        limits: &Limits,
    ) -> Result<[Vec<Neighbour>; 2], Error> {
        let until_us = until_us.min(limits.until_us);
        let of_kind = |kind: i64| {
            let params = params![dataset, kind, until_us, not, limits.environment];
            all(self.0, LAST_WRITERS, params, neighbour)
        };
        let (replaced, added) = (of_kind(REPLACED)?, of_kind(ADDED)?);
        let last = |neighbours: &[Neighbour]| neighbours.first().map(|neighbour| neighbour.last_us);
        Ok(match last(&added) > last(&replaced) {
            true => [added, replaced],
            false => [replaced, added],
        })
    }

    fn probe_one(
        &self,
        Probe { dataset, relation }: Probe,
        limits: &Limits,
    ) -> Result<Vec<Neighbour>, Error> {
        let environment = &limits.environment;
        let edges = match relation {
            Relation::LastWriter { until_us, not } => {
                let last = self.last_writers(dataset, until_us, not, limits)?;
                let Some(at_us) = last[0].first().map(|neighbour| neighbour.last_us) else {
                    return Ok(Vec::new());
                };
                let mut edges: Vec<Neighbour> = last.into_iter().flatten().collect();
                edges.retain(|neighbour| neighbour.last_us == at_us);
                // Nearly always there is one, which was read already.
                if edges.len() > 1 {
                    edges.clear();
                    for kind in [REPLACED, ADDED] {
                        let params = params![
                            dataset,
                            kind,
                            at_us,
                            not,
                            environment,
                            limits.neighbours_max
                        ];
                        edges.extend(all(self.0, WRITERS_AT, params, neighbour)?);
                    }
                }
                edges
            }
            Relation::Writers => {
                let mut edges = Vec::new();
                for kind in [REPLACED, ADDED] {
                    let until_us = limits.until_us;
                    let params =
                        params![dataset, kind, until_us, environment, limits.neighbours_max];
                    edges.extend(all(self.0, WRITERS, params, neighbour)?);
                }
                edges.sort_by_key(|edge| std::cmp::Reverse(edge.last_us));
                edges
            }
            Relation::Readers { from_us } => {
                let until_us = limits.until_us;
                let before_us = match from_us {
                    Some(from_us) => {
                        let params = params![dataset, from_us, until_us, environment];
                        first(self.0, REPLACED_AT, params, |row| {
                            row.get(0).map_err(sqlite_error)
                        })?
                    }
                    None => None,
                };
                let (after_us, before_us) =
                    (from_us.unwrap_or(i64::MIN), before_us.unwrap_or(i64::MAX));
                let neighbours = limits.neighbours_max;
                let params = params![
                    dataset,
                    after_us,
                    before_us,
                    until_us,
                    environment,
                    neighbours
                ];
                let mut edges = all(self.0, READERS, params, neighbour)?;
                let kinds: &[i64] = match from_us {
                    Some(_) => &[ADDED],
                    None => &[ADDED, REPLACED],
                };
                for kind in kinds {
                    let params = params![
                        dataset,
                        after_us,
                        before_us,
                        until_us,
                        environment,
                        neighbours,
                        kind
                    ];
                    edges.extend(all(self.0, READ_AGAIN, params, neighbour)?);
                }
                edges
            }
        };
        Ok(sum_up(edges))
    }
}

impl LineageReader for SqliteLineage<'_> {
    async fn probe(
        &mut self,
        asked: &[Probe],
        limits: &Limits,
    ) -> Result<Vec<Vec<Neighbour>>, Error> {
        let answers = asked.iter().map(|probe| self.probe_one(*probe, limits));
        answers.collect()
    }

    async fn steps(&mut self, ids: &[i64], limits: &Limits) -> Result<Vec<StepNeighbours>, Error> {
        let step = |id: &i64| {
            let edges = all(self.0, NEIGHBOURS, params![id, limits.until_us], neighbour)?;
            Ok(StepNeighbours {
                started_us: first(self.0, STARTED, [id], |row| {
                    row.get(0).map_err(sqlite_error)
                })?
                .flatten(),
                neighbours: sum_up(edges),
                pairs: all(self.0, PAIRS, params![id, limits.until_us], |row| {
                    Ok((
                        row.get(0).map_err(sqlite_error)?,
                        row.get(1).map_err(sqlite_error)?,
                        row.get(2).map_err(sqlite_error)?,
                    ))
                })?,
            })
        };
        ids.iter().map(step).collect()
    }

    async fn dataset_nodes(&mut self, ids: &[i64], limits: &Limits) -> Result<Vec<Node>, Error> {
        let node = |id: &i64| {
            let dataset = first(self.0, DATASET, [id], |row| {
                Ok(Dataset {
                    namespace: row.get(0).map_err(sqlite_error)?,
                    name: row.get(1).map_err(sqlite_error)?,
                })
            })?;
            let dataset = dataset.ok_or_else(|| gone("dataset"))?;
            let last = self.last_writer(*id, limits.until_us, 0, limits)?;
            let last_run = match &last {
                Some(neighbour) => first(self.0, STEP_ID, [neighbour.other], |row| {
                    row.get(0).map_err(sqlite_error)
                })?,
                None => None,
            };
            Ok(Node::Dataset {
                id: String::new(),
                location: dataset.location(),
                namespace: dataset.namespace,
                name: dataset.name,
                last_run,
                row_count: last.and_then(|neighbour| neighbour.row_count),
                rows_changed: last.and_then(|neighbour| neighbour.rows_changed),
            })
        };
        ids.iter().map(node).collect()
    }

    async fn step_nodes(&mut self, ids: &[i64]) -> Result<Vec<Node>, Error> {
        let node = |id: &i64| {
            let found = first(self.0, queries::STEP_NODE, [id], |row| {
                queries::step_node(row)
            })?;
            found.map(|(_, node)| node).ok_or_else(|| gone("step"))
        };
        ids.iter().map(node).collect()
    }
}

fn neighbour(row: &Row<'_>) -> Result<Neighbour, Error> {
    Ok(Neighbour {
        other: row.get(0).map_err(sqlite_error)?,
        kind: row.get(1).map_err(sqlite_error)?,
        last_us: row.get(2).map_err(sqlite_error)?,
        count: 1,
        row_count: row.get(3).map_err(sqlite_error)?,
        rows_changed: row.get(4).map_err(sqlite_error)?,
    })
}

/// The error for an edge that points to a missing row.
fn gone(what: &str) -> Error {
    let context = format!("registry: an edge refers to a missing {what}; run `pudato doctor`");
    Error::new(ErrorKind::Corrupt, context)
}

const _: () = assert!(READ == 0, "the queries above say so");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{SqliteRegistry, resolve};

    /// This must hold at any scale.
    #[test]
    fn no_query_of_lineage_scans_a_table() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("registry.db");
        drop(SqliteRegistry::open(&path).expect("opened"));
        let connection = crate::sqlite::schema::open_reader(&path).expect("opened");
        let own = [resolve::EXACT, resolve::ENDING, queries::STEP_NODE];
        for query in QUERIES.iter().chain(&own) {
            let mut statement = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {query}"))
                .expect("a query");
            let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
            let plan = statement.query_map(rusqlite::params_from_iter(nulls), |row| {
                row.get::<_, String>(3)
            });
            for line in plan.expect("a plan") {
                let line = line.expect("a line");
                assert!(!line.starts_with("SCAN"), "{query}: {line}");
                assert!(
                    !line.contains("TEMP B-TREE") || query.contains("step = ?"),
                    "{query}: {line}"
                );
            }
        }
    }

    /// SQLite plans a statement again where a bound parameter could change its plan, unless it is told not to.
    #[test]
    fn no_query_of_lineage_is_planned_again_when_it_is_asked_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("registry.db");
        drop(SqliteRegistry::open(&path).expect("opened"));
        let connection = crate::sqlite::schema::open_reader(&path).expect("opened");
        let own = [resolve::EXACT, resolve::ENDING, queries::STEP_NODE];
        for query in QUERIES.iter().chain(&own) {
            let mut statement = connection.prepare(query).expect("a query");
            for n in 1..4 {
                let numbers = vec![n; statement.parameter_count()];
                let params = rusqlite::params_from_iter(numbers);
                let mut rows = statement.query(params).expect("asked");
                assert!(rows.next().expect("an answer").is_none());
            }
            let planned_again = statement.get_status(rusqlite::StatementStatus::RePrepare);
            assert_eq!(planned_again, 0, "{query}");
        }
    }
}
