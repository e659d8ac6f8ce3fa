use super::PostgresRegistry;
use super::session::{rows, run};
use crate::answers::{
    ABANDON, AnswerKey, AnswerStore, BEGIN, Begun, FORGET, KEEP, STANDING, ms, standing,
};
use crate::error::{Error, ErrorKind};
use async_trait::async_trait;
use tokio_postgres::types::ToSql;

/// How often a request is looked at that others begin and abandon meanwhile.
const LOOKS_MAX: u32 = 10;

#[async_trait]
impl AnswerStore for PostgresRegistry {
    async fn begin_answer(
        &self,
        key: AnswerKey<'_>,
        fingerprint: &str,
        owner: &str,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<Begun, Error> {
        let key = key.text();
        let (now_ms, until_ms) = (ms(now_ms), ms(until_ms));
        let session = self.session().await?;
        for _ in 0..LOOKS_MAX {
            let params: [&(dyn ToSql + Sync); 5] = [&key, &fingerprint, &owner, &until_ms, &now_ms];
            if !rows(&session, BEGIN, &params).await?.is_empty() {
                return Ok(Begun::New);
            }
            if let Some(row) = rows(&session, STANDING, &[&key]).await?.first() {
                let own: String = row.get(0);
                return Ok(standing(fingerprint, &own, row.get(1), row.get(2)));
            }
        }
        let context = "registry: a request is begun and abandoned by others all the time";
        Err(Error::new(ErrorKind::Unavailable, context))
    }

    async fn keep_answer(
        &self,
        key: AnswerKey<'_>,
        owner: &str,
        answer: &str,
        now_ms: u64,
    ) -> Result<bool, Error> {
        let session = self.session().await?;
        let params: [&(dyn ToSql + Sync); 4] = [&answer, &ms(now_ms), &key.text(), &owner];
        Ok(run(&session, KEEP, &params).await? > 0)
    }

    async fn abandon_answer(&self, key: AnswerKey<'_>, owner: &str) -> Result<(), Error> {
        let session = self.session().await?;
        run(&session, ABANDON, &[&key.text(), &owner]).await?;
        Ok(())
    }

    async fn forget_answers(&self, before_ms: u64) -> Result<u64, Error> {
        let session = self.session().await?;
        run(&session, FORGET, &[&ms(before_ms)]).await
    }
}
