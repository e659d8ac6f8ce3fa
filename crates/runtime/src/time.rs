//! The fabric's clock as the messages write it.

use pudato_protocol::Timestamp;

/// The time `now_ms` after the Unix epoch as a message writes it.
pub fn timestamp(now_ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(now_ms)
}
