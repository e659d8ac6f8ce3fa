//! The fabric's clock as the messages write it.

use pudato_protocol::Timestamp;

/// The time `now_ms` after the Unix epoch as a message writes it.
pub fn timestamp(now_ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(now_ms)
}

/// A length of time as people write it: `90s`, `5m`, `2h`, `1d`.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(pudato_runtime::duration("90m"), Some(Duration::from_secs(5_400)));
/// assert_eq!(pudato_runtime::duration("90"), None);
/// ```
pub fn duration(text: &str) -> Option<std::time::Duration> {
    let text = text.trim();
    let unit = text.chars().next_back()?;
    let number: u64 = text[..text.len() - unit.len_utf8()].trim().parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    Some(std::time::Duration::from_secs(number.checked_mul(seconds)?))
}
