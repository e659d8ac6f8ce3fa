//! Resolves a typed text to a dataset: the one with exactly this location, else the only one whose location ends in `/text`, `.text` or
//! `#text`.

use crate::batch::no_nul;
use crate::error::{Error, ErrorKind};
use pudato_protocol::{Dataset, canonical};
use std::borrow::Cow;

/// The most candidates that an error lists.
pub(crate) const CANDIDATES_MAX: usize = 10;

/// A resolved dataset; `id` is `None` if the registry does not know it.
pub(crate) struct Found {
    pub(crate) id: Option<i64>,
    pub(crate) dataset: Dataset,
}

/// A typed text that is being resolved.
pub(crate) struct Resolver<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) dataset: Dataset,
}

impl<'a> Resolver<'a> {
    /// # Errors
    /// `Invalid`: the text contains a NUL.
    pub(crate) fn new(text: &'a str) -> Result<Self, Error> {
        no_nul("payload.location", text)?;
        let text = canonical(text);
        let dataset = Dataset::parse(&text);
        Ok(Self { text, dataset })
    }

    /// Resolves to the dataset with exactly this location.
    pub(crate) fn exact(self, id: i64) -> Found {
        Found {
            id: Some(id),
            dataset: self.dataset,
        }
    }

    /// The ranges of backwards locations (from the first text, up to but not including the second) whose location ends in the text. Engines
    /// with case-insensitive names store them in lower case, so the lower-case text is searched as well.
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
                // The first text after all that have this prefix ends in the next character.
                let next = char::from(separator as u8 + 1);
                (
                    format!("{backwards}{separator}"),
                    format!("{backwards}{next}"),
                )
            })
        });
        ranges.collect()
    }

    /// Whether the dataset's location ends in the text, compared the way its engine compares names.
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

/// Returns the only candidate.
///
/// # Errors
/// `Invalid`: there are several candidates; the error lists them.
pub(crate) fn choose(
    typed: Resolver<'_>,
    mut candidates: Vec<(i64, Dataset)>,
) -> Result<Found, Error> {
    // Spellings that were recorded before names were made canonical have no edges.
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
