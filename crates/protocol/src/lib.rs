//! The messages that travel through pudato, and how they are read from the wire.
//!
//! A [`Command`] asks a handler to do something, a [`Result`] answers it, an [`Event`] tells others what happened.
//! [`decode`] reads any of them from a raw body or from an SNS notification.
//!
//! ```
//! use pudato_protocol::{Command, decode};
//!
//! let body = r#"{"type":"storage","action":"head_object","correlation_id":"req-1"}"#;
//! let command: Command = decode(body.as_bytes())?;
//! assert_eq!(command.action, "head_object");
//! assert!(command.payload.is_empty());
//! # Ok::<(), pudato_protocol::FieldError>(())
//! ```

mod dataset;
mod decode;
mod error;
mod fast;
mod field_error;
mod fields;
mod folding;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod message;
#[cfg(feature = "schema")]
pub mod schema;
mod timestamp;
mod value;

pub use dataset::Dataset;
pub use decode::{Envelope, Message, decode, decode_claim, encode, envelopes, escaped, unwrapped};
pub use error::{Code, Error, ErrorKind, Retry};
pub use field_error::FieldError;
pub use fields::Fields;
pub use folding::{canonical, folded};
pub use message::{Command, DataReference, Event, ExecutionRecord, Result, Status, new_id};
pub use timestamp::Timestamp;
pub use value::{
    BODY_BYTES_MAX, CLAIM_KEYS_MAX, Checked, DEPTH_MAX, KEYS_MAX, Keys, Object, blob, float, keys,
};
