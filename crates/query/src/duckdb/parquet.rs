//! Converts columns that DuckDB 1.5.6 would silently change when it writes Parquet.

use super::types;
use crate::EngineError;
use duckdb::core::{LogicalTypeHandle, LogicalTypeId};

/// The type to cast a column to before it is written; `None` if it can stay.
///
/// # Errors
/// Parquet cannot store the type; the text says why.
pub(super) fn cast(r#type: &LogicalTypeHandle) -> Result<Option<String>, &'static str> {
    check(r#type)?;
    if !contains(r#type) {
        return Ok(None);
    }
    // DuckDB would write a HUGEINT as a DOUBLE; a DECIMAL in Parquet has 38 digits. For an ARRAY that is NULL, DuckDB would write its
    // elements, and pyarrow could not read the file; a LIST is written correctly.
    Ok(Some(types::with_others(r#type, &|id| match id {
        LogicalTypeId::Hugeint | LogicalTypeId::UHugeint => Some("DECIMAL(38,0)"),
        // DuckDB writes an ENUM as VARCHAR as well, and a cast cannot name its members. JSON is a VARCHAR with an alias that polars would
        // read as bytes.
        LogicalTypeId::Enum | LogicalTypeId::Varchar => Some("VARCHAR"),
        _ => None,
    })))
}

/// A condition on a column that is true for a value which other programs would read from Parquet as another one, with what is wrong with
/// it; `None` if its type has no such value. `column` is SQL.
///
/// - DuckDB has `24:00:00` as a time of day, and pyarrow reads 00:00:00, polars null.
/// - It has infinite dates and times, and pandas reads a timestamp in the year 294247 (pandas 3.1.1, polars 2.1.0, pyarrow 26.0.1).
pub(super) fn misread(r#type: &LogicalTypeHandle, column: &str) -> Option<(String, &'static str)> {
    const MIDNIGHT: &str =
        "24:00:00, which other programs read from Parquet as 00:00:00 or null; cast it to VARCHAR";
    const INFINITE: &str = "infinity, which other programs read from Parquet as a date or time or not at all; \
                            write NULL instead, or cast it to VARCHAR";
    use LogicalTypeId as Id;
    let holds = |ids: &[Id]| is_or_contains(r#type, ids);
    let is_nested = r#type.num_children() > 0;
    match r#type.id() {
        Id::Time | Id::TimeNs => Some((format!("{column} = TIME '24:00:00'"), MIDNIGHT)),
        Id::Date | Id::Timestamp | Id::TimestampTZ => Some((format!("isinf({column})"), INFINITE)),
        Id::TimestampS | Id::TimestampMs | Id::TimestampNs => {
            Some((format!("isinf(CAST({column} AS TIMESTAMP))"), INFINITE))
        }
        // A text inside that has the same characters is refused too.
        _ if is_nested && holds(&[Id::Time, Id::TimeNs]) => {
            Some((within(column, "24:00:00"), MIDNIGHT))
        }
        _ if is_nested && holds(&MOMENTS) => Some((within(column, "infinity"), INFINITE)),
        _ => None,
    }
}

/// How the text begins with which a value is refused while DuckDB writes.
pub(super) const REFUSAL: &str = "payload.into: the column ";

/// An error without the words that DuckDB puts before such a text; it has no other way to pass one on.
pub(super) fn refusal(error: EngineError) -> EngineError {
    match error {
        EngineError::Invalid(text) => {
            let at = text.find(REFUSAL).unwrap_or(0);
            EngineError::Invalid(text[at..].to_owned())
        }
        error => error,
    }
}

/// The types that have infinite values.
const MOMENTS: [LogicalTypeId; 6] = [
    LogicalTypeId::Date,
    LogicalTypeId::Timestamp,
    LogicalTypeId::TimestampTZ,
    LogicalTypeId::TimestampS,
    LogicalTypeId::TimestampMs,
    LogicalTypeId::TimestampNs,
];

fn within(column: &str, text: &str) -> String {
    format!("contains(CAST({column} AS VARCHAR), '{text}')")
}

fn is_or_contains(r#type: &LogicalTypeHandle, ids: &[LogicalTypeId]) -> bool {
    ids.contains(&r#type.id())
        || (0..r#type.num_children()).any(|n| is_or_contains(&r#type.child(n), ids))
}

fn check(r#type: &LogicalTypeHandle) -> Result<(), &'static str> {
    use LogicalTypeId as Id;
    match r#type.id() {
        Id::TimeTZ => Err(
            "a time of day with an offset, and Parquet does not store the offset; cast it to VARCHAR or TIME",
        ),
        Id::Interval => {
            Err("an interval, and Parquet does not store its microseconds; cast it to VARCHAR")
        }
        Id::Union => Err(
            "a union, which would become a struct; take its member with union_extract, or cast it to JSON",
        ),
        Id::Variant => Err("a VARIANT, which other programs cannot read; cast it to JSON"),
        Id::Geometry => Err("a GEOMETRY, which other programs read as bytes; cast it to VARCHAR"),
        _ => (0..r#type.num_children()).try_for_each(|n| check(&r#type.child(n))),
    }
}

fn contains(r#type: &LogicalTypeHandle) -> bool {
    let is_json = r#type.id() == LogicalTypeId::Varchar && r#type.get_alias().is_some();
    is_json
        || matches!(
            r#type.id(),
            LogicalTypeId::Hugeint | LogicalTypeId::UHugeint | LogicalTypeId::Array
        )
        || (0..r#type.num_children()).any(|n| contains(&r#type.child(n)))
}
