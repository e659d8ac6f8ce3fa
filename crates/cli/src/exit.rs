//! Exit codes and errors of commands (docs/design/pipelines.md, "Exit codes of the command line").

use crate::output;
use pudato_runtime::{CallError, OpenError};

/// The operation failed: an error Result, or nothing was found.
pub const FAILED: u8 = 1;
/// Wrong usage of the command.
pub const USAGE: u8 = 2;
/// A setting or the data folder cannot be used.
pub const CONFIGURATION: u8 = 3;
/// The fabric or a store cannot be reached.
pub const UNAVAILABLE: u8 = 4;
/// No Result came in time.
pub const TIMED_OUT: u8 = 5;
/// Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// The reason why a command failed, with its exit code.
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    pub fn new(code: u8, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    pub fn failed(text: impl Into<String>) -> Self {
        Self::new(FAILED, text)
    }

    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(USAGE, text)
    }

    pub fn configuration(text: impl Into<String>) -> Self {
        Self::new(CONFIGURATION, text)
    }

    /// A failure without a text, because the output already explains it.
    pub fn silent(code: u8) -> Self {
        Self::new(code, "")
    }

    pub fn interrupted() -> Self {
        Self::interrupted_with("interrupted")
    }

    /// An interruption by Ctrl-C, with advice.
    pub fn interrupted_with(text: impl Into<String>) -> Self {
        Self::new(INTERRUPTED, text)
    }

    /// Adds a remark to the text.
    pub fn with(mut self, more: &str) -> Self {
        self.text = format!("{}; {more}", self.text);
        self
    }

    /// Prints the reason on stderr, and returns the exit code.
    pub fn report(self, json: bool) -> u8 {
        if !self.text.is_empty() {
            if json {
                eprintln!(
                    "{}",
                    serde_json::json!({"error": self.text, "exit_code": self.code})
                );
            } else {
                eprintln!("pudato: {}", output::told(&self.text));
            }
        }
        self.code
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Settings(text) => Self::new(CONFIGURATION, text),
            OpenError::Unavailable(text) => Self::new(UNAVAILABLE, text),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(text) => Self::new(FAILED, text),
            CallError::Unavailable(text) => Self::new(UNAVAILABLE, text),
            CallError::TimedOut(text) => Self::new(TIMED_OUT, text),
        }
    }
}

impl From<pudato_runtime::messaging::Error> for Failure {
    fn from(error: pudato_runtime::messaging::Error) -> Self {
        let code = if error.is_retryable() {
            UNAVAILABLE
        } else {
            FAILED
        };
        Self::new(code, error.to_string())
    }
}
