//! Converts the values of an answer to JSON.

mod iso8601;

use duckdb::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, DictionaryArray, FixedSizeListArray, ListArray,
    MapArray, StructArray, UnionArray,
};
use duckdb::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use duckdb::core::{LogicalTypeHandle, LogicalTypeId};
use iso8601::{date, duration, time, timestamp};
use pudato_protocol::{blob, float};
use serde_json::{Value, json};

/// What the Arrow type of a column lacks: which 128-bit numbers are HUGEINT rather than DECIMAL.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Shape {
    is_hugeint: bool,
    children: Vec<Shape>,
}

/// The deepest nesting of a column type. A value is five levels deep in a Result, each MAP adds two, and a message allows 64.
const TYPE_DEPTH_MAX: usize = 28;

impl Shape {
    /// The shape of a column's type; `None` if it is nested too deeply for a message.
    pub(super) fn of(r#type: &LogicalTypeHandle) -> Option<Self> {
        Self::at(r#type, 0)
    }

    fn at(r#type: &LogicalTypeHandle, depth: usize) -> Option<Self> {
        if depth > TYPE_DEPTH_MAX {
            return None;
        }
        let children = (0..r#type.num_children()).map(|n| Self::at(&r#type.child(n), depth + 1));
        Some(Self {
            is_hugeint: r#type.id() == LogicalTypeId::Hugeint,
            children: children.collect::<Option<_>>()?,
        })
    }

    fn child(&self, n: usize) -> &Self {
        static PLAIN: Shape = Shape {
            is_hugeint: false,
            children: Vec::new(),
        };
        self.children.get(n).unwrap_or(&PLAIN)
    }
}

fn number<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> Value
where
    T::Native: Into<Value>,
{
    array.as_primitive::<T>().value(row).into()
}

/// Why a value cannot be converted.
#[derive(Debug)]
pub(super) enum NoValue {
    /// It does not fit into the remaining bytes.
    TooLarge,
    /// Its type has no JSON form.
    NoForm(String),
}

impl From<&str> for NoValue {
    fn from(what: &str) -> Self {
        Self::NoForm(what.into())
    }
}

/// The value at `row`; an error names a type without a JSON form. The value takes what it needs ([`bytes`]) from `room`, because a list of
/// numbers takes many times as many bytes here as in its source.
pub(super) fn value(
    array: &dyn Array,
    row: usize,
    shape: &Shape,
    room: &mut usize,
) -> Result<Value, NoValue> {
    take(room, 1)?;
    // A union itself has no nulls; its members do.
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int8 => number::<Int8Type>(array, row),
        DataType::Int16 => number::<Int16Type>(array, row),
        DataType::Int32 => number::<Int32Type>(array, row),
        DataType::Int64 => number::<Int64Type>(array, row),
        DataType::UInt8 => number::<UInt8Type>(array, row),
        DataType::UInt16 => number::<UInt16Type>(array, row),
        DataType::UInt32 => number::<UInt32Type>(array, row),
        DataType::UInt64 => number::<UInt64Type>(array, row),
        DataType::Float32 => single(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            let digits = array.as_primitive::<Decimal128Type>().value(row);
            if shape.is_hugeint {
                integer(digits)
            } else {
                decimal(digits, *scale).into()
            }
        }
        DataType::Utf8 => text(array.as_string::<i32>().value(row), room)?,
        DataType::LargeUtf8 => text(array.as_string::<i64>().value(row), room)?,
        DataType::Binary => {
            let array = array.as_any().downcast_ref::<BinaryArray>().ok_or("BLOB")?;
            let bytes = array.value(row);
            take(room, bytes.len())?;
            blob(bytes)
        }
        DataType::Date32 => date(array.as_primitive::<Date32Type>().value(row)).into(),
        DataType::Time64(TimeUnit::Microsecond) => {
            time(i128::from(array.as_primitive::<Time64MicrosecondType>().value(row)) * 1_000)
                .into()
        }
        DataType::Time64(TimeUnit::Nanosecond) => time(
            array
                .as_primitive::<Time64NanosecondType>()
                .value(row)
                .into(),
        )
        .into(),
        DataType::Timestamp(unit, zone) => {
            timestamp(ticks(array, row, *unit), *unit, zone.is_some()).into()
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let interval = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            duration(interval.months, interval.days, interval.nanoseconds).into()
        }
        DataType::Dictionary(key, _) => enumerated(array, key, row, room)?,
        DataType::List(_) => list(
            &array
                .as_any()
                .downcast_ref::<ListArray>()
                .ok_or("LIST")?
                .value(row),
            shape,
            room,
        )?,
        DataType::FixedSizeList(..) => list(
            &array
                .as_any()
                .downcast_ref::<FixedSizeListArray>()
                .ok_or("ARRAY")?
                .value(row),
            shape,
            room,
        )?,
        DataType::Struct(_) => structure(
            array
                .as_any()
                .downcast_ref::<StructArray>()
                .ok_or("STRUCT")?,
            row,
            shape,
            room,
        )?,
        DataType::Map(..) => map(
            &array
                .as_any()
                .downcast_ref::<MapArray>()
                .ok_or("MAP")?
                .value(row),
            shape,
            room,
        )?,
        DataType::Union(..) => union(
            array.as_any().downcast_ref::<UnionArray>().ok_or("UNION")?,
            row,
            shape,
            room,
        )?,
        other => {
            return Err(NoValue::NoForm(format!(
                "a value of Arrow's type {other} has no JSON form; cast it to VARCHAR"
            )));
        }
    })
}

/// The approximate size of the value as JSON.
pub(super) fn bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 12,
        Value::String(text) => text.len() + 3,
        Value::Array(items) => 2 + items.iter().map(bytes).sum::<usize>(),
        Value::Object(items) => {
            2 + items
                .iter()
                .map(|(key, item)| key.len() + 4 + bytes(item))
                .sum::<usize>()
        }
    }
}

/// The shortest digits that distinguish this number from all others of 32 bits.
fn single(number: f32) -> Value {
    float(
        number
            .to_string()
            .parse()
            .unwrap_or_else(|_| f64::from(number)),
    )
}

/// A number if it fits into 64 bits, otherwise its digits.
fn integer(number: i128) -> Value {
    let signed = i64::try_from(number).map(Value::from);
    let unsigned = |_| u64::try_from(number).map(Value::from);
    signed
        .or_else(unsigned)
        .unwrap_or_else(|_| number.to_string().into())
}

fn decimal(digits: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap_or(0);
    let sign = if digits < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    if part.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{part}")
    }
}

fn ticks(array: &dyn Array, row: usize, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row),
    }
}

/// Subtracts `bytes` from the remaining room.
fn take(room: &mut usize, bytes: usize) -> Result<(), NoValue> {
    *room = room.checked_sub(bytes).ok_or(NoValue::TooLarge)?;
    Ok(())
}

fn text(text: &str, room: &mut usize) -> Result<Value, NoValue> {
    take(room, text.len())?;
    Ok(text.into())
}

fn enumerated(
    array: &dyn Array,
    key: &DataType,
    row: usize,
    room: &mut usize,
) -> Result<Value, NoValue> {
    fn member<K: duckdb::arrow::datatypes::ArrowDictionaryKeyType>(
        array: &dyn Array,
        row: usize,
    ) -> Option<&str> {
        let array = array.as_any().downcast_ref::<DictionaryArray<K>>()?;
        let values = array.values().as_string_opt::<i32>()?;
        Some(values.value(array.key(row)?))
    }
    let member = match key {
        DataType::UInt8 => member::<UInt8Type>(array, row),
        DataType::UInt16 => member::<UInt16Type>(array, row),
        DataType::UInt32 => member::<UInt32Type>(array, row),
        _ => None,
    };
    text(
        member.ok_or("an ENUM that cannot be read; cast it to VARCHAR")?,
        room,
    )
}

fn list(items: &ArrayRef, shape: &Shape, room: &mut usize) -> Result<Value, NoValue> {
    (0..items.len())
        .map(|row| value(items, row, shape.child(0), room))
        .collect()
}

fn structure(
    array: &StructArray,
    row: usize,
    shape: &Shape,
    room: &mut usize,
) -> Result<Value, NoValue> {
    let members = array
        .column_names()
        .into_iter()
        .zip(array.columns())
        .enumerate();
    let members = members.map(|(n, (name, column))| {
        take(room, name.len())?;
        Ok((name.to_owned(), value(column, row, shape.child(n), room)?))
    });
    members
        .collect::<Result<serde_json::Map<_, _>, NoValue>>()
        .map(Value::Object)
}

fn map(entries: &StructArray, shape: &Shape, room: &mut usize) -> Result<Value, NoValue> {
    let (keys, values) = (entries.column(0), entries.column(1));
    let entries = (0..entries.len()).map(|row| {
        let key = value(keys, row, shape.child(0), room)?;
        let value = value(values, row, shape.child(1), room)?;
        Ok(json!({"key": key, "value": value}))
    });
    entries.collect()
}

/// The value of a union, under the name of its member.
fn union(
    array: &UnionArray,
    row: usize,
    shape: &Shape,
    room: &mut usize,
) -> Result<Value, NoValue> {
    let id = array.type_id(row);
    let n = usize::try_from(id).map_err(|_| "UNION")?;
    let DataType::Union(fields, _) = array.data_type() else {
        return Err("UNION".into());
    };
    let field = fields
        .iter()
        .find(|(own, _)| *own == id)
        .map(|(_, field)| field);
    let name = field.map(|field| field.name().clone()).unwrap_or_default();
    let member = value(&array.value(row), 0, shape.child(n), room)?;
    Ok(if member.is_null() {
        Value::Null
    } else {
        json!({name: member})
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_every_digit() {
        assert_eq!(decimal(-5, 3), "-0.005");
        assert_eq!(decimal(12_345, 2), "123.45");
        assert_eq!(decimal(7, 0), "7");
        assert_eq!(integer(i128::from(u64::MAX)), json!(u64::MAX));
        assert_eq!(integer(i128::MIN), json!(i128::MIN.to_string()));
    }
}
