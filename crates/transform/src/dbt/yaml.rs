//! Writes JSON that YAML 1.1 reads the same way. dbt reads `--vars` and `--args` as YAML, in an older version (PyYAML): it treats a number with an
//! exponent as text unless it has a dot and a sign, folds line breaks within a text, and refuses some characters.

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use std::io::{self, Write};

/// Formats `value` as an argument of dbt.
pub(crate) fn yaml(value: &Value) -> String {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Yaml);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        // Serializing a JSON value cannot fail; the fallback only lacks the changes above.
        Err(_) => value.to_string(),
    }
}

struct Yaml;

impl Formatter for Yaml {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let text = format!("{value:?}");
        let Some((mantissa, exponent)) = text.split_once('e') else {
            return writer.write_all(text.as_bytes());
        };
        let dot = if mantissa.contains('.') { "" } else { ".0" };
        let sign = if exponent.starts_with('-') { "" } else { "+" };
        write!(writer, "{mantissa}{dot}e{sign}{exponent}")
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_odd) {
            let (before, after) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut chars = after.chars();
            if let Some(odd) = chars.next() {
                write!(writer, "\\u{:04x}", u32::from(odd))?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Characters that are not printable in YAML, or end a line. All of them have at most four digits.
fn is_odd(c: char) -> bool {
    matches!(
        c,
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_have_a_dot_and_a_sign_and_odd_characters_are_escaped() {
        for (value, expected) in [
            (json!(0.0000001), "1.0e-7"),
            (json!(10000000000000000.0), "1.0e+16"),
            (json!(-1.5e300), "-1.5e+300"),
            (json!(0.5), "0.5"),
            (json!(1.0), "1.0"),
            (json!(u64::MAX), "18446744073709551615"),
            (json!(-7), "-7"),
            (json!("1e-7"), r#""1e-7""#),
            (
                json!("a\u{85}b\u{2028}\u{feff}é😀"),
                r#""a\u0085b\u2028\ufeffé😀""#,
            ),
            (json!("\n\"\\\u{7f}"), r#""\n\"\\\u007f""#),
            (
                json!({"a": [1e-7, null, true]}),
                r#"{"a":[1.0e-7,null,true]}"#,
            ),
        ] {
            let text = yaml(&value);
            assert_eq!(text, expected);
            let read: Value = serde_json::from_str(&text).expect("it is JSON all the same");
            assert_eq!(read, value);
        }
    }
}
