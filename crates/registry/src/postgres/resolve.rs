//! Finds a dataset by a typed text.

use super::session::{Session, rows};
use super::write::key;
use crate::error::Error;
use crate::resolve::{CANDIDATES_MAX, Found, Resolver, choose};
use pudato_protocol::Dataset;

/// The number of characters of a location that the index covers.
const INDEXED: usize = 400;

pub(super) async fn resolve(session: &Session<'_>, typed: &str) -> Result<Found, Error> {
    let typed = Resolver::new(typed)?;
    let sql = "SELECT id FROM dataset WHERE key = $1";
    let exact = rows(session, sql, &[&key(&typed.text)]).await?;
    if let Some(row) = exact.first() {
        return Ok(typed.exact(row.get(0)));
    }
    let mut candidates = Vec::new();
    for (from, until) in typed.ranges() {
        if from.chars().count() >= INDEXED {
            continue;
        }
        let sql = "SELECT id, namespace, name FROM dataset WHERE left(backwards, 400) >= $1
            AND left(backwards, 400) < $2 ORDER BY left(backwards, 400) LIMIT $3";
        let limit = i64::try_from(CANDIDATES_MAX + 1).unwrap_or(i64::MAX);
        for row in rows(session, sql, &[&from, &until, &limit]).await? {
            let dataset = Dataset {
                namespace: row.get(1),
                name: row.get(2),
            };
            candidates.push((row.get(0), dataset));
        }
    }
    choose(typed, candidates)
}
