use super::SqliteRegistry;
use super::columns::{first, run};
use crate::answers::{
    ABANDON, AnswerKey, AnswerStore, BEGIN, Begun, FORGET, KeptAnswer, RunningAnswer, STANDING, ms,
    standing,
};
use crate::error::{Error, sqlite_error};
use async_trait::async_trait;
use rusqlite::params;

const BEGIN_UNLESS_THERE: &str =
    "INSERT INTO answer (key, fingerprint, owner, busy_until_ms, at_ms) VALUES ($1, $2, $3, $4, $4)
    ON CONFLICT (key) DO NOTHING";

const KEEP: &str =
    "UPDATE answer SET answer = COALESCE(answer, $1), at_ms = $2 WHERE key = $3 AND owner = $4";

const RENEW: &str = "UPDATE answer SET busy_until_ms = $1
    WHERE key = $2 AND owner = $3 AND fingerprint = $4 AND answer IS NULL";

#[async_trait]
impl AnswerStore for SqliteRegistry {
    async fn begin_answer(
        &self,
        key: AnswerKey<'_>,
        fingerprint: &str,
        owner: &str,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<Begun, Error> {
        let (key, fingerprint, owner) = (key.text(), fingerprint.to_owned(), owner.to_owned());
        self.write(move |change| {
            let connection = &change.transaction;
            let params = params![key, fingerprint, owner, ms(until_ms), ms(now_ms)];
            if first(connection, BEGIN, params, |_| Ok(()))?.is_some() {
                return Ok(Begun::New);
            }
            let found = first(connection, STANDING, [&key], |row| {
                let own: String = row.get(0).map_err(sqlite_error)?;
                Ok(standing(
                    &fingerprint,
                    &own,
                    row.get(1).map_err(sqlite_error)?,
                    row.get(2).map_err(sqlite_error)?,
                ))
            })?;
            found.ok_or_else(|| sqlite_error(rusqlite::Error::QueryReturnedNoRows))
        })
        .await
    }

    async fn renew_answers(
        &self,
        running: &[RunningAnswer<'_>],
        until_ms: u64,
    ) -> Result<Vec<bool>, Error> {
        let running: Vec<_> = running
            .iter()
            .map(|one| {
                let (owner, fingerprint) = (one.owner.to_owned(), one.fingerprint.to_owned());
                (one.key.text(), owner, fingerprint)
            })
            .collect();
        self.write(move |change| {
            let mut renew = change
                .transaction
                .prepare_cached(RENEW)
                .map_err(sqlite_error)?;
            let mut renewed = Vec::with_capacity(running.len());
            for (key, owner, fingerprint) in &running {
                let params = params![ms(until_ms), key, owner, fingerprint];
                renewed.push(renew.execute(params).map_err(sqlite_error)? > 0);
            }
            Ok(renewed)
        })
        .await
    }

    async fn keep_answers(
        &self,
        answers: &[KeptAnswer<'_>],
        now_ms: u64,
    ) -> Result<Vec<bool>, Error> {
        let answers: Vec<_> = answers
            .iter()
            .map(|one| {
                let fingerprint = one.fingerprint.map(str::to_owned);
                let (owner, answer) = (one.owner.to_owned(), one.answer.to_owned());
                (one.key.text(), owner, fingerprint, answer)
            })
            .collect();
        self.write(move |change| {
            let mut begin = change
                .transaction
                .prepare_cached(BEGIN_UNLESS_THERE)
                .map_err(sqlite_error)?;
            let mut keep = change
                .transaction
                .prepare_cached(KEEP)
                .map_err(sqlite_error)?;
            let mut kept = Vec::with_capacity(answers.len());
            for (key, owner, fingerprint, answer) in &answers {
                if let Some(fingerprint) = fingerprint {
                    begin
                        .execute(params![key, fingerprint, owner, ms(now_ms)])
                        .map_err(sqlite_error)?;
                }
                kept.push(
                    keep.execute(params![answer, ms(now_ms), key, owner])
                        .map_err(sqlite_error)?
                        > 0,
                );
            }
            Ok(kept)
        })
        .await
    }

    async fn abandon_answer(&self, key: AnswerKey<'_>, owner: &str) -> Result<(), Error> {
        let (key, owner) = (key.text(), owner.to_owned());
        self.write(move |change| {
            run(&change.transaction, ABANDON, [key, owner])?;
            Ok(())
        })
        .await
    }

    async fn forget_answers(&self, before_ms: u64) -> Result<u64, Error> {
        self.write(move |change| {
            let mut forget = change
                .transaction
                .prepare_cached(FORGET)
                .map_err(sqlite_error)?;
            Ok(forget.execute([ms(before_ms)]).map_err(sqlite_error)? as u64)
        })
        .await
    }
}
