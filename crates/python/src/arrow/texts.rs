//! Parses dates, times and numbers from the strings in answers.

use arrow_schema::TimeUnit;

/// Days since 1970-01-01 of `2026-01-31`; a year of more than four digits has a sign.
pub(super) fn date(text: &str) -> Option<i32> {
    let (days, rest) = leading_date(text.as_bytes())?;
    let days = rest.is_empty().then_some(days)?;
    i32::try_from(days).ok()
}

/// The time of day `10:30:00.25`, in `unit`s.
pub(super) fn time(text: &str, unit: TimeUnit) -> Option<i64> {
    i64::try_from(in_unit(nanos(text.as_bytes())?, unit)?).ok()
}

/// The time `2026-01-31T10:30:00` since 1970-01-01, in `unit`s. With an offset it is in UTC.
pub(super) fn timestamp(text: &str, unit: TimeUnit, has_zone: bool) -> Option<i64> {
    let (days, rest) = leading_date(text.as_bytes())?;
    let clock = rest.strip_prefix(b"T")?;
    let clock = match has_zone {
        true => clock.strip_suffix(b"+00:00")?,
        false => clock,
    };
    let all = i128::from(days) * 86_400_000_000_000 + nanos(clock)?;
    i64::try_from(in_unit(all, unit)?).ok()
}

/// Parses a decimal as an integer scaled to its last place. `None` if it has too many places or digits.
pub(super) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let missing = usize::try_from(scale).ok()?.checked_sub(part.len())?;
    let mut number: i128 = 0;
    for digit in whole.bytes().chain(part.bytes()) {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number = number.checked_mul(10)?.checked_add(digit.into())?;
    }
    let number = number.checked_mul(10_i128.checked_pow(u32::try_from(missing).ok()?)?)?;
    let fits = number < 10_i128.checked_pow(precision.into())?;
    fits.then_some(if is_negative { -number } else { number })
}

fn in_unit(nanos: i128, unit: TimeUnit) -> Option<i128> {
    let per = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    (nanos % per == 0).then_some(nanos / per)
}

/// Parses a date at the start of a text as days. Returns the rest of the text too.
fn leading_date(text: &[u8]) -> Option<(i64, &[u8])> {
    let (sign, digits) = match text.first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let length = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let year = sign * number(digits.get(..length)?)?;
    let rest = digits.get(length..)?.strip_prefix(b"-")?;
    let month = number(rest.get(..2)?)?;
    let rest = rest.get(2..)?.strip_prefix(b"-")?;
    let day = number(rest.get(..2)?)?;
    Some((days(year, month, day), rest.get(2..)?))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar: 400 years have 146,097 days.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Count from March, so that the leap day comes last.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn nanos(clock: &[u8]) -> Option<i128> {
    let [h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = clock else {
        return None;
    };
    let seconds = number(&[*h1, *h2])? * 3_600 + number(&[*m1, *m2])? * 60 + number(&[*s1, *s2])?;
    let fraction = match rest {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            let places = u32::try_from(9 - digits.len()).ok()?;
            number(digits)? * 10_i64.pow(places)
        }
        _ => return None,
    };
    Some(i128::from(seconds) * 1_000_000_000 + i128::from(fraction))
}

fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 12 {
        return None;
    }
    let mut number = 0;
    for digit in digits {
        number = number * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some(number)
}
