//! The outcomes of the entries of one batch call. An entry can fail although the call succeeds.

use super::error::entry;
use crate::{Error, ErrorKind};

/// The outcomes of entries, in their order. An entry that the response does not mention has an unknown outcome.
pub(super) struct BatchOutcome<T> {
    what: &'static str,
    answers: Vec<EntryOutcome<T>>,
}

enum EntryOutcome<T> {
    /// The entry was sent, and the response has not mentioned it yet.
    Waits,
    Is(Result<T, Error>),
}

impl<T> BatchOutcome<T> {
    /// For calls of the operation `what`.
    pub(super) fn new(what: &'static str) -> Self {
        Self {
            what,
            answers: Vec::new(),
        }
    }

    /// Adds an entry to send, and returns its id within the call.
    pub(super) fn sent(&mut self) -> String {
        self.answers.push(EntryOutcome::Waits);
        (self.answers.len() - 1).to_string()
    }

    /// Adds an entry that is refused without being sent.
    pub(super) fn refused(&mut self, error: Error) {
        self.answers.push(EntryOutcome::Is(Err(error)));
    }

    /// The index of a sent entry, by its id.
    pub(super) fn place(&self, id: &str) -> Option<usize> {
        let place = id.parse().ok()?;
        matches!(self.answers.get(place), Some(EntryOutcome::Waits)).then_some(place)
    }

    /// Sets the outcome of the entry at `place`.
    pub(super) fn set(&mut self, place: usize, answer: Result<T, Error>) {
        self.answers[place] = EntryOutcome::Is(answer);
    }

    /// Marks an entry as failed.
    pub(super) fn failed(&mut self, id: &str, code: &str, message: Option<&str>) {
        if let Some(place) = self.place(id) {
            self.set(place, Err(entry(self.what, code, message)));
        }
    }

    /// Marks all sent entries as failed, because the call itself failed.
    pub(super) fn all_failed(&mut self, error: &Error) {
        for answer in &mut self.answers {
            if matches!(answer, EntryOutcome::Waits) {
                *answer = EntryOutcome::Is(Err(error.clone()));
            }
        }
    }

    /// The outcomes of all entries.
    pub(super) fn into_vec(self) -> Vec<Result<T, Error>> {
        let what = self.what;
        let silence = || Error::new(ErrorKind::Unavailable, format!("{what}: no answer"));
        let answers = self.answers.into_iter();
        answers
            .map(|answer| match answer {
                EntryOutcome::Waits => Err(silence()),
                EntryOutcome::Is(answer) => answer,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_has_its_own_answer_and_silence_is_unknown() {
        let mut answers = BatchOutcome::new("delete");
        assert_eq!(answers.sent(), "0");
        answers.refused(Error::new(ErrorKind::Invalid, "no receipt"));
        assert_eq!(answers.sent(), "2");
        assert_eq!(answers.sent(), "3");
        assert_eq!(answers.place("1"), None, "it was not sent");
        assert_eq!(answers.place("9"), None);
        answers.failed("2", "InternalError", Some("why"));
        answers.set(0, Ok("done"));
        let kinds = answers.into_vec().into_iter();
        let kinds: Vec<_> = kinds
            .map(|answer| answer.map_err(|error| error.kind))
            .collect();
        let unknown = Err(ErrorKind::Unavailable);
        assert_eq!(
            kinds,
            [Ok("done"), Err(ErrorKind::Invalid), unknown, unknown]
        );
    }

    #[test]
    fn a_call_that_fails_fails_what_was_sent_with_it_alone() {
        let mut answers = BatchOutcome::<()>::new("renew");
        answers.refused(Error::new(ErrorKind::Invalid, "no receipt"));
        answers.sent();
        answers.all_failed(&Error::new(ErrorKind::NotFound, "queue"));
        let kinds = answers.into_vec().into_iter();
        let kinds: Vec<_> = kinds
            .map(|answer| answer.map_err(|error| error.kind))
            .collect();
        assert_eq!(kinds, [Err(ErrorKind::Invalid), Err(ErrorKind::NotFound)]);
    }
}
