//! Reads JSON values within the limits of the contract.

use crate::FieldError;
use base64::Engine;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;

/// A JSON object whose keys keep their order.
pub type Object = Map<String, Value>;

/// The most bytes of a body on the wire: SQS's largest message.
pub const BODY_BYTES_MAX: usize = 1_048_576;
/// Deepest nesting of arrays and objects (docs/design/messages.md).
pub const DEPTH_MAX: usize = 64;
/// Most object keys in one message, counted over all depths (docs/design/messages.md).
pub const KEYS_MAX: usize = 10_000;

/// The most object keys in a message that was stored as a claim: an answer of 100,000 rows may have ten in each. An object with one key
/// takes one leaf of a B-tree, about 630 bytes, so this many take 630 MB at worst.
pub const CLAIM_KEYS_MAX: usize = 1_000_000;

/// Bytes in JSON: `{"$type": "blob", "base64": ".."}`.
pub fn blob(bytes: &[u8]) -> Value {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    serde_json::json!({"$type": "blob", "base64": text})
}

/// A float in JSON: a number, or `{"$type": "float", "value": "NaN"}` for values that JSON lacks.
pub fn float(value: f64) -> Value {
    match serde_json::Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => serde_json::json!({"$type": "float", "value": "NaN"}),
        None if value > 0.0 => serde_json::json!({"$type": "float", "value": "Infinity"}),
        None => serde_json::json!({"$type": "float", "value": "-Infinity"}),
    }
}

/// Counts the object keys of a text that [`encode`](crate::encode) wrote.
///
/// ```
/// assert_eq!(pudato_protocol::keys(r#"{"a":["b:",{"\"c\":":":1"}]}"#), 2);
/// ```
pub fn keys(body: &str) -> usize {
    let (mut keys, mut is_in_text) = (0, false);
    let mut left = body.as_bytes().iter();
    while let Some(byte) = left.next() {
        match byte {
            b'"' => {
                is_in_text = !is_in_text;
                // A colon directly after an opening quote belongs to the text.
                keys += usize::from(!is_in_text && left.as_slice().first() == Some(&b':'));
            }
            // An escaped character does not end a text. There are no backslashes outside of texts.
            b'\\' => drop(left.next()),
            _ => {}
        }
    }
    keys
}

/// Reads one JSON text: no duplicate keys, depth and keys within the limits, and nothing after it.
pub(crate) fn read(body: &[u8], keys_max: usize) -> std::result::Result<Value, FieldError> {
    let keys = Keys::new(keys_max);
    let mut reader = serde_json::Deserializer::from_slice(body);
    Checked::root(&keys)
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| FieldError::new("body", format!("expected a JSON object: {error}")))
}

/// The number of keys so far, and the most that are allowed.
#[derive(Debug)]
pub struct Keys {
    count: Cell<usize>,
    max: usize,
}

impl Keys {
    /// No key so far; at most `max`.
    pub fn new(max: usize) -> Self {
        let count = Cell::new(0);
        Self { count, max }
    }
}

/// Reads a value within the limits of depth and keys. A reader that makes something other than a [`Value`] asks it before each array,
/// object and key.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    depth: usize,
    keys: &'a Keys,
}

impl<'a> Checked<'a> {
    /// At the beginning of a text.
    pub fn root(keys: &'a Keys) -> Self {
        Self { depth: 0, keys }
    }

    /// Enters an array or an object.
    ///
    /// # Errors
    /// It is nested too deeply.
    pub fn deeper<E: serde::de::Error>(self) -> std::result::Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }

    /// Counts a key.
    ///
    /// # Errors
    /// There are too many.
    pub fn count<E: serde::de::Error>(self) -> std::result::Result<(), E> {
        let Keys { count, max } = self.keys;
        count.set(count.get() + 1);
        if count.get() > *max {
            return Err(E::custom(format!("more than {max} keys")));
        }
        Ok(())
    }

    /// Reads an object.
    pub(crate) fn object<'de, A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<Object, A::Error> {
        let inner = self.deeper()?;
        let mut object = Object::new();
        while let Some(key) = map.next_key::<String>()? {
            self.count()?;
            let entry = match object.entry(key) {
                Entry::Vacant(entry) => entry,
                Entry::Occupied(entry) => {
                    return Err(A::Error::custom(format!("duplicate key {:?}", entry.key())));
                }
            };
            entry.insert(map.next_value_seed(inner)?);
        }
        Ok(object)
    }
}

impl<'de> DeserializeSeed<'de> for Checked<'_> {
    type Value = Value;
    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        reader: D,
    ) -> std::result::Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> std::result::Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> std::result::Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Value, A::Error> {
        self.object(map).map(Value::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::keys;

    #[test]
    fn keys_are_counted_and_texts_are_not() {
        assert_eq!(keys(r#"{"a":":b"}"#), 1);
        assert_eq!(keys(r#"{"a":[":","\":","\\",":"],"":{}}"#), 2);
        assert_eq!(keys(r#"{"\\":{"\"":":"}}"#), 2);
        assert_eq!(keys(r#"[":"]"#), 0);
        assert_eq!(keys("{}"), 0);
    }
}
