use super::PostgresRegistry;
use super::session::{rows, run};
use crate::answers::{
    ABANDON, AnswerKey, AnswerStore, BEGIN, Begun, FORGET, KeptAnswer, RunningAnswer, STANDING, ms,
    standing,
};
use crate::error::{Error, ErrorKind};
use async_trait::async_trait;
use std::collections::BTreeSet;
use tokio_postgres::types::ToSql;

/// How often a request is looked at that others begin and abandon meanwhile.
const LOOKS_MAX: u32 = 10;

/// Keeps answers of requests that nobody has.
const KEEP_NEW: &str =
    "INSERT INTO answer AS standing (key, owner, answer, busy_until_ms, at_ms, fingerprint)
    SELECT key, owner, answer, $4, $4, fingerprint
    FROM UNNEST($1::text[], $2::text[], $3::text[], $5::text[]) AS asked (key, owner, answer, fingerprint)
    ON CONFLICT (key) DO UPDATE SET answer = COALESCE(standing.answer, excluded.answer), at_ms = excluded.at_ms
    WHERE standing.owner = excluded.owner
    RETURNING key, owner";

/// Keeps answers of requests that their owners have.
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

/// An answer, and its key as the database has it.
struct Asked<'a> {
    key: String,
    answer: &'a KeptAnswer<'a>,
}

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

    async fn renew_answers(
        &self,
        running: &[RunningAnswer<'_>],
        until_ms: u64,
    ) -> Result<Vec<bool>, Error> {
        let keys: Vec<String> = running.iter().map(|one| one.key.text()).collect();
        let owners: Vec<&str> = running.iter().map(|one| one.owner).collect();
        let fingerprints: Vec<&str> = running.iter().map(|one| one.fingerprint).collect();
        let session = self.session().await?;
        let params: [&(dyn ToSql + Sync); 4] = [&keys, &owners, &fingerprints, &ms(until_ms)];
        let found = rows(&session, RENEW, &params).await?;
        let renewed = found.iter().map(|row| (row.get(0), row.get(1)));
        let renewed: BTreeSet<(String, String)> = renewed.collect();
        let asked = keys.into_iter().zip(owners);
        let is_renewed = |(key, owner): (String, &str)| renewed.contains(&(key, owner.to_owned()));
        Ok(asked.map(is_renewed).collect())
    }

    async fn keep_answers(
        &self,
        answers: &[KeptAnswer<'_>],
        now_ms: u64,
    ) -> Result<Vec<bool>, Error> {
        let mut asked: Vec<Asked<'_>> = answers
            .iter()
            .map(|one| Asked {
                key: one.key.text(),
                answer: one,
            })
            .collect();
        // In the order of their keys, so that no two sessions wait for each other.
        asked.sort_by(|a, b| a.key.cmp(&b.key));
        let (mut new, mut begun): (Vec<&Asked<'_>>, Vec<_>) = (Vec::new(), Vec::new());
        for one in &asked {
            // A statement inserts a key once; a second owner of it has lost.
            let is_first = new.last().is_none_or(|last| last.key != one.key);
            match one.answer.fingerprint {
                Some(_) if is_first => new.push(one),
                _ => begun.push(one),
            }
        }
        let session = self.session().await?;
        let is_one = new.is_empty() || begun.is_empty();
        if !is_one {
            session.begin().await?;
        }
        let mut kept = BTreeSet::new();
        for (sql, asked) in [(KEEP_NEW, new), (KEEP, begun)] {
            if asked.is_empty() {
                continue;
            }
            let keys: Vec<&str> = asked.iter().map(|one| one.key.as_str()).collect();
            let all = || asked.iter().map(|one| one.answer);
            let owners: Vec<&str> = all().map(|one| one.owner).collect();
            let texts: Vec<&str> = all().map(|one| one.answer).collect();
            let fingerprints: Vec<Option<&str>> = all().map(|one| one.fingerprint).collect();
            let at_ms = ms(now_ms);
            let params: [&(dyn ToSql + Sync); 5] = [&keys, &owners, &texts, &at_ms, &fingerprints];
            let params = if sql == KEEP { &params[..4] } else { &params };
            for row in rows(&session, sql, params).await? {
                kept.insert((row.get::<_, String>(0), row.get::<_, String>(1)));
            }
        }
        if !is_one {
            session.commit().await?;
        }
        let is_kept = |one: &KeptAnswer<'_>| kept.contains(&(one.key.text(), one.owner.to_owned()));
        Ok(answers.iter().map(is_kept).collect())
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
