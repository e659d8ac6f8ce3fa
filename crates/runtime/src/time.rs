//! Times as messages write them and as people read them.

use pudato_protocol::Timestamp;

/// The instant `now_ms` after the Unix epoch, as a message writes it.
pub fn timestamp(now_ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(now_ms)
}

/// An instant for people, in UTC: the time of day if it is less than half a day away, otherwise with its date.
///
/// ```
/// assert_eq!(pudato_runtime::since(1_795_392_185_000, 1_795_392_200_000), "00:03:05 UTC");
/// assert_eq!(pudato_runtime::since(1_795_392_185_000, 1_795_492_200_000), "2026-11-23 00:03:05 UTC");
/// ```
pub fn since(at_ms: u64, now_ms: u64) -> String {
    let at = timestamp(at_ms);
    let text = at.as_str().get(..19).unwrap_or(at.as_str());
    let (date, time) = text.split_once('T').unwrap_or(("", text));
    match at_ms.abs_diff(now_ms) < HALF_A_DAY_MS {
        true => format!("{time} UTC"),
        false => format!("{date} {time} UTC"),
    }
}

/// Within this distance, a time of day without a date is unambiguous.
const HALF_A_DAY_MS: u64 = 12 * 60 * 60 * 1_000;

/// A time of a message without its fraction of a second.
///
/// ```
/// assert_eq!(pudato_runtime::seconds("2026-11-29T09:00:01.25Z"), "2026-11-29 09:00:01");
/// ```
pub fn seconds(at: &str) -> String {
    at.get(..19).unwrap_or(at).replace('T', " ")
}

/// Parses a duration such as `90s`, `5m`, `2h` or `1d`.
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

/// A number with commas between thousands.
///
/// ```
/// assert_eq!(pudato_runtime::thousands(1_234_567), "1,234,567");
/// ```
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
