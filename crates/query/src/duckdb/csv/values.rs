//! Collects properties of a column's values, so that no type is used that would change one of them.

use serde_json::Value as Json;

/// The number of digits that a DOUBLE always preserves (IEEE 754 binary64).
const DOUBLE_DIGITS: usize = 15;
/// The most digits of DuckDB's DECIMAL and HUGEINT.
const DECIMAL_DIGITS: usize = 38;
/// The digits after the second in TIMESTAMP and TIME, and in TIMESTAMP_NS.
const MICROSECONDS: usize = 6;
const NANOSECONDS: usize = 9;

/// The properties of the values so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    /// A DOUBLE would change one of the numbers.
    is_inexact: bool,
    /// One of the values is more than digits with a decimal separator.
    is_no_decimal: bool,
    /// The most digits before the decimal separator, and after it.
    whole: usize,
    fraction: usize,
    /// One of the values is neither `true` nor `false`.
    is_no_boolean: bool,
    /// The most digits after a second.
    second_fraction: usize,
    /// One of the values does not begin with a digit: `epoch` and `inf` are words and no days.
    has_word: bool,
    /// One of the values is an empty text in quotes.
    pub(super) has_quoted_empty: bool,
}

impl Values {
    /// Adds a value that does not mean NULL.
    pub(super) fn see(&mut self, value: &[u8], separator: u8) {
        if value.is_empty() {
            return;
        }
        let first = value.first().copied().unwrap_or_default();
        let first_letter = value.trim_ascii_start().first();
        self.has_word |= first_letter.is_some_and(|first| !first.is_ascii_digit());
        if !(first.is_ascii_digit() || matches!(first, b'-' | b'+' | b' ' | b'.' | b',')) {
            self.is_no_decimal = true;
            self.is_no_boolean |=
                !(value.eq_ignore_ascii_case(b"true") || value.eq_ignore_ascii_case(b"false"));
            return;
        }
        self.is_no_boolean = true;
        if value.contains(&b':') {
            self.is_no_decimal = true;
            self.second_fraction = self.second_fraction.max(second_fraction(value));
            return;
        }
        self.number(value.trim_ascii(), separator);
    }

    fn number(&mut self, value: &[u8], separator: u8) {
        let unsigned = value.strip_prefix(b"-").or(value.strip_prefix(b"+"));
        let unsigned = unsigned.unwrap_or(value);
        let mut parts = unsigned.splitn(2, |byte| *byte == separator);
        let (whole, fraction) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let is_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        if is_digits(whole) && is_digits(fraction) {
            let whole = whole.trim_ascii_start_zeros();
            self.whole = self.whole.max(whole.len());
            self.fraction = self.fraction.max(fraction.len());
            let digits = whole.len() + fraction.len();
            self.is_inexact |= digits > DOUBLE_DIGITS && !is_exact(unsigned, separator);
            return;
        }
        self.is_no_decimal = true;
        let digits = unsigned.iter().filter(|byte| byte.is_ascii_digit()).count();
        // An exponent has at most three more digits.
        self.is_inexact |= digits > DOUBLE_DIGITS && !is_exact(unsigned, separator);
    }

    /// The type to use in place of `found`, which DuckDB would use.
    pub(super) fn exact<'a>(&self, found: &'a str) -> std::borrow::Cow<'a, str> {
        match found {
            "DOUBLE" | "FLOAT" if self.is_inexact => {
                let digits = self.whole + self.fraction;
                if self.is_no_decimal || digits > DECIMAL_DIGITS {
                    "VARCHAR".into()
                } else if self.fraction == 0 {
                    "HUGEINT".into()
                } else {
                    format!("DECIMAL({digits},{})", self.fraction).into()
                }
            }
            "BOOLEAN" if self.is_no_boolean => "VARCHAR".into(),
            "DATE" | "TIME" | "TIMESTAMP" | "TIMESTAMP WITH TIME ZONE" if self.has_word => {
                "VARCHAR".into()
            }
            "TIMESTAMP" if self.second_fraction > NANOSECONDS => "VARCHAR".into(),
            "TIMESTAMP" if self.second_fraction > MICROSECONDS => "TIMESTAMP_NS".into(),
            "TIME" | "TIMESTAMP WITH TIME ZONE" if self.second_fraction > MICROSECONDS => {
                "VARCHAR".into()
            }
            _ => found.into(),
        }
    }
}

trait TrimZeros {
    fn trim_ascii_start_zeros(&self) -> &Self;
}

impl TrimZeros for [u8] {
    fn trim_ascii_start_zeros(&self) -> &Self {
        let zeros = self.iter().take_while(|byte| **byte == b'0').count();
        &self[zeros..]
    }
}

fn second_fraction(value: &[u8]) -> usize {
    let after = value.iter().rposition(|byte| *byte == b'.');
    after.map_or(0, |point| {
        let digits = value[point + 1..].iter();
        digits.take_while(|byte| byte.is_ascii_digit()).count()
    })
}

/// Whether a number with many digits is the shortest text of its DOUBLE, such as 0.30000000000000004. Nothing is lost then.
pub(in crate::duckdb) fn is_exact(value: &[u8], separator: u8) -> bool {
    let Ok(text) = std::str::from_utf8(value) else {
        return true;
    };
    let text = match separator {
        b',' => text.replace(',', "."),
        _ => text.to_owned(),
    };
    let Ok(number) = text.parse::<f64>() else {
        // The text is not a number.
        return true;
    };
    // Two shortest texts may be equally close to a DOUBLE, and writers choose differently: answers contain 823735061162298.2, Rust formats
    // 823735061162298.3.
    let shortest = [format!("{number:e}"), Json::from(number).to_string()];
    let own = significant(&text);
    number.is_finite() && shortest.iter().any(|text| significant(text) == own)
}

/// The digits of a number without leading and trailing zeros, and the power of ten of the first.
fn significant(text: &str) -> (String, i64) {
    let lower = text.to_ascii_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let zeros = digits.len() - digits.trim_start_matches('0').len();
    let power = i64::try_from(whole.len()).unwrap_or(i64::MAX)
        - i64::try_from(zeros).unwrap_or(i64::MAX)
        + exponent.parse::<i64>().unwrap_or(i64::MAX / 4);
    let digits = digits.trim_matches('0').to_owned();
    match digits.is_empty() {
        true => (digits, 0),
        false => (digits, power),
    }
}

#[cfg(test)]
mod tests {
    use super::{Values, is_exact};
    use proptest::prelude::*;

    fn exact(found: &str, values: &[&str]) -> String {
        let mut seen = Values::default();
        for value in values {
            seen.see(value.as_bytes(), b'.');
        }
        seen.exact(found).into_owned()
    }

    #[test]
    fn no_type_is_taken_that_would_change_a_digit() {
        for (found, values, right) in [
            ("DOUBLE", &["0.1", "2"][..], "DOUBLE"),
            ("DOUBLE", &["0.30000000000000004"], "DOUBLE"),
            ("DOUBLE", &["823735061162298.2", "1e5"], "DOUBLE"),
            ("DOUBLE", &["823735061162298.3", "1e5"], "DOUBLE"),
            ("DOUBLE", &["823735061162298.24", "1e5"], "VARCHAR"),
            ("DOUBLE", &["12345678901234567890", "1"], "HUGEINT"),
            ("DOUBLE", &["9007199254740993", "0.5"], "DECIMAL(17,1)"),
            ("DOUBLE", &["00000000000000000000.5"], "DOUBLE"),
            (
                "DOUBLE",
                &["123456789012345678901234567890123456789"],
                "VARCHAR",
            ),
            ("DOUBLE", &["1.2345678901234567891e5"], "VARCHAR"),
            ("DOUBLE", &["1e5", "1e-300"], "DOUBLE"),
            ("BOOLEAN", &["true", "False"], "BOOLEAN"),
            ("BOOLEAN", &["F"], "VARCHAR"),
            ("TIMESTAMP", &["2024-01-01 00:00:00.123456"], "TIMESTAMP"),
            (
                "TIMESTAMP",
                &["2024-01-01 00:00:00.1234567"],
                "TIMESTAMP_NS",
            ),
            ("TIMESTAMP", &["2024-01-01 00:00:00.1234567891"], "VARCHAR"),
            ("DATE", &["2024-01-01", "epoch"], "VARCHAR"),
            ("DATE", &["-inf"], "VARCHAR"),
            ("DATE", &[" 2024-01-01"], "DATE"),
            ("BIGINT", &["1", "2"], "BIGINT"),
        ] {
            assert_eq!(exact(found, values), right, "{found} {values:?}");
        }
    }

    proptest! {
        #[test]
        fn what_a_double_prints_is_exact(number in any::<f64>().prop_filter("a number", |n| n.is_finite())) {
            let (plain, scientific) = (format!("{}", number.abs()), format!("{:e}", number.abs()));
            prop_assert!(is_exact(plain.as_bytes(), b'.'));
            prop_assert!(is_exact(scientific.as_bytes(), b'.'));
            let json = serde_json::Value::from(number.abs()).to_string();
            prop_assert!(is_exact(json.as_bytes(), b'.'), "{}", json);
        }

        #[test]
        fn what_comes_back_otherwise_is_not(whole in 9_007_199_254_740_993_u64..) {
            let text = whole.to_string();
            #[expect(clippy::cast_precision_loss, reason = "it is what is asked")]
            let double = whole as f64;
            // Compared as exact decimals: the DOUBLE has no digits after the point here.
            prop_assert_eq!(is_exact(text.as_bytes(), b'.'), shortest(double) == text.trim_end_matches('0'));
        }
    }

    fn shortest(number: f64) -> String {
        let text = format!("{number:e}");
        let mantissa = text.split('e').next().unwrap_or_default();
        mantissa.replace('.', "").trim_end_matches('0').to_owned()
    }
}
