//! The cells of a column without nested columns.

use super::texts;
use arrow_array::builder::{BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, NullArray};
use arrow_schema::{DataType, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::sync::Arc;

/// Collects the values of a column.
pub(super) trait Cells: Send {
    /// Adds a value. Returns false if the column's type cannot represent it; then discard these cells.
    fn push(&mut self, value: &Value) -> bool;

    /// The values as an array.
    fn finish(&mut self) -> ArrayRef;
}

#[derive(Default)]
pub(super) struct Nulls(usize);

impl Cells for Nulls {
    fn push(&mut self, value: &Value) -> bool {
        self.0 += 1;
        value.is_null()
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(NullArray::new(self.0))
    }
}

/// Values of a fixed width, and how to parse them.
struct Primitive<T: ArrowPrimitiveType, F> {
    builder: PrimitiveBuilder<T>,
    read: F,
}

impl<T, F> Cells for Primitive<T, F>
where
    T: ArrowPrimitiveType,
    F: Fn(&Value) -> Option<T::Native> + Send,
{
    fn push(&mut self, value: &Value) -> bool {
        if value.is_null() {
            self.builder.append_null();
            return true;
        }
        let read = (self.read)(value);
        if let Some(value) = read {
            self.builder.append_value(value);
        }
        read.is_some()
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

fn primitive<T: ArrowPrimitiveType>(
    count: usize,
    read: impl Fn(&Value) -> Option<T::Native> + Send + 'static,
) -> Box<dyn Cells> {
    let builder = PrimitiveBuilder::<T>::with_capacity(count);
    Box::new(Primitive { builder, read })
}

/// Like [`primitive`], for a type with parameters.
fn typed<T: ArrowPrimitiveType>(
    (count, of): (usize, DataType),
    read: impl Fn(&Value) -> Option<T::Native> + Send + 'static,
) -> Box<dyn Cells> {
    let builder = PrimitiveBuilder::<T>::with_capacity(count).with_data_type(of);
    Box::new(Primitive { builder, read })
}

fn integer<T: ArrowPrimitiveType>(count: usize) -> Box<dyn Cells>
where
    T::Native: TryFrom<i64> + TryFrom<u64>,
{
    primitive::<T>(count, |value| match value.as_i64() {
        Some(number) => T::Native::try_from(number).ok(),
        None => T::Native::try_from(value.as_u64()?).ok(),
    })
}

pub(super) fn integers(bits: u8, is_signed: bool, count: usize) -> Box<dyn Cells> {
    match (bits, is_signed) {
        (8, true) => integer::<Int8Type>(count),
        (16, true) => integer::<Int16Type>(count),
        (32, true) => integer::<Int32Type>(count),
        (8, false) => integer::<UInt8Type>(count),
        (16, false) => integer::<UInt16Type>(count),
        (32, false) => integer::<UInt32Type>(count),
        (_, true) => integer::<Int64Type>(count),
        (_, false) => integer::<UInt64Type>(count),
    }
}

/// Reads a number, or a tagged NaN or infinity.
fn float(value: &Value) -> Option<f64> {
    let Value::Object(tagged) = value else {
        return value.as_f64();
    };
    if tagged.get("$type")? != "float" {
        return None;
    }
    match tagged.get("value")?.as_str()? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

pub(super) fn doubles(count: usize) -> Box<dyn Cells> {
    primitive::<Float64Type>(count, float)
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the digits are those of a 32-bit number"
)]
pub(super) fn floats(count: usize) -> Box<dyn Cells> {
    primitive::<Float32Type>(count, |value| float(value).map(|number| number as f32))
}

pub(super) fn decimals(precision: u8, scale: i8, count: usize) -> Box<dyn Cells> {
    let of = DataType::Decimal128(precision, scale);
    typed::<Decimal128Type>((count, of), move |value| match value {
        Value::String(text) => texts::decimal(text, precision, scale),
        Value::Number(number) => texts::decimal(&number.to_string(), precision, scale),
        _ => None,
    })
}

pub(super) fn dates(count: usize) -> Box<dyn Cells> {
    primitive::<Date32Type>(count, |value| texts::date(value.as_str()?))
}

pub(super) fn times(unit: TimeUnit, count: usize) -> Box<dyn Cells> {
    let read = move |value: &Value| texts::time(value.as_str()?, unit);
    match unit {
        TimeUnit::Nanosecond => primitive::<Time64NanosecondType>(count, read),
        _ => primitive::<Time64MicrosecondType>(count, read),
    }
}

pub(super) fn timestamps(unit: TimeUnit, has_zone: bool, count: usize) -> Box<dyn Cells> {
    let zone = has_zone.then(|| "UTC".into());
    let of = (count, DataType::Timestamp(unit, zone));
    let read = move |value: &Value| texts::timestamp(value.as_str()?, unit, has_zone);
    match unit {
        TimeUnit::Second => typed::<TimestampSecondType>(of, read),
        TimeUnit::Millisecond => typed::<TimestampMillisecondType>(of, read),
        TimeUnit::Microsecond => typed::<TimestampMicrosecondType>(of, read),
        TimeUnit::Nanosecond => typed::<TimestampNanosecondType>(of, read),
    }
}

pub(super) fn booleans(count: usize) -> Box<dyn Cells> {
    Box::new(BooleanBuilder::with_capacity(count))
}

impl Cells for BooleanBuilder {
    fn push(&mut self, value: &Value) -> bool {
        let value = match value {
            Value::Null => None,
            Value::Bool(flag) => Some(*flag),
            _ => return false,
        };
        self.append_option(value);
        true
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(Self::finish(self))
    }
}

pub(super) fn blobs(count: usize) -> Box<dyn Cells> {
    Box::new(BinaryBuilder::with_capacity(count, 0))
}

impl Cells for BinaryBuilder {
    fn push(&mut self, value: &Value) -> bool {
        if value.is_null() {
            self.append_null();
            return true;
        }
        let bytes = (value["$type"] == "blob").then(|| value["base64"].as_str());
        match bytes.flatten().map(|text| STANDARD.decode(text)) {
            Some(Ok(bytes)) => self.append_value(bytes),
            _ => return false,
        }
        true
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(Self::finish(self))
    }
}

pub(super) fn texts(count: usize) -> Box<dyn Cells> {
    Box::new(StringBuilder::with_capacity(count, 0))
}

impl Cells for StringBuilder {
    fn push(&mut self, value: &Value) -> bool {
        match value {
            Value::Null => self.append_null(),
            Value::String(text) => self.append_value(text),
            other => self.append_value(other.to_string()),
        }
        true
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(Self::finish(self))
    }
}
