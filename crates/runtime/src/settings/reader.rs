//! Reads typed values, and collects the errors in them.

use super::{Setting, value};
use std::fmt::Display;

/// Reads settings. Errors are added to `wrong`, so that all of them are reported at once.
pub(super) struct Reader<'a> {
    pub(super) all: &'a [Setting],
    pub(super) wrong: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    /// A text; empty if it is not set.
    pub(super) fn text(&self, name: &str) -> &'a str {
        value(self.all, name)
    }

    /// A text, or `None` if it is not set.
    pub(super) fn optional(&self, name: &str) -> Option<&'a str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// A whole number within limits.
    pub(super) fn number(&mut self, name: &str, min: u64, max: u64) -> u64 {
        let text = self.text(name);
        match text.parse::<u64>() {
            Ok(number) if (min..=max).contains(&number) => number,
            _ => {
                let limits = match max {
                    u64::MAX => format!("from {min} on"),
                    _ => format!("{min}..{max}"),
                };
                self.wrong(name, &format!("a whole number {limits}"), text);
                min
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.choice(name, &[("true", true), ("false", false)])
    }

    /// One of several words. If the value is wrong, the first stands in for it.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> T {
        let text = self.text(name);
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        let known = words.iter().map(|(word, _)| *word);
        let known: Vec<&str> = known.filter(|word| !word.is_empty()).collect();
        let known = match known.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => known.concat(),
        };
        self.wrong(name, &known, text);
        words[0].1
    }

    /// Notes that a value is not as expected.
    pub(super) fn wrong(&mut self, name: &str, expected: &dyn Display, found: &str) {
        let text = format!("{name}: expected {expected}, found {found:?}");
        self.wrong.push(text);
    }
}
