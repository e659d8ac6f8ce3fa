use super::SqliteRegistry;
use super::columns::first;
use crate::answers::{
    ABANDON, AnswerKey, AnswerStore, BEGIN, Begun, FORGET, KEEP, STANDING, ms, standing,
};
use crate::error::Error;
use async_trait::async_trait;
use rusqlite::params;

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
                let own: String = row.get(0)?;
                Ok(standing(&fingerprint, &own, row.get(1)?, row.get(2)?))
            })?;
            found.ok_or_else(|| rusqlite::Error::QueryReturnedNoRows.into())
        })
        .await
    }

    async fn keep_answer(
        &self,
        key: AnswerKey<'_>,
        owner: &str,
        answer: &str,
        now_ms: u64,
    ) -> Result<bool, Error> {
        let (key, owner, answer) = (key.text(), owner.to_owned(), answer.to_owned());
        self.write(move |change| {
            let params = params![answer, ms(now_ms), key, owner];
            let changed = change.transaction.prepare_cached(KEEP)?.execute(params)?;
            Ok(changed > 0)
        })
        .await
    }

    async fn abandon_answer(&self, key: AnswerKey<'_>, owner: &str) -> Result<(), Error> {
        let (key, owner) = (key.text(), owner.to_owned());
        self.write(move |change| {
            change
                .transaction
                .prepare_cached(ABANDON)?
                .execute([key, owner])?;
            Ok(())
        })
        .await
    }

    async fn forget_answers(&self, before_ms: u64) -> Result<u64, Error> {
        self.write(move |change| {
            let mut forget = change.transaction.prepare_cached(FORGET)?;
            Ok(forget.execute([ms(before_ms)])? as u64)
        })
        .await
    }
}
