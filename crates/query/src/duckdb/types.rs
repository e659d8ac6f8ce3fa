//! Writes types in SQL, and finds those that must be cast before Rust can read them.

use super::statements::quote;
use duckdb::arrow::datatypes::DataType;
use duckdb::core::{LogicalTypeHandle, LogicalTypeId};

/// The type in DuckDB's notation. With `readable`, types that Arrow cannot carry without loss become VARCHAR (seen with DuckDB 1.5.6:
/// TIMETZ loses its offset, UHUGEINT its highest bit, BIT, BIGNUM and VARIANT come as DuckDB's own bytes, and GEOMETRY as WKB, whose text
/// has every digit).
///
/// `arrow` is the column's type in the answer, if there is one: only it contains the length of an ARRAY.
pub(super) fn text(r#type: &LogicalTypeHandle, arrow: Option<&DataType>, readable: bool) -> String {
    let instead = |id| (readable && needs_cast(id)).then_some("VARCHAR");
    replaced(r#type, arrow, readable, &instead)
}

/// The type in SQL, with replacements for the types that `instead` names.
pub(super) fn with_others(
    r#type: &LogicalTypeHandle,
    instead: &dyn Fn(LogicalTypeId) -> Option<&'static str>,
) -> String {
    replaced(r#type, None, true, instead)
}

fn replaced(
    r#type: &LogicalTypeHandle,
    arrow: Option<&DataType>,
    is_sql: bool,
    instead: &dyn Fn(LogicalTypeId) -> Option<&'static str>,
) -> String {
    use LogicalTypeId as Id;
    let id = r#type.id();
    if let Some(instead) = instead(id) {
        return instead.into();
    }
    if let Some(alias) = r#type.get_alias() {
        // A user named the type, so its name is quoted in SQL.
        return if is_sql { quote(&alias) } else { alias };
    }
    let child = |n: usize| {
        let arrow = arrow.and_then(|arrow| child_type(arrow, n));
        replaced(&r#type.child(n), arrow, is_sql, instead)
    };
    let members = || {
        let members = (0..r#type.num_children()).map(|n| {
            let name = r#type.child_name(n);
            // A member may have the name of a keyword.
            let name = match is_sql {
                true => quote(&name),
                false => quote_where_needed(&name),
            };
            format!("{name} {}", child(n))
        });
        members.collect::<Vec<_>>().join(", ")
    };
    match id {
        Id::Boolean => "BOOLEAN".into(),
        Id::Tinyint => "TINYINT".into(),
        Id::Smallint => "SMALLINT".into(),
        Id::Integer => "INTEGER".into(),
        Id::Bigint => "BIGINT".into(),
        Id::UTinyint => "UTINYINT".into(),
        Id::USmallint => "USMALLINT".into(),
        Id::UInteger => "UINTEGER".into(),
        Id::UBigint => "UBIGINT".into(),
        Id::Hugeint => "HUGEINT".into(),
        Id::UHugeint => "UHUGEINT".into(),
        Id::Float => "FLOAT".into(),
        Id::Double => "DOUBLE".into(),
        Id::Timestamp => "TIMESTAMP".into(),
        Id::TimestampS => "TIMESTAMP_S".into(),
        Id::TimestampMs => "TIMESTAMP_MS".into(),
        Id::TimestampNs => "TIMESTAMP_NS".into(),
        Id::TimestampTZ => "TIMESTAMP WITH TIME ZONE".into(),
        Id::Date => "DATE".into(),
        Id::Time => "TIME".into(),
        Id::TimeNs => "TIME_NS".into(),
        Id::TimeTZ => "TIME WITH TIME ZONE".into(),
        Id::Interval => "INTERVAL".into(),
        Id::Varchar | Id::StringLiteral => "VARCHAR".into(),
        Id::Blob => "BLOB".into(),
        Id::Bit => "BIT".into(),
        Id::Bignum => "BIGNUM".into(),
        Id::Uuid => "UUID".into(),
        Id::Geometry => "GEOMETRY".into(),
        Id::Variant => "VARIANT".into(),
        Id::Enum => "ENUM".into(),
        Id::SqlNull => "NULL".into(),
        Id::IntegerLiteral => "INTEGER".into(),
        Id::Decimal => format!(
            "DECIMAL({},{})",
            r#type.decimal_width(),
            r#type.decimal_scale()
        ),
        Id::List => format!("{}[]", child(0)),
        Id::Array => match arrow {
            Some(DataType::FixedSizeList(_, length)) => format!("{}[{length}]", child(0)),
            // The length is unknown here, and a cast needs one. A list holds the same values.
            _ if is_sql => format!("{}[]", child(0)),
            _ => format!("{}[ANY]", child(0)),
        },
        Id::Struct => format!("STRUCT({})", members()),
        Id::Union => format!("UNION({})", members()),
        Id::Map => format!("MAP({}, {})", child(0), child(1)),
        other => format!("{other:?}").to_ascii_uppercase(),
    }
}

/// The type to cast a column to before it is read; `None` if it can be read as it is.
pub(super) fn cast(r#type: &LogicalTypeHandle) -> Option<String> {
    if !contains(r#type) {
        return None;
    }
    // DuckDB does not cast the members of a union, and the length of an array is unknown here.
    let is_composed = |id| matches!(id, LogicalTypeId::Union | LogicalTypeId::Array);
    if is_composed(r#type.id()) {
        return Some("VARCHAR".into());
    }
    Some(text(r#type, None, true))
}

fn child_type(arrow: &DataType, n: usize) -> Option<&DataType> {
    match arrow {
        DataType::List(field) | DataType::FixedSizeList(field, _) => Some(field.data_type()),
        DataType::Struct(fields) => fields.get(n).map(|field| field.data_type()),
        DataType::Map(entries, _) => child_type(entries.data_type(), n),
        _ => None,
    }
}

fn needs_cast(id: LogicalTypeId) -> bool {
    use LogicalTypeId as Id;
    matches!(
        id,
        Id::TimeTZ | Id::UHugeint | Id::Bit | Id::Bignum | Id::Variant | Id::Geometry
    )
}

fn contains(r#type: &LogicalTypeHandle) -> bool {
    needs_cast(r#type.id()) || (0..r#type.num_children()).any(|n| contains(&r#type.child(n)))
}

fn quote_where_needed(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.is_empty()
        && name.chars().all(is_plain)
        && !name.starts_with(|c: char| c.is_ascii_digit())
    {
        name.to_owned()
    } else {
        quote(name)
    }
}
