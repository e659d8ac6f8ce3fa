//! The errors of opening and running an installation.

use pudato_messaging::Error;
use std::fmt;

/// Why pudato cannot start or continue.
#[derive(Debug)]
pub enum OpenError {
    /// A setting or the data folder is at fault.
    Settings(String),
    /// The fabric or a store cannot be reached.
    Unavailable(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Settings(text) | Self::Unavailable(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for OpenError {}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error.is_retryable() {
            true => Self::Unavailable(text),
            false => Self::Settings(text),
        }
    }
}
