//! Which requests were answered, kept in the registry's database for fabrics that keep no answers themselves.

use crate::error::Error;
use crate::hash::sha256_hex;
use async_trait::async_trait;

/// A request, by its service and the key that makes two messages the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerKey<'a> {
    /// Keys of different services never meet.
    pub service: &'a str,
    /// The caller's key, or an identity of the message.
    pub key: &'a str,
}

/// An answer that shall be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptAnswer<'a> {
    /// Which request it answers.
    pub key: AnswerKey<'a>,
    /// Who has the request.
    pub owner: &'a str,
    /// What identifies the payload, where the request was not begun: it is begun and answered at once then, unless another has it.
    pub fingerprint: Option<&'a str>,
    /// The answer.
    pub answer: &'a str,
}

/// A request that runs, to be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningAnswer<'a> {
    /// Which request.
    pub key: AnswerKey<'a>,
    /// What identifies its payload.
    pub fingerprint: &'a str,
    /// Who runs it.
    pub owner: &'a str,
}

impl AnswerKey<'_> {
    /// One text for both, of the same length for all.
    pub(crate) fn text(&self) -> String {
        let length = self.service.len().to_le_bytes();
        sha256_hex(&[&length, self.service.as_bytes(), self.key.as_bytes()])
    }
}

/// What is known about a request that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is the caller's to run.
    New,
    /// It was answered, with this.
    Done(String),
    /// Another owner runs it until this time, in milliseconds since the Unix epoch.
    Busy(u64),
    /// The same key came before with another payload.
    Mismatch,
}

/// Keeps answers. Times are milliseconds since the Unix epoch.
#[async_trait]
pub trait AnswerStore: Send + Sync {
    /// Begins a request for `owner` until `until_ms`; the same owner may begin again, which renews that.
    ///
    /// # Errors
    /// `Unavailable`; nothing is begun then.
    async fn begin_answer(
        &self,
        key: AnswerKey<'_>,
        fingerprint: &str,
        owner: &str,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<Begun, Error>;

    /// Renews requests that their owners have begun and not answered, until `until_ms`; of others nothing changes. Answers for each, in
    /// their order, whether it was renewed.
    ///
    /// # Errors
    /// `Unavailable`; none is renewed then.
    async fn renew_answers(
        &self,
        running: &[RunningAnswer<'_>],
        until_ms: u64,
    ) -> Result<Vec<bool>, Error>;

    /// Keeps the answers of requests that their owners hold and that have none yet; of others nothing changes. Answers for each, in
    /// their order, whether the request is the owner's. All are kept, or none.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn keep_answers(
        &self,
        answers: &[KeptAnswer<'_>],
        now_ms: u64,
    ) -> Result<Vec<bool>, Error>;

    /// Forgets a request that `owner` holds and that has no answer; else nothing changes.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn abandon_answer(&self, key: AnswerKey<'_>, owner: &str) -> Result<(), Error>;

    /// Forgets requests that were begun or answered before `before_ms`; answers how many.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn forget_answers(&self, before_ms: u64) -> Result<u64, Error>;
}

/// Takes a request that is new, the owner's own, or nobody's any more.
pub(crate) const BEGIN: &str =
    "INSERT INTO answer (key, fingerprint, owner, busy_until_ms, at_ms) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, busy_until_ms = excluded.busy_until_ms
    WHERE answer.answer IS NULL AND answer.fingerprint = excluded.fingerprint
        AND (answer.owner = excluded.owner OR answer.busy_until_ms <= excluded.at_ms)
    RETURNING 1";

/// Why it could not be taken.
pub(crate) const STANDING: &str =
    "SELECT fingerprint, answer, busy_until_ms FROM answer WHERE key = $1";

pub(crate) const ABANDON: &str =
    "DELETE FROM answer WHERE key = $1 AND owner = $2 AND answer IS NULL";

pub(crate) const FORGET: &str = "DELETE FROM answer WHERE at_ms < $1 AND busy_until_ms < $1";

/// What a request that could not be taken is.
pub(crate) fn standing(
    fingerprint: &str,
    own: &str,
    answer: Option<String>,
    busy_until_ms: i64,
) -> Begun {
    match answer {
        _ if own != fingerprint => Begun::Mismatch,
        Some(answer) => Begun::Done(answer),
        None => Begun::Busy(u64::try_from(busy_until_ms).unwrap_or(0)),
    }
}

/// As the databases have it.
pub(crate) fn ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
