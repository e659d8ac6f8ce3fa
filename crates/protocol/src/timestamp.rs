use crate::FieldError;
use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

/// An instant with the text it was written as: what was read is written back unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Timestamp {
    text: String,
    #[serde(skip)]
    instant: OffsetDateTime,
}

impl Timestamp {
    /// The current time in UTC, written as `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`.
    pub fn now() -> Self {
        Self::at(OffsetDateTime::now_utc())
    }

    /// `instant` written in UTC with microseconds; what is finer is cut off, so that what is read back is the same instant.
    pub fn at(instant: OffsetDateTime) -> Self {
        let instant = instant
            .replace_microsecond(instant.microsecond())
            .unwrap_or(instant);
        let format = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]+00:00"
        );
        let text = instant
            .to_offset(UtcOffset::UTC)
            .format(format)
            .expect("the format names only parts that every instant has");
        Self { text, instant }
    }

    /// The instant `us` microseconds after the Unix epoch; the nearest that can be written where it cannot.
    pub fn from_unix_us(us: i64) -> Self {
        // RFC 3339 has years of four digits.
        const YEAR_0: i64 = -62_167_219_200_000_000;
        const YEAR_9999_END: i64 = 253_402_300_799_999_999;
        let nanos = i128::from(us.clamp(YEAR_0, YEAR_9999_END)) * 1_000;
        Self::at(
            OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH),
        )
    }

    /// The instant `ms` milliseconds after the Unix epoch; the nearest that can be written where it cannot.
    pub fn from_unix_ms(ms: u64) -> Self {
        Self::from_unix_us(i64::try_from(ms.saturating_mul(1_000)).unwrap_or(i64::MAX))
    }

    /// Reads an RFC 3339 text and keeps it as it stands.
    ///
    /// # Errors
    /// The text is not RFC 3339.
    pub fn parse(text: &str) -> std::result::Result<Self, FieldError> {
        let parsed =
            common(text.as_bytes()).map_or_else(|| OffsetDateTime::parse(text, &Rfc3339), Ok);
        match parsed {
            Ok(instant) => Ok(Self {
                text: text.to_owned(),
                instant,
            }),
            Err(error) => Err(FieldError::new(
                "timestamp",
                format!("expected an RFC 3339 time such as 2026-01-31T09:00:00Z: {error}"),
            )),
        }
    }

    /// The text as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The instant, for comparing times that were written differently.
    pub fn instant(&self) -> OffsetDateTime {
        self.instant
    }
}

/// The form in which most times are written, `2026-01-31T09:00:00[.123456](Z|+01:00)`, read several times faster than by the
/// reader of all forms; `None` leaves it to that one.
fn common(text: &[u8]) -> Option<OffsetDateTime> {
    let number = |from: usize, digits: usize| -> Option<u32> {
        text.get(from..from + digits)?
            .iter()
            .try_fold(0, |number, digit| {
                let digit = digit.wrapping_sub(b'0');
                (digit < 10).then(|| number * 10 + u32::from(digit))
            })
    };
    let is = |at: usize, what: u8| text.get(at) == Some(&what);
    let small = |from: usize| number(from, 2).and_then(|number| u8::try_from(number).ok());
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
        return None;
    }
    let month = Month::try_from(small(5)?).ok()?;
    let year = i32::try_from(number(0, 4)?).ok()?;
    let date = Date::from_calendar_date(year, month, small(8)?).ok()?;
    let (mut at, mut nanos) = (19, 0);
    if is(at, b'.') {
        let digits = text[at + 1..]
            .iter()
            .take_while(|c| c.is_ascii_digit())
            .count();
        if digits == 0 || digits > 9 {
            return None;
        }
        let rest = 9 - u32::try_from(digits).ok()?;
        nanos = number(at + 1, digits)? * 10_u32.pow(rest);
        at += 1 + digits;
    }
    let time = Time::from_hms_nano(small(11)?, small(14)?, small(17)?, nanos).ok()?;
    let offset = match text.get(at)? {
        b'Z' if text.len() == at + 1 => UtcOffset::UTC,
        sign @ (b'+' | b'-') if text.len() == at + 6 && is(at + 3, b':') => {
            let (hours, minutes) = (small(at + 1)?, small(at + 4)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let (hours, minutes) = (i8::try_from(hours).ok()?, i8::try_from(minutes).ok()?);
            let sign = if *sign == b'-' { -1 } else { 1 };
            UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()?
        }
        _ => return None,
    };
    Some(OffsetDateTime::new_in_offset(date, time, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_common_form_is_read_as_by_the_reader_of_all_forms(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?(Z|z|[+-][0-2][0-9]:[0-6][0-9]|)"
        ) {
            if let Some(read) = common(text.as_bytes()) {
                prop_assert_eq!(OffsetDateTime::parse(&text, &Rfc3339), Ok(read));
            }
        }
    }

    #[test]
    fn a_new_time_is_the_instant_that_it_is_written_as() {
        for _ in 0..100 {
            let now = Timestamp::now();
            assert_eq!(Timestamp::parse(now.as_str()), Ok(now));
        }
    }
}
