//! From what people type to a dataset: the dataset of that very location; else the only one whose location ends in `/typed`,
//! `.typed` or `#typed`.

use crate::batch::no_nul;
use crate::error::{Error, ErrorKind};
use pudato_protocol::Dataset;

/// Most candidates that an error lists.
pub(crate) const CANDIDATES_MAX: usize = 10;

/// A dataset that was asked for; `id` is `None` where nobody named it yet.
pub(crate) struct Found {
    pub(crate) id: Option<i64>,
    pub(crate) dataset: Dataset,
}

/// What was typed.
pub(crate) struct Resolver<'a> {
    pub(crate) text: &'a str,
    pub(crate) dataset: Dataset,
}

impl<'a> Resolver<'a> {
    /// # Errors
    /// `Invalid`: there is a NUL in it.
    pub(crate) fn new(text: &'a str) -> Result<Self, Error> {
        no_nul("payload.location", text)?;
        Ok(Self {
            text,
            dataset: Dataset::parse(text),
        })
    }

    /// It is that very location.
    pub(crate) fn exact(self, id: i64) -> Found {
        Found {
            id: Some(id),
            dataset: self.dataset,
        }
    }

    /// Where locations that end in it lie among all that are written backwards: from the first text on, before the second.
    pub(crate) fn ranges(&self) -> Vec<(String, String)> {
        if self.text.is_empty() {
            return Vec::new();
        }
        let backwards: String = self.text.chars().rev().collect();
        let range = |separator: char| {
            // The next text after all that begin so ends in the next character.
            let next = char::from(separator as u8 + 1);
            (
                format!("{backwards}{separator}"),
                format!("{backwards}{next}"),
            )
        };
        ['/', '.', '#'].map(range).into()
    }
}

/// The only candidate.
///
/// # Errors
/// `Invalid`: there are several; they are listed.
pub(crate) fn choose(
    typed: Resolver<'_>,
    mut candidates: Vec<(i64, Dataset)>,
) -> Result<Found, Error> {
    match candidates.len() {
        0 => Ok(Found {
            id: None,
            dataset: typed.dataset,
        }),
        1 => {
            let (id, dataset) = candidates.remove(0);
            Ok(Found {
                id: Some(id),
                dataset,
            })
        }
        more => {
            let listed = candidates.iter().take(CANDIDATES_MAX);
            let listed: Vec<String> = listed.map(|(_, dataset)| dataset.location()).collect();
            let others = if more > CANDIDATES_MAX {
                " and others"
            } else {
                ""
            };
            let context = format!(
                "payload.location: {:?} may be {}{others}; name one of them in full",
                typed.text,
                listed.join(", ")
            );
            Err(Error::new(ErrorKind::Invalid, context))
        }
    }
}
