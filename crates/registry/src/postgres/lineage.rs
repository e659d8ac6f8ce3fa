//! Reads lineage for the walk. Every query uses an index and serves many datasets or steps at once.

use super::session::{Session, all, rows};
use crate::error::{Error, ErrorKind};
use crate::model::Node;
use crate::queries::{self, is_complete, is_of_job};
use crate::walk::{Limits, LineageReader, Neighbour, Probe, Relation, StepNeighbours, sum_up};
use futures_util::future::join3;
use pudato_protocol::Dataset;
use std::collections::HashMap;
use tokio_postgres::Row;

pub(super) struct PostgresLineage<'a>(pub(super) &'a Session<'a>);

/// Whether the edge `e` belongs to a job in the environment `$env`.
macro_rules! in_environment {
    ($param:literal) => {
        concat!(
            "(CAST(",
            $param,
            " AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM step JOIN job ON job.id = step.job AND ",
            is_of_job!(),
            " WHERE step.id = e.step AND job.environment = ",
            $param,
            "))"
        )
    };
}

/// The last write of `a.dataset` until `a.until_us` by a step other than `a.not_step`.
macro_rules! last_writer {
    ($env:literal) => {
        concat!(
            "LATERAL (SELECT * FROM (
               (SELECT e.step, e.kind, e.at_us, e.row_count, e.seen_us, e.rows_changed FROM edge e WHERE e.dataset = a.dataset AND e.kind = 1
                AND e.seen_us <= a.until_us AND e.step <> a.not_step AND ",
            in_environment!($env),
            " ORDER BY e.seen_us DESC LIMIT 1)
               UNION ALL
               (SELECT e.step, e.kind, e.at_us, e.row_count, e.seen_us, e.rows_changed FROM edge e WHERE e.dataset = a.dataset AND e.kind = 2
                AND e.seen_us <= a.until_us AND e.step <> a.not_step AND ",
            in_environment!($env),
            " ORDER BY e.seen_us DESC LIMIT 1)) AS both_kinds ORDER BY seen_us DESC, kind LIMIT 1) AS w"
        )
    };
}

/// Clocks are coarse: several steps may have written at the instant of the last write.
const LAST_WRITERS: &str = concat!(
    "SELECT a.n, same.step, same.kind, same.at_us, same.row_count, same.rows_changed
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS a (n, dataset, until_us, not_step) CROSS JOIN ",
    last_writer!("$5"),
    " CROSS JOIN LATERAL (SELECT e.step, e.kind, e.at_us, e.row_count, e.rows_changed FROM edge e WHERE e.dataset = a.dataset
        AND e.kind IN (1, 2) AND e.seen_us = w.seen_us AND e.step <> a.not_step AND ",
    in_environment!("$5"),
    " LIMIT $6) AS same"
);

const WRITERS: &str = concat!(
    "SELECT a.n, w.step, w.kind, w.at_us, w.row_count, w.rows_changed FROM unnest($1::bigint[], $2::bigint[]) AS a (n, dataset)
     CROSS JOIN LATERAL (SELECT * FROM (
       (SELECT e.step, e.kind, e.at_us, e.row_count, e.seen_us, e.rows_changed FROM edge e WHERE e.dataset = a.dataset AND e.kind = 1
        AND e.seen_us <= $3 AND ",
    in_environment!("$4"),
    " ORDER BY e.seen_us DESC LIMIT $5)
       UNION ALL
       (SELECT e.step, e.kind, e.at_us, e.row_count, e.seen_us, e.rows_changed FROM edge e WHERE e.dataset = a.dataset AND e.kind = 2
        AND e.seen_us <= $3 AND ",
    in_environment!("$4"),
    " ORDER BY e.seen_us DESC LIMIT $5)) AS both_kinds ORDER BY seen_us DESC LIMIT $5) AS w ORDER BY a.n, w.seen_us DESC"
);

/// The reads from `a.from_us` until the next write that replaces the dataset, and the writes of steps that read it again; a null `from_us`
/// selects all.
const READERS: &str = concat!(
    "SELECT a.n, r.step, r.kind, r.at_us, r.row_count, r.rows_changed FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
       AS a (n, dataset, from_us)
     CROSS JOIN LATERAL (SELECT COALESCE((SELECT e.seen_us FROM edge e WHERE e.dataset = a.dataset AND e.kind = 1
        AND e.seen_us > a.from_us AND e.seen_us <= $4 AND ",
    in_environment!("$5"),
    " ORDER BY e.seen_us LIMIT 1), 9223372036854775807) AS before_us) AS b
     CROSS JOIN LATERAL ((SELECT e.step, e.kind, e.at_us, e.row_count, e.seen_us, e.rows_changed FROM edge e
        WHERE e.dataset = a.dataset AND e.kind = 0 AND e.seen_us >= COALESCE(a.from_us, -9223372036854775808)
        AND e.seen_us < b.before_us AND e.at_us <= $4 AND ",
    in_environment!("$5"),
    " ORDER BY e.seen_us DESC LIMIT $6)
       UNION ALL
       (SELECT e.step, e.kind, e.at_us, e.row_count, e.seen_us, e.rows_changed FROM edge e
        WHERE e.dataset = a.dataset AND e.kind IN (1, 2) AND (e.kind = 2 OR a.from_us IS NULL)
        AND e.seen_us >= COALESCE(a.from_us, -9223372036854775808) AND e.seen_us < b.before_us AND e.at_us <= $4
        AND EXISTS (SELECT 1 FROM pair p WHERE p.step = e.step AND p.input = e.dataset AND p.is_own) AND ",
    in_environment!("$5"),
    " ORDER BY e.seen_us DESC LIMIT $6)) AS r ORDER BY a.n, r.seen_us DESC"
);

const STARTED: &str = "SELECT id, started_us FROM step WHERE id = ANY($1)";

const NEIGHBOURS: &str = "SELECT step, dataset, kind, at_us, row_count, rows_changed FROM edge
     WHERE step = ANY($1) AND at_us <= $2 ORDER BY at_us DESC";

const PAIRS: &str =
    "SELECT step, output, input, is_own FROM pair WHERE step = ANY($1) AND at_us <= $2";

const DATASETS: &str = concat!(
    "SELECT a.dataset, d.namespace, d.name, s.step_id, w.row_count, w.rows_changed
     FROM (SELECT id AS dataset, $2::bigint AS until_us, 0 AS not_step FROM unnest($1::bigint[]) AS id) AS a
     JOIN dataset d ON d.id = a.dataset LEFT JOIN ",
    last_writer!("$3"),
    " ON true LEFT JOIN step s ON s.id = w.step"
);

impl PostgresLineage<'_> {
    async fn last_writers(
        &self,
        asked: &[(i64, i64, i64, i64)],
        limits: &Limits,
    ) -> Result<Vec<Row>, Error> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let n: Vec<i64> = asked.iter().map(|asked| asked.0).collect();
        let dataset: Vec<i64> = asked.iter().map(|asked| asked.1).collect();
        let until = |asked: &(i64, i64, i64, i64)| asked.2.min(limits.until_us);
        let until_us: Vec<i64> = asked.iter().map(until).collect();
        let not: Vec<i64> = asked.iter().map(|asked| asked.3).collect();
        let (environment, neighbours) = (&limits.environment, &limits.neighbours_max);
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&n, &dataset, &until_us, &not, environment, neighbours];
        rows(self.0, LAST_WRITERS, &params).await
    }

    async fn writers(&self, asked: &[(i64, i64)], limits: &Limits) -> Result<Vec<Row>, Error> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let (n, dataset): (Vec<i64>, Vec<i64>) = asked.iter().copied().unzip();
        let Limits {
            until_us,
            environment,
            neighbours_max: neighbours,
        } = limits;
        rows(
            self.0,
            WRITERS,
            &[&n, &dataset, until_us, environment, neighbours],
        )
        .await
    }

    async fn readers(
        &self,
        asked: &[(i64, i64, Option<i64>)],
        limits: &Limits,
    ) -> Result<Vec<Row>, Error> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let n: Vec<i64> = asked.iter().map(|asked| asked.0).collect();
        let dataset: Vec<i64> = asked.iter().map(|asked| asked.1).collect();
        let from_us: Vec<Option<i64>> = asked.iter().map(|asked| asked.2).collect();
        let Limits {
            until_us,
            environment,
            neighbours_max: neighbours,
        } = limits;
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&n, &dataset, &from_us, until_us, environment, neighbours];
        rows(self.0, READERS, &params).await
    }
}

impl LineageReader for PostgresLineage<'_> {
    async fn probe(
        &mut self,
        asked: &[Probe],
        limits: &Limits,
    ) -> Result<Vec<Vec<Neighbour>>, Error> {
        let (mut last, mut writers, mut readers) = (Vec::new(), Vec::new(), Vec::new());
        for (n, Probe { dataset, relation }) in (0..).zip(asked) {
            match *relation {
                Relation::LastWriter { until_us, not } => last.push((n, *dataset, until_us, not)),
                Relation::Writers => writers.push((n, *dataset)),
                Relation::Readers { from_us } => readers.push((n, *dataset, from_us)),
            }
        }
        let (last, writers, readers) = tokio::join!(
            self.last_writers(&last, limits),
            self.writers(&writers, limits),
            self.readers(&readers, limits)
        );
        let found = all([last, writers, readers])?;
        let mut answers = vec![Vec::new(); asked.len()];
        for row in found.iter().flatten() {
            let n = usize::try_from(row.get::<_, i64>(0)).unwrap_or_default();
            answers[n].push(neighbour(row));
        }
        Ok(answers.into_iter().map(sum_up).collect())
    }

    async fn steps(&mut self, ids: &[i64], limits: &Limits) -> Result<Vec<StepNeighbours>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let until_us = limits.until_us;
        let (started, neighbours, pairs) = join3(
            rows(self.0, STARTED, &[&ids]),
            rows(self.0, NEIGHBOURS, &[&ids, &until_us]),
            rows(self.0, PAIRS, &[&ids, &until_us]),
        )
        .await;
        // If one of them failed, report that error.
        let mut answers = all([started, neighbours, pairs])?.into_iter();
        let mut next = || answers.next().unwrap_or_default();
        let (started, neighbours, pairs) = (next(), next(), next());
        let mut steps: HashMap<i64, StepNeighbours> = HashMap::new();
        for row in &started {
            steps.entry(row.get(0)).or_default().started_us = row.get(1);
        }
        for row in &neighbours {
            steps
                .entry(row.get(0))
                .or_default()
                .neighbours
                .push(neighbour(row));
        }
        for row in &pairs {
            let pair = (row.get(1), row.get(2), row.get(3));
            steps.entry(row.get(0)).or_default().pairs.push(pair);
        }
        let step = |id: &i64| {
            let mut step = steps.remove(id).unwrap_or_default();
            step.neighbours = sum_up(step.neighbours);
            step
        };
        Ok(ids.iter().map(step).collect())
    }

    async fn dataset_nodes(&mut self, ids: &[i64], limits: &Limits) -> Result<Vec<Node>, Error> {
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&ids, &limits.until_us, &limits.environment];
        let found = rows(self.0, DATASETS, &params).await?;
        let node = |row: &Row| {
            let dataset = Dataset {
                namespace: row.get(1),
                name: row.get(2),
            };
            let node = Node::Dataset {
                id: String::new(),
                location: dataset.location(),
                namespace: dataset.namespace,
                name: dataset.name,
                last_run: row.get(3),
                row_count: count(row, 4),
                rows_changed: count(row, 5),
            };
            (row.get(0), node)
        };
        in_order(ids, found.iter().map(node).collect())
    }

    async fn step_nodes(&mut self, ids: &[i64]) -> Result<Vec<Node>, Error> {
        let found = rows(self.0, queries::STEP_NODES, &[&ids]).await?;
        let nodes = found.iter().map(|row| queries::step_node(row));
        in_order(ids, nodes.collect::<Result<_, _>>()?)
    }
}

fn count(row: &Row, column: usize) -> Option<u64> {
    let rows: Option<i64> = row.get(column);
    rows.and_then(|rows| u64::try_from(rows).ok())
}

fn neighbour(row: &Row) -> Neighbour {
    Neighbour {
        other: row.get(1),
        kind: row.get(2),
        last_us: row.get(3),
        count: 1,
        row_count: count(row, 4),
        rows_changed: count(row, 5),
    }
}

fn in_order(ids: &[i64], mut nodes: HashMap<i64, Node>) -> Result<Vec<Node>, Error> {
    let nodes = ids.iter().map(|id| nodes.remove(id));
    nodes.collect::<Option<Vec<_>>>().ok_or_else(|| {
        let context = "registry: an edge refers to a missing row; run `pudato doctor`";
        Error::new(ErrorKind::Corrupt, context)
    })
}
