//! Writes the edges of a batch.

use super::session::{Session, run};
use crate::batch::Plan;
use crate::error::Error;
use tokio_postgres::types::ToSql;

/// Writes the edges. `steps` and `results` are the rows of the plan's steps and Results.
pub(super) async fn write(
    session: &Session<'_>,
    plan: &Plan<'_>,
    steps: &[i64],
    results: &[i64],
) -> Result<(), Error> {
    let edges = &plan.edges[..];
    if edges.is_empty() {
        return Ok(());
    }
    let dataset: Vec<i64> = edges.iter().map(|edge| edge.dataset).collect();
    let kind: Vec<i64> = edges.iter().map(|edge| edge.kind).collect();
    let seen_us: Vec<i64> = edges.iter().map(|edge| edge.seen_us).collect();
    let result: Vec<i64> = edges.iter().map(|edge| edge.result.row(results)).collect();
    let position: Vec<i64> = edges.iter().map(|edge| edge.position).collect();
    let step: Vec<i64> = edges.iter().map(|edge| steps[edge.step]).collect();
    let at_us: Vec<i64> = edges.iter().map(|edge| edge.at_us).collect();
    let version: Vec<Option<&str>> = edges.iter().map(|edge| edge.version).collect();
    let row_count: Vec<Option<i64>> = edges.iter().map(|edge| edge.row_count).collect();
    let bytes: Vec<Option<i64>> = edges.iter().map(|edge| edge.bytes).collect();
    let changed: Vec<Option<i64>> = edges.iter().map(|edge| edge.rows_changed).collect();
    let sql = "INSERT INTO edge (dataset, kind, seen_us, result, position, step, at_us, version, row_count, bytes, rows_changed)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
        $7::bigint[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[])";
    let params: [&(dyn ToSql + Sync); 11] = [
        &dataset, &kind, &seen_us, &result, &position, &step, &at_us, &version, &row_count, &bytes,
        &changed,
    ];
    run(session, sql, &params).await?;
    Ok(())
}

/// Writes the inputs of each output, as [`write`].
pub(super) async fn write_pairs(
    session: &Session<'_>,
    plan: &Plan<'_>,
    steps: &[i64],
    results: &[i64],
) -> Result<(), Error> {
    let pairs = &plan.pairs[..];
    if pairs.is_empty() {
        return Ok(());
    }
    let step: Vec<i64> = pairs.iter().map(|pair| steps[pair.step]).collect();
    let output: Vec<i64> = pairs.iter().map(|pair| pair.output).collect();
    let input: Vec<i64> = pairs.iter().map(|pair| pair.input).collect();
    let result: Vec<i64> = pairs.iter().map(|pair| pair.result.row(results)).collect();
    let at_us: Vec<i64> = pairs.iter().map(|pair| pair.at_us).collect();
    let is_own: Vec<bool> = pairs.iter().map(|pair| pair.is_own).collect();
    let sql = "INSERT INTO pair (step, output, input, result, at_us, is_own)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[])";
    run(
        session,
        sql,
        &[&step, &output, &input, &result, &at_us, &is_own],
    )
    .await?;
    Ok(())
}
