//! Parses JSON directly into Python values. It accepts only what `pudato_protocol` accepts, and otherwise gives up without an error text: the
//! slow path (`codec.rs`) then words the error, or parses what this one cannot.

use crate::keys::KeptKeys;
use crate::models::{FIELDS_MAX, Kind, Models, Rule, Values};
use pudato_protocol::{Checked, Keys, Timestamp};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyString};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// From here on (2 to the power of 63), a number may be an integer that a float can only approximate.
const EXACT_BELOW: f64 = (1_u64 << 63) as f64;

/// Parses a whole text as one message.
pub(crate) fn message<'py>(
    py: Python<'py>,
    kind: Kind,
    text: &str,
    keys_max: usize,
) -> Option<Bound<'py, PyAny>> {
    let (keys, kept) = (Keys::new(keys_max), KeptKeys::take());
    let at = At {
        py,
        models: Models::get(py).ok()?,
        kept: &kept,
        checked: Checked::root(&keys),
    };
    whole(Model { at, kind }, text)
}

/// Parses a whole text as any value, with any number of keys.
pub(crate) fn value<'py>(py: Python<'py>, text: &str) -> Option<Bound<'py, PyAny>> {
    let (keys, kept) = (Keys::new(usize::MAX), KeptKeys::take());
    let at = At {
        py,
        models: Models::get(py).ok()?,
        kept: &kept,
        checked: Checked::root(&keys),
    };
    whole(Any(at), text)
}

fn whole<'de, T>(seed: impl DeserializeSeed<'de, Value = T>, text: &'de str) -> Option<T> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = seed.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(read)
}

/// The position of a value.
#[derive(Clone, Copy)]
struct At<'k, 'py> {
    py: Python<'py>,
    models: &'k Models,
    kept: &'k KeptKeys,
    checked: Checked<'k>,
}

impl At<'_, '_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let checked = self.checked.deeper()?;
        Ok(Self { checked, ..self })
    }
}

/// Python is out of memory or has a similar problem. The slow path will run into it again and report it.
fn failed<E: Error>(_: PyErr) -> E {
    E::custom("Python")
}

/// Reads any value.
#[derive(Clone, Copy)]
struct Any<'k, 'py>(At<'k, 'py>);

impl<'de, 'py> DeserializeSeed<'de> for Any<'_, 'py> {
    type Value = Bound<'py, PyAny>;
    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Any<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.0.py.None().into_bound(self.0.py))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(PyBool::new(self.0.py, value).to_owned().into_any())
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        let Ok(value) = value.into_pyobject(self.0.py);
        Ok(value.into_any())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        let Ok(value) = value.into_pyobject(self.0.py);
        Ok(value.into_any())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        // `-0` is an integer, but serde reports a float here.
        if value.abs() >= EXACT_BELOW || (value == 0.0 && value.is_sign_negative()) {
            return Err(E::custom("perhaps an integer"));
        }
        Ok(PyFloat::new(self.0.py, value).into_any())
    }
    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.0.py, value).into_any())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let inner = Any(self.0.deeper()?);
        let list = PyList::empty(self.0.py);
        while let Some(item) = seq.next_element_seed(inner)? {
            list.append(item).map_err(failed)?;
        }
        Ok(list.into_any())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let inner = Any(self.0.deeper()?);
        let object = PyDict::new(self.0.py);
        let mut count = 0;
        while let Some(key) = map.next_key_seed(Key(self.0))? {
            self.0.checked.count()?;
            let value = map.next_value_seed(inner)?;
            object.set_item(key, value).map_err(failed)?;
            count += 1;
        }
        match object.len() == count {
            true => Ok(object.into_any()),
            false => Err(A::Error::custom("duplicate key")),
        }
    }
}

/// Reads the key of an object.
struct Key<'k, 'py>(At<'k, 'py>);

impl<'de, 'py> DeserializeSeed<'de> for Key<'_, 'py> {
    type Value = Bound<'py, PyString>;
    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'py> Visitor<'_> for Key<'_, 'py> {
    type Value = Bound<'py, PyString>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.kept.text(self.0.py, key))
    }
}

/// Parses a string in an array.
struct Text<'py>(Python<'py>);

impl<'de, 'py> DeserializeSeed<'de> for Text<'py> {
    type Value = Bound<'py, PyString>;
    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'py> Visitor<'_> for Text<'py> {
    type Value = Bound<'py, PyString>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.0, text))
    }
}

/// Parses an object as a model. It gives up at a field that the model does not have, because the text may be an envelope, or may repeat
/// the field.
#[derive(Clone, Copy)]
struct Model<'k, 'py> {
    at: At<'k, 'py>,
    kind: Kind,
}

impl<'de, 'py> DeserializeSeed<'de> for Model<'_, 'py> {
    type Value = Bound<'py, PyAny>;
    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de, 'py> Visitor<'de> for Model<'_, 'py> {
    type Value = Bound<'py, PyAny>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let at = self.at.deeper()?;
        let kind = self.kind;
        let mut values: Values<'py> = [const { None }; FIELDS_MAX];
        let mut next = 0;
        while let Some(field) = map.next_key_seed(Name { kind, next })? {
            at.checked.count()?;
            let rule = kind.fields()[field].rule;
            let value = map.next_value_seed(Slot { at, rule })?;
            if values[field].replace(value).is_some() {
                return Err(A::Error::custom("twice"));
            }
            next = field + 1;
        }
        let model = at.models.instance(at.py, kind, values).map_err(failed)?;
        model.ok_or_else(|| A::Error::custom("missing"))
    }
}

/// Parses the name of a field as its index in the model. It tries `next` first, because writers keep the order.
struct Name {
    kind: Kind,
    next: usize,
}

impl<'de> DeserializeSeed<'de> for Name {
    type Value = usize;
    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<usize, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = usize;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        let fields = self.kind.fields();
        if fields.get(self.next).is_some_and(|next| next.name == name) {
            return Ok(self.next);
        }
        let mut names = fields.iter();
        names
            .position(|field| field.name == name)
            .ok_or_else(|| E::custom("unknown"))
    }
}

/// Reads the value of a field.
struct Slot<'k, 'py> {
    at: At<'k, 'py>,
    rule: Rule,
}

impl<'de, 'py> DeserializeSeed<'de> for Slot<'_, 'py> {
    type Value = Bound<'py, PyAny>;
    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Slot<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value of a field")
    }
    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        match self.rule {
            Rule::OptionalText | Rule::OptionalObject => Any(self.at).visit_unit(),
            _ => Err(E::custom("null")),
        }
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        let py = self.at.py;
        let accepted = match self.rule {
            Rule::Name => !value.is_empty(),
            Rule::Text | Rule::Id | Rule::OptionalText => true,
            Rule::Time => Timestamp::parse(value).is_ok(),
            Rule::Status => {
                let known = match value {
                    "success" => intern!(py, "success"),
                    "error" => intern!(py, "error"),
                    "pending" => intern!(py, "pending"),
                    _ => return Err(E::custom("no status")),
                };
                return Ok(known.clone().into_any());
            }
            _ => false,
        };
        match accepted {
            true => Any(self.at).visit_str(value),
            false => Err(E::custom("text")),
        }
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        match self.rule {
            Rule::Count => Any(self.at).visit_u64(value),
            _ => Err(E::custom("number")),
        }
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        match self.rule {
            Rule::Object | Rule::OptionalObject => Any(self.at).visit_map(map),
            _ => Err(A::Error::custom("object")),
        }
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let at = self.at.deeper()?;
        let list = PyList::empty(at.py);
        match self.rule {
            Rule::Texts => {
                while let Some(text) = seq.next_element_seed(Text(at.py))? {
                    list.append(text).map_err(failed)?;
                }
            }
            Rule::Parts(kind) => {
                while let Some(part) = seq.next_element_seed(Model { at, kind })? {
                    list.append(part).map_err(failed)?;
                }
            }
            _ => return Err(A::Error::custom("array")),
        }
        Ok(list.into_any())
    }
}
