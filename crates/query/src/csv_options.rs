//! The `options` of a source, for CSV files that do not describe themselves.

use pudato_handler::check_fields;
use pudato_protocol::{FieldError, Fields};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The caller's options for a CSV or TSV file. Missing ones are detected from the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvOptions {
    /// The ASCII character between two fields.
    pub delimiter: Option<u8>,
    /// The character that encloses a field; `None` means `"`.
    pub quote: Option<u8>,
    /// The character that escapes a quote within quotes; `None` means the quote itself.
    pub escape: Option<u8>,
    /// Whether the first line contains the column names; `None` means yes.
    pub header: Option<bool>,
    /// The number of lines to skip at the beginning.
    pub skip: u64,
    /// The encoding, by a name from the WHATWG's list, e.g. `windows-1252`; `None` means UTF-8, or what a byte order mark indicates.
    pub encoding: Option<String>,
    /// Fields that mean NULL, beside empty ones.
    pub nullstr: Vec<String>,
    /// The format of dates, in the letters of `strptime`.
    pub dateformat: Option<String>,
    /// The format of timestamps, in the letters of `strptime`.
    pub timestampformat: Option<String>,
    /// `.` or `,`.
    pub decimal_separator: Option<u8>,
    /// The names of all columns, in place of those in the file.
    pub columns: Option<Vec<String>>,
    /// The types of some columns, by column name.
    pub types: Vec<(String, String)>,
}

/// The names of the options, for errors.
const NAMES: [&str; 12] = [
    "delimiter",
    "quote",
    "escape",
    "header",
    "skip",
    "encoding",
    "nullstr",
    "dateformat",
    "timestampformat",
    "decimal_separator",
    "columns",
    "types",
];

/// The most lines to skip. A preamble above the header is never longer than a page.
const SKIP_MAX: u64 = 10_000;

impl CsvOptions {
    /// Reads the options at `path`.
    ///
    /// # Errors
    /// Names the option and what was expected.
    pub(crate) fn read(value: Value, path: &str) -> Result<Self, FieldError> {
        if let Value::Object(object) = &value {
            check_fields(object, &NAMES, path, "a text in columns")?;
        }
        let mut fields = Fields::of(value, path)?;
        let character = |fields: &mut Fields, name: &str| {
            let text = fields.optional_text(name)?;
            text.map(|text| one_character(&text, &format!("{path}.{name}")))
                .transpose()
        };
        let options = Self {
            delimiter: character(&mut fields, "delimiter")?,
            quote: character(&mut fields, "quote")?,
            escape: character(&mut fields, "escape")?,
            header: match fields.has("header") {
                true => Some(fields.flag("header")?),
                false => None,
            },
            skip: fields.whole_number("skip", 0..=SKIP_MAX)?.unwrap_or(0),
            encoding: fields.optional_text("encoding")?,
            nullstr: match fields.value("nullstr") {
                None | Some(Value::Null) => Vec::new(),
                Some(value) => texts(value, &format!("{path}.nullstr"))?,
            },
            dateformat: fields.optional_text("dateformat")?,
            timestampformat: fields.optional_text("timestampformat")?,
            decimal_separator: character(&mut fields, "decimal_separator")?,
            columns: match fields.value("columns") {
                None | Some(Value::Null) => None,
                Some(value) => Some(texts(value, &format!("{path}.columns"))?),
            },
            types: fields
                .object("types")?
                .into_iter()
                .map(|(column, r#type)| match r#type {
                    Value::String(r#type) => Ok((column, r#type)),
                    _ => Err(FieldError::new(
                        format!("{path}.types.{column}"),
                        "expected the name of a SQL type as a string",
                    )),
                })
                .collect::<Result<_, FieldError>>()?,
        };
        options.check(path)?;
        Ok(options)
    }

    fn check(&self, path: &str) -> Result<(), FieldError> {
        let wrong =
            |name: &str, reason: &str| Err(FieldError::new(format!("{path}.{name}"), reason));
        if self.delimiter.is_some() && self.delimiter == Some(self.quote()) {
            return wrong("quote", "expected another character than the delimiter");
        }
        if !matches!(self.decimal_separator, None | Some(b'.' | b',')) {
            return wrong("decimal_separator", "expected \".\" or \",\"");
        }
        if let Some(name) = &self.encoding
            && encoding_rs::Encoding::for_label(name.as_bytes()).is_none()
        {
            let reason = "expected the name of an encoding as web browsers know it, e.g. utf-8, utf-16le, iso-8859-1, windows-1252 or shift_jis";
            return Err(FieldError::new(
                format!("{path}.encoding"),
                format!("{reason}; found {name:?}"),
            ));
        }
        Ok(())
    }

    /// The character that encloses a field.
    pub(crate) fn quote(&self) -> u8 {
        self.quote.unwrap_or(b'"')
    }

    /// What stands before a quote within quotes.
    #[cfg(feature = "duckdb")]
    pub(crate) fn escape(&self) -> u8 {
        self.escape.unwrap_or(self.quote())
    }

    /// Whether the first line has the names.
    #[cfg(feature = "duckdb")]
    pub(crate) fn has_header(&self) -> bool {
        self.header.unwrap_or(true)
    }
}

fn one_character(text: &str, field: &str) -> Result<u8, FieldError> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n' | 0) => Ok(*byte),
        _ => Err(FieldError::new(
            field,
            format!("expected one ASCII character that ends no line, found {text:?}"),
        )),
    }
}

/// A text, or an array of texts.
fn texts(value: Value, field: &str) -> Result<Vec<String>, FieldError> {
    let wrong = || FieldError::new(field, "expected an array of strings");
    match value {
        Value::String(text) => Ok(vec![text]),
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                _ => Err(wrong()),
            })
            .collect(),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::CsvOptions;
    use serde_json::json;

    #[test]
    fn options_are_read_and_unknown_ones_are_refused_by_name() {
        let options = json!({"delimiter": ";", "decimal_separator": ",", "skip": 2, "nullstr": "NA", "types": {"id": "VARCHAR"}});
        let options = CsvOptions::read(options, "o").expect("options");
        assert_eq!(options.delimiter, Some(b';'));
        assert_eq!(options.nullstr, ["NA"]);
        assert_eq!(options.types, [("id".to_owned(), "VARCHAR".to_owned())]);
        for (wrong, named) in [
            (json!({"delimeter": ";"}), "o.delimeter"),
            (json!({"delimiter": ";;"}), "o.delimiter"),
            (json!({"delimiter": "\""}), "o.quote"),
            (json!({"decimal_separator": "'"}), "o.decimal_separator"),
            (json!({"encoding": "latin-9000"}), "o.encoding"),
            (json!({"types": {"a": 1}}), "o.types.a"),
            (json!({"columns": [1]}), "o.columns"),
            (json!({"skip": -1}), "o.skip"),
        ] {
            let error = CsvOptions::read(wrong.clone(), "o").expect_err("refused");
            assert_eq!(error.field, named, "{wrong}");
        }
    }
}
