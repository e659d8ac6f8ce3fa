use crate::Error;
use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

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

    /// `instant` written in UTC with microseconds.
    pub fn at(instant: OffsetDateTime) -> Self {
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
    pub fn parse(text: &str) -> std::result::Result<Self, Error> {
        match OffsetDateTime::parse(text, &Rfc3339) {
            Ok(instant) => Ok(Self {
                text: text.to_owned(),
                instant,
            }),
            Err(error) => Err(Error::new(
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
