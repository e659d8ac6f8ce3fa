//! From what people type to a dataset: the dataset of that very location; else the only one whose location ends in `/typed`,
//! `.typed` or `#typed`.

use crate::batch::no_nul;
use crate::error::{Error, ErrorKind};
use pudato_protocol::{Dataset, canonical};
use std::borrow::Cow;

/// Most candidates that an error lists.
pub(crate) const CANDIDATES_MAX: usize = 10;

/// A dataset that was asked for; `id` is `None` where nobody named it yet.
pub(crate) struct Found {
    pub(crate) id: Option<i64>,
    pub(crate) dataset: Dataset,
}

/// What was typed.
pub(crate) struct Resolver<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) dataset: Dataset,
}

impl<'a> Resolver<'a> {
    /// # Errors
    /// `Invalid`: there is a NUL in it.
    pub(crate) fn new(text: &'a str) -> Result<Self, Error> {
        no_nul("payload.location", text)?;
        let text = canonical(text);
        let dataset = Dataset::parse(&text);
        Ok(Self { text, dataset })
    }

    /// It is that very location.
    pub(crate) fn exact(self, id: i64) -> Found {
        Found {
            id: Some(id),
            dataset: self.dataset,
        }
    }

    /// Where locations that end in it lie among all that are written backwards: from the first text on, before the second. Tables of
    /// engines whose names have no case are in small letters.
    pub(crate) fn ranges(&self) -> Vec<(String, String)> {
        if self.text.is_empty() {
            return Vec::new();
        }
        let lower = self.text.to_ascii_lowercase();
        let lower = Some(lower).filter(|lower| *lower != self.text);
        let texts = std::iter::once(&*self.text).chain(lower.as_deref());
        let ranges = texts.flat_map(|text| {
            let backwards: String = text.chars().rev().collect();
            ['/', '.', '#'].map(|separator| {
                // The next text after all that begin so ends in the next character.
                let next = char::from(separator as u8 + 1);
                (
                    format!("{backwards}{separator}"),
                    format!("{backwards}{next}"),
                )
            })
        });
        ranges.collect()
    }

    /// Whether a location that was found ends in what was typed, as its engine compares names.
    fn is_end_of(&self, dataset: &Dataset) -> bool {
        let location = dataset.location();
        let Some(start) = location.len().checked_sub(self.text.len()) else {
            return false;
        };
        let Some((before, end)) = location.split_at_checked(start) else {
            return false;
        };
        end == self.text || canonical(&format!("{before}{}", self.text)) == location
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
    // Other spellings that were recorded once have no edges any more.
    candidates.retain(|(_, dataset)| {
        let location = dataset.location();
        typed.is_end_of(dataset) && canonical(&location) == location
    });
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
