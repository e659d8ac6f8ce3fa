//! Dates, times and durations as ISO 8601 texts.

use duckdb::arrow::datatypes::TimeUnit;

/// The year, month and day of a number of days since 1970-01-01, in the proleptic Gregorian calendar: 400 years have 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted from 1 March of year 0, so that the day that leap years add comes last.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn day(days: i64) -> String {
    let (year, month, day) = civil(days);
    match year {
        0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        // ISO 8601 requires a sign for years with more or fewer than four digits.
        _ => format!("{year:+05}-{month:02}-{day:02}"),
    }
}

/// DuckDB stores `infinity` and `-infinity` as the largest number and its negative.
fn endless(ticks: i64, largest: i64) -> Option<String> {
    match ticks {
        _ if ticks == largest => Some("infinity".into()),
        _ if ticks == -largest => Some("-infinity".into()),
        _ => None,
    }
}

pub(super) fn date(days: i32) -> String {
    endless(days.into(), i32::MAX.into()).unwrap_or_else(|| day(days.into()))
}

/// A time of day. Seconds have a fraction only if it is not zero.
pub(super) fn time(nanos: i128) -> String {
    let (seconds, nanos) = (
        nanos.div_euclid(1_000_000_000),
        nanos.rem_euclid(1_000_000_000),
    );
    let clock = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    );
    match nanos {
        0 => clock,
        _ if nanos % 1_000 == 0 => format!("{clock}.{:06}", nanos / 1_000),
        _ => format!("{clock}.{nanos:09}"),
    }
}

pub(super) fn timestamp(ticks: i64, unit: TimeUnit, has_zone: bool) -> String {
    if let Some(text) = endless(ticks, i64::MAX) {
        return text;
    }
    let nanos = i128::from(ticks)
        * match unit {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Nanosecond => 1,
        };
    const DAY: i128 = 86_400 * 1_000_000_000;
    let days = i64::try_from(nanos.div_euclid(DAY)).unwrap_or(i64::MAX / 2);
    let zone = if has_zone { "+00:00" } else { "" };
    format!("{}T{}{zone}", day(days), time(nanos.rem_euclid(DAY)))
}

/// An ISO 8601 duration. Each part keeps its own sign: a month has no fixed number of days.
pub(super) fn duration(months: i32, days: i32, nanos: i64) -> String {
    let mut text = String::from("P");
    let mut part = |number: i64, unit: char| {
        if number != 0 {
            text.push_str(&number.to_string());
            text.push(unit);
        }
    };
    part(i64::from(months) / 12, 'Y');
    part(i64::from(months) % 12, 'M');
    part(days.into(), 'D');
    if nanos != 0 {
        text.push('T');
        let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        let mut part = |number: i64, unit: char| {
            if number != 0 {
                text.push_str(&number.to_string());
                text.push(unit);
            }
        };
        part(seconds / 3_600, 'H');
        part(seconds / 60 % 60, 'M');
        let seconds = seconds % 60;
        if rest != 0 {
            let sign = if nanos < 0 { "-" } else { "" };
            let fraction = format!("{:09}", rest.unsigned_abs());
            let fraction = fraction.trim_end_matches('0');
            text.push_str(&format!("{sign}{}.{fraction}S", seconds.unsigned_abs()));
        } else {
            part(seconds, 'S');
        }
    }
    if text.len() == 1 {
        text.push_str("T0S");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_iso_8601_in_every_century() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(-719_528), "0000-01-01");
        assert_eq!(date(19_782), "2024-02-29");
        assert_eq!(date(2_932_897), "+10000-01-01");
        assert_eq!(date(-719_529), "-0001-12-31");
        assert_eq!(date(i32::MAX), "infinity");
    }

    #[test]
    fn times_have_a_fraction_only_where_they_need_one() {
        assert_eq!(
            timestamp(0, TimeUnit::Microsecond, true),
            "1970-01-01T00:00:00+00:00"
        );
        assert_eq!(
            timestamp(-1, TimeUnit::Microsecond, false),
            "1969-12-31T23:59:59.999999"
        );
        assert_eq!(
            timestamp(1, TimeUnit::Nanosecond, false),
            "1970-01-01T00:00:00.000000001"
        );
    }

    #[test]
    fn durations_keep_the_sign_of_each_part() {
        assert_eq!(duration(14, 2, 3_500_000_000), "P1Y2M2DT3.5S");
        assert_eq!(duration(-1, 0, -3_600_000_000_000), "P-1MT-1H");
        assert_eq!(duration(0, 0, -500_000_000), "PT-0.5S");
        assert_eq!(duration(0, 0, 0), "PT0S");
    }
}
