//! The entries of one call, and what the call says of each: a failure inside of a success is a failure.

use super::error::entry;
use crate::{Error, ErrorKind};

/// BatchOutcome in the order of the entries. One that the call says nothing of counts as unknown.
pub(super) struct BatchOutcome<T> {
    what: &'static str,
    answers: Vec<EntryOutcome<T>>,
}

enum EntryOutcome<T> {
    /// It was sent, and nothing was said of it yet.
    Waits,
    Is(Result<T, Error>),
}

impl<T> BatchOutcome<T> {
    /// Of calls that do `what`.
    pub(super) fn new(what: &'static str) -> Self {
        Self {
            what,
            answers: Vec::new(),
        }
    }

    /// Adds an entry that is sent; answers the id under which.
    pub(super) fn sent(&mut self) -> String {
        self.answers.push(EntryOutcome::Waits);
        (self.answers.len() - 1).to_string()
    }

    /// Adds an entry that is not.
    pub(super) fn refused(&mut self, error: Error) {
        self.answers.push(EntryOutcome::Is(Err(error)));
    }

    /// The place of an entry that was sent.
    pub(super) fn place(&self, id: &str) -> Option<usize> {
        let place = id.parse().ok()?;
        matches!(self.answers.get(place), Some(EntryOutcome::Waits)).then_some(place)
    }

    /// What the call said of the entry at `place`.
    pub(super) fn set(&mut self, place: usize, answer: Result<T, Error>) {
        self.answers[place] = EntryOutcome::Is(answer);
    }

    /// The call said that an entry failed.
    pub(super) fn failed(&mut self, id: &str, code: &str, message: Option<&str>) {
        if let Some(place) = self.place(id) {
            self.set(place, Err(entry(self.what, code, message)));
        }
    }

    /// The call itself failed, and all that was sent with it.
    pub(super) fn all_failed(&mut self, error: &Error) {
        for answer in &mut self.answers {
            if matches!(answer, EntryOutcome::Waits) {
                *answer = EntryOutcome::Is(Err(error.clone()));
            }
        }
    }

    /// All of them.
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
