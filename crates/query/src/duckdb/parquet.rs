//! What a column becomes in Parquet, where DuckDB 1.5.6 would change it without a word.

use super::types;
use duckdb::core::{LogicalTypeHandle, LogicalTypeId};

/// The type to cast a column to before it is written; `None` where it stays as it is.
///
/// # Errors
/// Why Parquet cannot hold it.
pub(super) fn cast(r#type: &LogicalTypeHandle) -> Result<Option<String>, &'static str> {
    check(r#type)?;
    if !contains(r#type) {
        return Ok(None);
    }
    // DuckDB would write a DOUBLE; 38 digits are what a DECIMAL of Parquet has.
    Ok(Some(types::with_others(r#type, &|id| match id {
        LogicalTypeId::Hugeint | LogicalTypeId::UHugeint => Some("DECIMAL(38,0)"),
        // As DuckDB writes it; the words of one cannot be said in a cast.
        LogicalTypeId::Enum => Some("VARCHAR"),
        _ => None,
    })))
}

fn check(r#type: &LogicalTypeHandle) -> Result<(), &'static str> {
    use LogicalTypeId as Id;
    match r#type.id() {
        Id::TimeTZ => Err(
            "a time of day with an offset, of which Parquet keeps no offset; cast it to VARCHAR or TIME",
        ),
        Id::Interval => {
            Err("an interval, of which Parquet keeps no microseconds; cast it to VARCHAR")
        }
        Id::Union => Err(
            "a union, which would become a struct; take its member with union_extract, or cast it to JSON",
        ),
        Id::Variant => Err("a VARIANT, which others cannot read; cast it to JSON"),
        Id::Geometry => Err("a GEOMETRY, which others read as bytes; cast it to VARCHAR"),
        Id::Array if contains(r#type) => {
            Err("an array of HUGEINT; cast it to a list of DECIMAL(38,0)")
        }
        _ => (0..r#type.num_children()).try_for_each(|n| check(&r#type.child(n))),
    }
}

fn contains(r#type: &LogicalTypeHandle) -> bool {
    matches!(
        r#type.id(),
        LogicalTypeId::Hugeint | LogicalTypeId::UHugeint
    ) || (0..r#type.num_children()).any(|n| contains(&r#type.child(n)))
}
