//! Records of requests, each together with others in one transaction.

use super::SqliteRegistry;
use super::columns::{first, run};
use crate::error::{Error, sqlite_error};
use crate::idempotency::{
    ABANDON, BEGIN, FORGET, STANDING, each, ms, standing, text, unavailable, until,
};
use async_trait::async_trait;
use pudato_messaging::{BeginOutcome, IdempotencyRecord, IdempotencyStore, Key, RunningRequest};
use rusqlite::{Connection, params};
use std::time::Duration;

const BEGIN_UNLESS_THERE: &str =
    "INSERT INTO answer (key, fingerprint, owner, busy_until_ms, at_ms) VALUES ($1, $2, $3, $4, $4)
    ON CONFLICT (key) DO NOTHING";

const KEEP: &str =
    "UPDATE answer SET answer = COALESCE(answer, $1), at_ms = $2 WHERE key = $3 AND owner = $4";

fn begin(
    connection: &Connection,
    request: &RunningRequest,
    now_ms: u64,
    lease: Duration,
) -> Result<BeginOutcome, Error> {
    let RunningRequest {
        key,
        fingerprint,
        owner,
    } = request;
    let key = text(key);
    let params = params![key, fingerprint, owner, until(now_ms, lease), ms(now_ms)];
    if first(connection, BEGIN, params, |_| Ok(()))?.is_some() {
        return Ok(BeginOutcome::New);
    }
    let found = first(connection, STANDING, [&key], |row| {
        let read = |row: &rusqlite::Row<'_>| {
            let own: String = row.get(0)?;
            Ok(standing(fingerprint, &own, row.get(1)?, row.get(2)?))
        };
        read(row).map_err(sqlite_error)
    })?;
    found.ok_or_else(|| sqlite_error(rusqlite::Error::QueryReturnedNoRows))
}

impl SqliteRegistry {
    async fn keep(&self, records: Vec<IdempotencyRecord>) -> Result<Vec<bool>, Error> {
        let now_ms = ms(self.clock.now_ms());
        self.write(move |change| {
            let mut kept = Vec::with_capacity(records.len());
            for record in &records {
                let IdempotencyRecord {
                    key, owner, answer, ..
                } = record;
                let key = text(key);
                if let Some(fingerprint) = &record.fingerprint {
                    let params = params![key, fingerprint, owner, now_ms];
                    run(&change.transaction, BEGIN_UNLESS_THERE, params)?;
                }
                let params = params![answer, now_ms, key, owner];
                kept.push(run(&change.transaction, KEEP, params)? > 0);
            }
            Ok(kept)
        })
        .await
    }
}

#[async_trait]
impl IdempotencyStore for SqliteRegistry {
    async fn begin(
        &self,
        key: &Key,
        fingerprint: &str,
        owner: &str,
        lease: Duration,
    ) -> Result<BeginOutcome, Error> {
        let request = RunningRequest {
            key: key.clone(),
            fingerprint: fingerprint.to_owned(),
            owner: owner.to_owned(),
        };
        let now_ms = self.clock.now_ms();
        let begun = self.write(move |change| begin(&change.transaction, &request, now_ms, lease));
        begun.await.map_err(unavailable)
    }

    async fn finish(&self, record: IdempotencyRecord) -> Result<bool, Error> {
        let kept = self.keep(vec![record]).await.map_err(unavailable)?;
        Ok(kept == [true])
    }

    async fn finish_all(&self, records: Vec<IdempotencyRecord>) -> Vec<Result<bool, Error>> {
        each(records.len(), self.keep(records).await)
    }

    async fn renew_all(
        &self,
        running: &[RunningRequest],
        lease: Duration,
    ) -> Vec<Result<bool, Error>> {
        if running.is_empty() {
            return Vec::new();
        }
        let (all, now_ms) = (running.to_vec(), self.clock.now_ms());
        let renewed = self.write(move |change| {
            let mut renewed = Vec::with_capacity(all.len());
            for one in &all {
                let begun = begin(&change.transaction, one, now_ms, lease)?;
                renewed.push(begun == BeginOutcome::New);
            }
            Ok(renewed)
        });
        each(running.len(), renewed.await)
    }

    async fn abandon(&self, key: &Key, owner: &str) -> Result<(), Error> {
        let (key, owner) = (text(key), owner.to_owned());
        let abandoned = self.write(move |change| run(&change.transaction, ABANDON, [key, owner]));
        abandoned.await.map(drop).map_err(unavailable)
    }

    async fn forget(&self, before_ms: u64) -> Result<Option<u64>, Error> {
        let forgotten = self.write(move |change| run(&change.transaction, FORGET, [ms(before_ms)]));
        forgotten.await.map(Some).map_err(unavailable)
    }
}
