//! Finds texts that DuckDB's JSON reader takes for a date or a time and then changes. 1.5.6 reads `26-01-02` as a day in the year 26, reads `epoch`
//! and `Infinity` as 1900-01-01, and drops the digits of a TIME after its microseconds; `10:30` comes back as `10:30:00`.

/// The digits after a second in TIME and TIMESTAMP.
const MICROSECONDS: usize = 6;

/// Whether DuckDB may treat the text as a date or time although it is not written as `2026-01-31`, `10:30:00.5` or both.
pub(super) fn is_odd(text: &[u8]) -> bool {
    let trimmed = text.trim_ascii();
    let word = trimmed.strip_prefix(b"-").unwrap_or(trimmed);
    let words: [&[u8]; 3] = [b"infinity", b"inf", b"epoch"];
    if words.iter().any(|one| word.eq_ignore_ascii_case(one)) {
        return true;
    }
    let between = trimmed.iter().position(|byte| matches!(byte, b' ' | b'T'));
    let (date, time) = match between {
        Some(at) => (Some(&trimmed[..at]), Some(&trimmed[at + 1..])),
        None if trimmed.contains(&b':') => (None, Some(trimmed)),
        None => (Some(trimmed), None),
    };
    let (Some(date), Some(time)) = (date.map_or(Some(true), day), time.map_or(Some(true), clock))
    else {
        return false;
    };
    !(date && time) || trimmed.len() != text.len()
}

/// Whether a date has a year of four digits and a month and day of two; `None` if it is not a date.
fn day(text: &[u8]) -> Option<bool> {
    let lengths = lengths(text, b'-')?;
    let [year @ 1..=4, month @ 1..=2, day @ 1..=2] = lengths[..] else {
        return None;
    };
    Some((year, month, day) == (4, 2, 2))
}

/// Whether a time has hours, minutes and seconds of two digits each, and no more digits after that than are stored; `None` if it is not a
/// time. The zone may follow it.
fn clock(text: &[u8]) -> Option<bool> {
    let is_of_clock = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b':' | b'.');
    let end = text.iter().position(|byte| !is_of_clock(byte));
    let mut parts = text[..end.unwrap_or(text.len())].splitn(2, |byte| *byte == b'.');
    let lengths = lengths(parts.next()?, b':')?;
    let fraction = parts.next().unwrap_or_default();
    match lengths[..] {
        [1..=2, 1..=2] => Some(false),
        [1..=2, 1..=2, 1..=2] => Some(lengths == [2, 2, 2] && fraction.len() <= MICROSECONDS),
        _ => None,
    }
}

/// The lengths of the numbers in a text.
fn lengths(text: &[u8], separator: u8) -> Option<Vec<usize>> {
    let parts = text.splitn(4, |byte| *byte == separator);
    let length = |part: &[u8]| part.iter().all(u8::is_ascii_digit).then_some(part.len());
    parts.map(length).collect()
}

#[cfg(test)]
mod tests {
    use super::is_odd;

    #[test]
    fn what_is_written_otherwise_than_it_comes_back_is_odd() {
        for (text, is) in [
            ("2026-01-31", false),
            ("2026-01-31 10:30:00", false),
            ("2026-01-31T10:30:00.123456Z", false),
            ("2026-01-31T10:30:00+02:00", false),
            ("10:30:00", false),
            ("26-01-02", true),
            ("2026-1-5", true),
            (" 2026-01-31", true),
            ("10:30", true),
            ("1:02:03", true),
            ("10:30:00.1234567", true),
            ("2026-1-5 10:30:00", true),
            ("Infinity", true),
            ("-inf", true),
            ("epoch", true),
            ("", false),
            ("epochs", false),
            ("12345-01-02", false),
            ("01-02-2026", false),
            ("a:b", false),
            ("1:2:3:4", false),
            ("2026-01-31 in words", false),
            ("Tuesday 10:30", false),
            ("192.168.1.1", false),
            ("550e8400-e29b-41d4-a716-446655440000", false),
        ] {
            assert_eq!(is_odd(text.as_bytes()), is, "{text:?}");
        }
    }
}
