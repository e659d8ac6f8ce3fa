//! Converts columns that DuckDB 1.5.6 would silently change when it writes Parquet.

use super::types;
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
