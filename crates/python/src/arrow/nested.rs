//! The cells of columns with nested columns: lists, structs and maps.

use super::cells::Cells;
use arrow_array::{ArrayRef, FixedSizeListArray, ListArray, MapArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields};
use serde_json::Value;
use std::sync::Arc;

/// Lists, of variable or fixed length.
pub(super) struct Lists {
    item: Box<dyn Cells>,
    length: Option<i32>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Lists {
    pub(super) fn new(item: Box<dyn Cells>, length: Option<i32>) -> Self {
        Self {
            item,
            length,
            lengths: Vec::new(),
            valid: Vec::new(),
        }
    }
}

impl Cells for Lists {
    fn push(&mut self, value: &Value) -> bool {
        let length = self.length.and_then(|length| usize::try_from(length).ok());
        let items = match value {
            Value::Null => None,
            Value::Array(items) if length.is_none_or(|length| length == items.len()) => Some(items),
            _ => return false,
        };
        self.valid.push(items.is_some());
        let Some(items) = items else {
            // In a fixed-length column, even a null list takes up room.
            let room = length.unwrap_or(0);
            self.lengths.push(room);
            return (0..room).all(|_| self.item.push(&Value::Null));
        };
        self.lengths.push(items.len());
        items.iter().all(|item| self.item.push(item))
    }

    fn finish(&mut self) -> ArrayRef {
        let items = self.item.finish();
        let field = Arc::new(Field::new("item", items.data_type().clone(), true));
        let valid = Some(NullBuffer::from(std::mem::take(&mut self.valid)));
        match self.length {
            Some(length) => Arc::new(FixedSizeListArray::new(field, length, items, valid)),
            None => {
                let offsets = OffsetBuffer::from_lengths(self.lengths.drain(..));
                Arc::new(ListArray::new(field, offsets, items, valid))
            }
        }
    }
}

/// Structs.
pub(super) struct Structs {
    members: Vec<(String, Box<dyn Cells>)>,
    valid: Vec<bool>,
}

impl Structs {
    pub(super) fn new(members: Vec<(String, Box<dyn Cells>)>) -> Self {
        Self {
            members,
            valid: Vec::new(),
        }
    }
}

impl Cells for Structs {
    fn push(&mut self, value: &Value) -> bool {
        let object = match value {
            Value::Null => None,
            Value::Object(object) if object.len() == self.members.len() => Some(object),
            _ => return false,
        };
        self.valid.push(object.is_some());
        self.members.iter_mut().all(|(name, cells)| match object {
            None => cells.push(&Value::Null),
            Some(object) => object.get(name).is_some_and(|value| cells.push(value)),
        })
    }

    fn finish(&mut self) -> ArrayRef {
        let finished = self.members.iter_mut().map(|(name, cells)| {
            let array = cells.finish();
            (Field::new(&*name, array.data_type().clone(), true), array)
        });
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = finished.unzip();
        let valid = NullBuffer::from(std::mem::take(&mut self.valid));
        Arc::new(StructArray::new(Fields::from(fields), arrays, Some(valid)))
    }
}

/// Maps, as lists of key-value pairs.
pub(super) struct Maps {
    keys: Box<dyn Cells>,
    values: Box<dyn Cells>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Maps {
    pub(super) fn new(keys: Box<dyn Cells>, values: Box<dyn Cells>) -> Self {
        Self {
            keys,
            values,
            lengths: Vec::new(),
            valid: Vec::new(),
        }
    }
}

impl Cells for Maps {
    fn push(&mut self, value: &Value) -> bool {
        let entries = match value {
            Value::Null => &[][..],
            Value::Array(entries) => entries,
            _ => return false,
        };
        self.valid.push(!value.is_null());
        self.lengths.push(entries.len());
        entries.iter().all(|entry| {
            let (key, value) = (&entry["key"], &entry["value"]);
            !key.is_null() && self.keys.push(key) && self.values.push(value)
        })
    }

    fn finish(&mut self) -> ArrayRef {
        let (keys, values) = (self.keys.finish(), self.values.finish());
        let fields = Fields::from(vec![
            Field::new("key", keys.data_type().clone(), false),
            Field::new("value", values.data_type().clone(), true),
        ]);
        let entries = StructArray::new(fields.clone(), vec![keys, values], None);
        let field = Arc::new(Field::new("entries", DataType::Struct(fields), false));
        let offsets = OffsetBuffer::from_lengths(self.lengths.drain(..));
        let valid = NullBuffer::from(std::mem::take(&mut self.valid));
        Arc::new(MapArray::new(field, offsets, entries, Some(valid), false))
    }
}
