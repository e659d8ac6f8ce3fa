//! Records of requests, many in one statement.

use super::PostgresRegistry;
use super::session::{rows, run};
use crate::error::{Error, ErrorKind};
use crate::idempotency::{
    ABANDON, BEGIN, FORGET, STANDING, each, ms, standing, text, unavailable, until,
};
use async_trait::async_trait;
use futures_util::future::join_all;
use pudato_messaging::{BeginOutcome, IdempotencyRecord, IdempotencyStore, Key, RunningRequest};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_postgres::types::ToSql;

/// How often a request is looked at that others begin and abandon meanwhile.
const LOOKS_MAX: u32 = 10;

/// Stores answers of requests that nobody has.
const KEEP_NEW: &str =
    "INSERT INTO answer AS standing (key, owner, answer, busy_until_ms, at_ms, fingerprint)
    SELECT key, owner, answer, $4, $4, fingerprint
    FROM UNNEST($1::text[], $2::text[], $3::text[], $5::text[]) AS asked (key, owner, answer, fingerprint)
    ON CONFLICT (key) DO UPDATE SET answer = COALESCE(standing.answer, excluded.answer), at_ms = excluded.at_ms
    WHERE standing.owner = excluded.owner
    RETURNING key, owner";

/// Stores answers of requests that their owners have.
const KEEP: &str = "UPDATE answer SET answer = COALESCE(answer.answer, asked.answer), at_ms = $4
    FROM UNNEST($1::text[], $2::text[], $3::text[]) AS asked (key, owner, answer)
    WHERE answer.key = asked.key AND answer.owner = asked.owner
    RETURNING answer.key, answer.owner";

/// Renews requests that their owners have.
const RENEW: &str = "UPDATE answer SET busy_until_ms = $4
    FROM UNNEST($1::text[], $2::text[], $3::text[]) AS asked (key, owner, fingerprint)
    WHERE answer.key = asked.key AND answer.owner = asked.owner AND answer.fingerprint = asked.fingerprint
        AND answer.answer IS NULL
    RETURNING answer.key, answer.owner";

/// A record, and its key as the database has it.
struct Asked<'a> {
    key: String,
    record: &'a IdempotencyRecord,
}

impl PostgresRegistry {
    async fn take(
        &self,
        key: &Key,
        fingerprint: &str,
        owner: &str,
        lease: Duration,
    ) -> Result<BeginOutcome, Error> {
        let key = text(key);
        let now_ms = self.clock.now_ms();
        let (now_ms, until_ms) = (ms(now_ms), until(now_ms, lease));
        let session = self.session().await?;
        for _ in 0..LOOKS_MAX {
            let params: [&(dyn ToSql + Sync); 5] = [&key, &fingerprint, &owner, &until_ms, &now_ms];
            if !rows(&session, BEGIN, &params).await?.is_empty() {
                return Ok(BeginOutcome::New);
            }
            if let Some(row) = rows(&session, STANDING, &[&key]).await?.first() {
                let own: String = row.get(0);
                return Ok(standing(fingerprint, &own, row.get(1), row.get(2)));
            }
        }
        let context = "registry: a request is begun and abandoned by others all the time";
        Err(Error::new(ErrorKind::Unavailable, context))
    }

    async fn renew(&self, running: &[RunningRequest], lease: Duration) -> Result<Vec<bool>, Error> {
        let keys: Vec<String> = running.iter().map(|one| text(&one.key)).collect();
        let owners: Vec<&str> = running.iter().map(|one| one.owner.as_str()).collect();
        let fingerprints: Vec<&str> = running.iter().map(|one| one.fingerprint.as_str()).collect();
        let until_ms = until(self.clock.now_ms(), lease);
        let session = self.session().await?;
        let params: [&(dyn ToSql + Sync); 4] = [&keys, &owners, &fingerprints, &until_ms];
        let found = rows(&session, RENEW, &params).await?;
        let renewed = found.iter().map(|row| (row.get(0), row.get(1)));
        let renewed: BTreeSet<(String, String)> = renewed.collect();
        let asked = keys.into_iter().zip(owners);
        let is_renewed = |(key, owner): (String, &str)| renewed.contains(&(key, owner.to_owned()));
        Ok(asked.map(is_renewed).collect())
    }

    async fn keep(&self, records: &[IdempotencyRecord]) -> Result<Vec<bool>, Error> {
        let mut asked: Vec<Asked<'_>> = records
            .iter()
            .map(|record| Asked {
                key: text(&record.key),
                record,
            })
            .collect();
        // In the order of their keys, so that no two sessions wait for each other.
        asked.sort_by(|a, b| a.key.cmp(&b.key));
        let (mut new, mut begun): (Vec<&Asked<'_>>, Vec<_>) = (Vec::new(), Vec::new());
        for one in &asked {
            // A statement inserts a key once; a second owner of it has lost.
            let is_first = new.last().is_none_or(|last| last.key != one.key);
            match one.record.fingerprint {
                Some(_) if is_first => new.push(one),
                _ => begun.push(one),
            }
        }
        let session = self.session().await?;
        let is_one = new.is_empty() || begun.is_empty();
        if !is_one {
            session.begin().await?;
        }
        let at_ms = ms(self.clock.now_ms());
        let mut kept = BTreeSet::new();
        for (sql, asked) in [(KEEP_NEW, new), (KEEP, begun)] {
            if asked.is_empty() {
                continue;
            }
            let keys: Vec<&str> = asked.iter().map(|one| one.key.as_str()).collect();
            let all = || asked.iter().map(|one| one.record);
            let owners: Vec<&str> = all().map(|one| one.owner.as_str()).collect();
            let texts: Vec<&str> = all().map(|one| one.answer.as_str()).collect();
            let fingerprints: Vec<_> = all().map(|one| one.fingerprint.as_deref()).collect();
            let params: [&(dyn ToSql + Sync); 5] = [&keys, &owners, &texts, &at_ms, &fingerprints];
            let params = if sql == KEEP { &params[..4] } else { &params };
            for row in rows(&session, sql, params).await? {
                kept.insert((row.get::<_, String>(0), row.get::<_, String>(1)));
            }
        }
        if !is_one {
            session.commit().await?;
        }
        let is_kept = |one: &IdempotencyRecord| kept.contains(&(text(&one.key), one.owner.clone()));
        Ok(records.iter().map(is_kept).collect())
    }
}

#[async_trait]
impl IdempotencyStore for PostgresRegistry {
    async fn begin(
        &self,
        key: &Key,
        fingerprint: &str,
        owner: &str,
        lease: Duration,
    ) -> Result<BeginOutcome, Error> {
        let begun = self.take(key, fingerprint, owner, lease).await;
        begun.map_err(unavailable)
    }

    async fn finish(&self, record: IdempotencyRecord) -> Result<bool, Error> {
        let kept = self.keep(&[record]).await.map_err(unavailable)?;
        Ok(kept == [true])
    }

    async fn finish_all(&self, records: Vec<IdempotencyRecord>) -> Vec<Result<bool, Error>> {
        each(records.len(), self.keep(&records).await)
    }

    /// One statement for all; what it does not renew is begun again one by one, which says why.
    async fn renew_all(
        &self,
        running: &[RunningRequest],
        lease: Duration,
    ) -> Vec<Result<bool, Error>> {
        if running.is_empty() {
            return Vec::new();
        }
        let renewed = each(running.len(), self.renew(running, lease).await);
        let all = running.iter().zip(renewed);
        let begun = all.map(|(one, is_renewed)| async move {
            if is_renewed? {
                return Ok(true);
            }
            let begun = self.begin(&one.key, &one.fingerprint, &one.owner, lease);
            begun.await.map(|begun| begun == BeginOutcome::New)
        });
        join_all(begun).await
    }

    async fn abandon(&self, key: &Key, owner: &str) -> Result<(), Error> {
        let abandoned = async {
            let session = self.session().await?;
            run(&session, ABANDON, &[&text(key), &owner]).await
        };
        abandoned.await.map(drop).map_err(unavailable)
    }

    async fn forget(&self, before_ms: u64) -> Result<Option<u64>, Error> {
        let forgotten = async {
            let session = self.session().await?;
            run(&session, FORGET, &[&ms(before_ms)]).await
        };
        forgotten.await.map(Some).map_err(unavailable)
    }
}
