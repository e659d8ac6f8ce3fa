//! Reads the payload of `execute_sql` and `execute_script`.

use crate::csv_options::CsvOptions;
use crate::format::{Format, compression};
use crate::parameters::Parameters;
use pudato_handler::check_fields;
use pudato_protocol::{FieldError, Fields, Object};
use serde_json::Value;
use std::collections::BTreeMap;

/// The most rows of an answer, and the default.
const ROWS_MAX: u64 = 100_000;
const ROWS_DEFAULT: u64 = 1_000;

/// The longest name of a source in bytes: four times that of a table in PostgreSQL.
const NAME_BYTES_MAX: usize = 255;

/// The most sources of one Command. Each is a file that must be fetched first.
const SOURCES_MAX: usize = 1_000;

/// The fields of an object in a payload.
const OBJECT_FIELDS: [&str; 4] = ["container", "path", "format", "options"];

/// An object in a payload.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ObjectName {
    pub(crate) container: String,
    pub(crate) path: String,
    pub(crate) format: Format,
    /// The options for a CSV file, for sources only.
    pub(crate) options: CsvOptions,
}

/// A parsed payload.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) parameters: Parameters,
    pub(crate) rows_max: usize,
    pub(crate) sources: Vec<(String, ObjectName)>,
    pub(crate) into: Option<ObjectName>,
    pub(crate) timeout_seconds: Option<u64>,
}

/// Checks a payload as the handler does, except the time limit, which depends on the handler's settings.
///
/// # Errors
/// Names the first field that is wrong.
pub fn check_payload(payload: &Object) -> Result<(), FieldError> {
    let fields = Fields::of(Value::Object(payload.clone()), "payload")?;
    Statement::read(fields, u64::MAX).map(|_| ())
}

impl Statement {
    /// Reads a payload; every error names its field.
    pub(crate) fn read(mut payload: Fields, seconds_max: u64) -> Result<Self, FieldError> {
        let sql = payload.name_text("sql")?;
        if sql.contains('\0') {
            let reason = "expected SQL without the NUL character, which no engine can read";
            return Err(FieldError::new("payload.sql", reason));
        }
        if sql.trim().is_empty() {
            return Err(FieldError::new(
                "payload.sql",
                "expected a statement, found only spaces",
            ));
        }
        let parameters = Parameters::read(payload.value("parameters"), "payload.parameters")?;
        let rows_max = payload.whole_number("max_rows", 1..=ROWS_MAX)?;
        let rows_max = usize::try_from(rows_max.unwrap_or(ROWS_DEFAULT)).unwrap_or(usize::MAX);
        let sources = payload.object("sources")?;
        if sources.len() > SOURCES_MAX {
            let reason = format!("expected at most {SOURCES_MAX}, found {}", sources.len());
            return Err(FieldError::new("payload.sources", reason));
        }
        let sources = sources.into_iter().map(|(name, object)| {
            source_name(&name)?;
            let object = object_name(object, &format!("payload.sources.{name}"))?;
            Ok((name, object))
        });
        let sources: Vec<(String, ObjectName)> = sources.collect::<Result<_, FieldError>>()?;
        let mut seen = BTreeMap::new();
        for (name, _) in &sources {
            if let Some(other) = seen.insert(name.to_ascii_lowercase(), name) {
                let reason = format!(
                    "expected names that differ, found {other:?} and {name:?}, which are the same name in SQL; rename one"
                );
                return Err(FieldError::new("payload.sources", reason));
            }
        }
        let into = payload.value("into").filter(|value| !value.is_null());
        let into = into
            .map(|object| object_name(object, "payload.into"))
            .transpose()?;
        if into
            .as_ref()
            .is_some_and(|into| into.options != CsvOptions::default())
        {
            let reason = "only sources have options; pudato writes csv with commas and tsv with tabs, and both with a header";
            return Err(FieldError::new("payload.into.options", reason));
        }
        if let Some(into) = &into
            && into.format == Format::Parquet
            && compression(&into.path).is_some()
        {
            let reason = "expected a path that ends in .parquet: Parquet has its own compression, and other programs expect it uncompressed";
            return Err(FieldError::new("payload.into.path", reason));
        }
        let timeout_seconds = payload.whole_number("timeout_seconds", 1..=seconds_max)?;
        Ok(Self {
            sql,
            parameters,
            rows_max,
            sources,
            into,
            timeout_seconds,
        })
    }
}

fn source_name(name: &str) -> Result<(), FieldError> {
    let refused = |what: &str| Err(FieldError::new("payload.sources", what));
    if name.is_empty() {
        return refused("expected a name for every source, found \"\"");
    }
    if name.len() > NAME_BYTES_MAX {
        let length = name.len();
        return refused(&format!(
            "expected names of at most {NAME_BYTES_MAX} bytes, found one of {length}"
        ));
    }
    if name.contains('\0') {
        return refused("expected names without the character NUL");
    }
    Ok(())
}

fn object_name(value: Value, field: &str) -> Result<ObjectName, FieldError> {
    if let Value::Object(object) = &value {
        check_fields(
            object,
            &OBJECT_FIELDS,
            field,
            "an object that SQL reads or writes",
        )?;
    }
    let mut fields = Fields::of(value, field)?;
    let container = fields.name_text("container")?;
    let path = fields.name_text("path")?;
    let format = match fields.optional_text("format")? {
        Some(name) => Format::named(&name).ok_or_else(|| {
            let known = Format::NAMES.join(", ");
            FieldError::new(
                format!("{field}.format"),
                format!("expected one of {known}, found {name:?}"),
            )
        })?,
        None => Format::of_path(&path).ok_or_else(|| {
            let known = Format::NAMES.join(", ");
            FieldError::new(
                format!("{field}.format"),
                format!("expected one of {known}, because the ending of the path {path:?} is none of them"),
            )
        })?,
    };
    let options = fields.value("options").filter(|value| !value.is_null());
    let options = match options {
        None => CsvOptions::default(),
        Some(_) if !matches!(format, Format::Csv | Format::Tsv) => {
            let reason = format!("only csv and tsv have options, found {}", format.name());
            return Err(FieldError::new(format!("{field}.options"), reason));
        }
        Some(value) => CsvOptions::read(value, &format!("{field}.options"))?,
    };
    Ok(ObjectName {
        container,
        path,
        format,
        options,
    })
}
