//! Reads a message in one pass, straight from its text. It accepts only what the careful reader accepts, and otherwise gives up without a
//! reason: the careful reader then finds the words for the error (`decode.rs`). A property test compares the two.

use crate::value::{Checked, KEYS_MAX, Keys};
use crate::{
    Command, DataReference, Event, ExecutionRecord, Object, Result as Reply, Status, Timestamp,
    new_id,
};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// The position of a value: its depth, and the number of keys before it.
#[derive(Clone, Copy)]
pub struct At<'k> {
    checked: Checked<'k>,
}

impl<'k> At<'k> {
    pub(crate) fn root(keys: &'k Keys) -> Self {
        Self {
            checked: Checked::root(keys),
        }
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        Ok(Self {
            checked: self.checked.deeper()?,
        })
    }
}

/// A message, or a part of one, that can be read from an object's fields.
pub trait FromFields: Sized {
    /// Reads the fields; `at` is inside the object.
    fn from_fields<'de, A: MapAccess<'de>>(map: A, at: At<'_>) -> Result<Self, A::Error>;
}

/// Reads a whole text as one message.
pub(crate) fn read<T: FromFields>(body: &str, keys_max: usize) -> Option<T> {
    let keys = Keys::new(keys_max);
    let mut reader = serde_json::Deserializer::from_str(body);
    let message = Part::new(At::root(&keys)).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(message)
}

/// The text inside an SNS notification, if the whole text is one.
pub(crate) fn notification(body: &str) -> Option<Cow<'_, str>> {
    let keys = Keys::new(KEYS_MAX);
    let mut reader = serde_json::Deserializer::from_str(body);
    let envelope = Envelope(At::root(&keys)).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(envelope)
}

/// Reads fields into variables: each at most once, every key counted, unknown ones checked. It stops at a key of an SNS envelope, because
/// the careful reader decides whether that is one.
macro_rules! fields {
    ($map:ident, $at:ident, $($slot:ident = $name:literal => $seed:expr;)*) => {
        #[allow(non_camel_case_types, reason = "one variant for each field, named like it")]
        enum Field { $($slot,)* Unknown, Envelope }
        $(let mut $slot = None;)*
        while let Some(field) = $map.next_key_seed(Name(|name: &str| match name {
            $($name => Field::$slot,)*
            "Type" | "TopicArn" => Field::Envelope,
            _ => Field::Unknown,
        }))? {
            $at.checked.count()?;
            match field {
                $(Field::$slot => {
                    if $slot.replace($map.next_value_seed($seed)?).is_some() {
                        return Err(A::Error::custom("twice"));
                    }
                })*
                Field::Envelope => return Err(A::Error::custom("perhaps an envelope")),
                // An unknown key may be duplicated as well, so the careful reader must check it.
                Field::Unknown => return Err(A::Error::custom("unknown")),
            }
        }
    };
}

fn required<T, E: serde::de::Error>(value: Option<T>) -> Result<T, E> {
    value.ok_or_else(|| E::custom("missing"))
}

fn not_empty<E: serde::de::Error>(text: Option<String>) -> Result<String, E> {
    required(text.filter(|text| !text.is_empty()))
}

impl FromFields for Command {
    fn from_fields<'de, A: MapAccess<'de>>(mut map: A, at: At<'_>) -> Result<Self, A::Error> {
        fields! { map, at,
            kind = "type" => Text;
            action = "action" => Text;
            payload = "payload" => Fields(at);
            correlation_id = "correlation_id" => Text;
            job_id = "job_id" => OptionalText;
            step_id = "step_id" => OptionalText;
            metadata = "metadata" => Fields(at);
            timestamp = "timestamp" => Time;
        }
        Ok(Self {
            r#type: not_empty(kind)?,
            action: not_empty(action)?,
            payload: payload.unwrap_or_default(),
            correlation_id: correlation_id.unwrap_or_else(new_id),
            job_id: job_id.flatten(),
            step_id: step_id.flatten(),
            metadata: metadata.unwrap_or_default(),
            timestamp: timestamp.unwrap_or_else(Timestamp::now),
        })
    }
}

impl FromFields for Reply {
    fn from_fields<'de, A: MapAccess<'de>>(mut map: A, at: At<'_>) -> Result<Self, A::Error> {
        fields! { map, at,
            status = "status" => Name(status_of);
            data = "data" => OptionalFields(at);
            errors = "errors" => Texts(at);
            correlation_id = "correlation_id" => Text;
            job_id = "job_id" => OptionalText;
            step_id = "step_id" => OptionalText;
            duration_ms = "duration_ms" => Count;
            timestamp = "timestamp" => Time;
            handler = "handler" => OptionalText;
            inputs = "inputs" => Parts::<DataReference>::new(at);
            outputs = "outputs" => Parts::<DataReference>::new(at);
            executions = "executions" => Parts::<ExecutionRecord>::new(at);
        }
        Ok(Self {
            status: required(status.flatten())?,
            data: data.flatten(),
            errors: errors.unwrap_or_default(),
            correlation_id: required(correlation_id)?,
            job_id: job_id.flatten(),
            step_id: step_id.flatten(),
            duration_ms: duration_ms.unwrap_or_default(),
            timestamp: timestamp.unwrap_or_else(Timestamp::now),
            handler: handler.flatten(),
            inputs: inputs.unwrap_or_default(),
            outputs: outputs.unwrap_or_default(),
            executions: executions.unwrap_or_default(),
        })
    }
}

impl FromFields for Event {
    fn from_fields<'de, A: MapAccess<'de>>(mut map: A, at: At<'_>) -> Result<Self, A::Error> {
        fields! { map, at,
            kind = "type" => Text;
            payload = "payload" => Fields(at);
            correlation_id = "correlation_id" => Text;
            timestamp = "timestamp" => Time;
            source = "source" => OptionalText;
        }
        Ok(Self {
            r#type: not_empty(kind)?,
            payload: payload.unwrap_or_default(),
            correlation_id: correlation_id.unwrap_or_else(new_id),
            timestamp: timestamp.unwrap_or_else(Timestamp::now),
            source: source.flatten(),
        })
    }
}

impl FromFields for DataReference {
    fn from_fields<'de, A: MapAccess<'de>>(mut map: A, at: At<'_>) -> Result<Self, A::Error> {
        fields! { map, at,
            ref_type = "ref_type" => Text;
            location = "location" => Text;
            format = "format" => OptionalText;
            metadata = "metadata" => Fields(at);
        }
        Ok(Self {
            ref_type: required(ref_type)?,
            location: required(location)?,
            format: format.flatten(),
            metadata: metadata.unwrap_or_default(),
        })
    }
}

impl FromFields for ExecutionRecord {
    fn from_fields<'de, A: MapAccess<'de>>(mut map: A, at: At<'_>) -> Result<Self, A::Error> {
        fields! { map, at,
            execution_type = "execution_type" => Text;
            details = "details" => Fields(at);
        }
        Ok(Self {
            execution_type: required(execution_type)?,
            details: details.unwrap_or_default(),
        })
    }
}

fn status_of(name: &str) -> Option<Status> {
    match name {
        "success" => Some(Status::Success),
        "error" => Some(Status::Error),
        "pending" => Some(Status::Pending),
        _ => None,
    }
}

/// A seed that reads a text and converts it.
struct Name<F>(F);

impl<'de, T, F: Fn(&str) -> T> DeserializeSeed<'de> for Name<F> {
    type Value = T;
    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<T, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<T, F: Fn(&str) -> T> Visitor<'_> for Name<F> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }
    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok((self.0)(text))
    }
}

/// Seeds: the accepted values of a field, and their conversion.
macro_rules! seeds {
    ($($seed:ident $(<$k:lifetime>)? => $value:ty { $($visit:item)* })*) => {$(
        impl<'de $(, $k)?> DeserializeSeed<'de> for $seed $(<$k>)? {
            type Value = $value;
            fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<$value, D::Error> {
                reader.deserialize_any(self)
            }
        }
        impl<'de $(, $k)?> Visitor<'de> for $seed $(<$k>)? {
            type Value = $value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($seed))
            }
            $($visit)*
        }
    )*};
}

struct Text;
struct OptionalText;
struct Time;
struct Count;
#[derive(Clone, Copy)]
struct Fields<'k>(At<'k>);
struct OptionalFields<'k>(At<'k>);
struct Texts<'k>(At<'k>);

seeds! {
    Text => String {
        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }
    OptionalText => Option<String> {
        fn visit_unit<E>(self) -> Result<Option<String>, E> {
            Ok(None)
        }
        fn visit_str<E>(self, text: &str) -> Result<Option<String>, E> {
            Ok(Some(text.to_owned()))
        }
    }
    Time => Timestamp {
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
            Timestamp::parse(text).map_err(E::custom)
        }
    }
    Count => u64 {
        fn visit_u64<E>(self, count: u64) -> Result<u64, E> {
            Ok(count)
        }
    }
    Fields<'k> => Object {
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object, A::Error> {
            self.0.checked.object(map)
        }
    }
    OptionalFields<'k> => Option<Object> {
        fn visit_unit<E>(self) -> Result<Option<Object>, E> {
            Ok(None)
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<Object>, A::Error> {
            self.0.checked.object(map).map(Some)
        }
    }
    Texts<'k> => Vec<String> {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
            self.0.deeper()?;
            let mut texts = Vec::new();
            while let Some(text) = seq.next_element_seed(Text)? {
                texts.push(text);
            }
            Ok(texts)
        }
    }
}

/// An object that is read field by field.
struct Part<'k, T>(At<'k>, PhantomData<T>);
/// An array of such objects.
struct Parts<'k, T>(At<'k>, PhantomData<T>);

impl<'k, T> Part<'k, T> {
    fn new(at: At<'k>) -> Self {
        Self(at, PhantomData)
    }
}

impl<'k, T> Parts<'k, T> {
    fn new(at: At<'k>) -> Self {
        Self(at, PhantomData)
    }
}

impl<'de, T: FromFields> DeserializeSeed<'de> for Part<'_, T> {
    type Value = T;
    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<T, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de, T: FromFields> Visitor<'de> for Part<'_, T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::from_fields(map, self.0.deeper()?)
    }
}

impl<'de, T: FromFields> DeserializeSeed<'de> for Parts<'_, T> {
    type Value = Vec<T>;
    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Vec<T>, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de, T: FromFields> Visitor<'de> for Parts<'_, T> {
    type Value = Vec<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let at = self.0.deeper()?;
        let mut parts = Vec::new();
        while let Some(part) = seq.next_element_seed(Part::new(at))? {
            parts.push(part);
        }
        Ok(parts)
    }
}

/// An SNS notification with the fields that SNS writes, each at most once.
struct Envelope<'k>(At<'k>);

impl<'de> DeserializeSeed<'de> for Envelope<'_> {
    type Value = Cow<'de, str>;
    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        reader: D,
    ) -> Result<Cow<'de, str>, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Envelope<'_> {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an SNS notification")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cow<'de, str>, A::Error> {
        const NAMES: [&str; 11] = [
            "Type",
            "TopicArn",
            "Message",
            "MessageId",
            "Subject",
            "Timestamp",
            "SignatureVersion",
            "Signature",
            "SigningCertURL",
            "UnsubscribeURL",
            "SequenceNumber",
        ];
        let at = self.0.deeper()?;
        let (mut seen, mut message, mut is_notification) = (0_u32, None, false);
        while let Some(field) = map.next_key_seed(Name(|name: &str| {
            NAMES.iter().position(|known| *known == name)
        }))? {
            at.checked.count()?;
            let Some(field) = field else {
                // MessageAttributes and other fields with objects: checked by the careful reader's rules.
                map.next_value_seed(at.checked)?;
                if seen & (1 << 31) != 0 {
                    return Err(A::Error::custom("perhaps twice"));
                }
                seen |= 1 << 31;
                continue;
            };
            if seen & (1 << field) != 0 {
                return Err(A::Error::custom("twice"));
            }
            seen |= 1 << field;
            match field {
                0 => {
                    is_notification =
                        map.next_value_seed(Name(|kind: &str| kind == "Notification"))?
                }
                2 => message = Some(map.next_value_seed(Borrowed)?),
                _ => drop(map.next_value_seed(Flat)?),
            }
        }
        // TopicArn is the field's other name.
        match message {
            Some(message) if is_notification && seen & 2 != 0 => Ok(message),
            _ => Err(A::Error::custom("no notification")),
        }
    }
}

/// A text that is borrowed from the input if it contains no escapes.
struct Borrowed;

impl<'de> DeserializeSeed<'de> for Borrowed {
    type Value = Cow<'de, str>;
    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        reader: D,
    ) -> Result<Cow<'de, str>, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Borrowed {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }
    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// A value without objects or arrays. Its content does not matter.
struct Flat;

impl<'de> DeserializeSeed<'de> for Flat {
    type Value = IgnoredAny;
    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<IgnoredAny, D::Error> {
        reader.deserialize_any(self)
    }
}

impl Visitor<'_> for Flat {
    type Value = IgnoredAny;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true, false or null")
    }
    fn visit_unit<E>(self) -> Result<IgnoredAny, E> {
        Ok(IgnoredAny)
    }
    fn visit_bool<E>(self, _: bool) -> Result<IgnoredAny, E> {
        Ok(IgnoredAny)
    }
    fn visit_i64<E>(self, _: i64) -> Result<IgnoredAny, E> {
        Ok(IgnoredAny)
    }
    fn visit_u64<E>(self, _: u64) -> Result<IgnoredAny, E> {
        Ok(IgnoredAny)
    }
    fn visit_f64<E>(self, _: f64) -> Result<IgnoredAny, E> {
        Ok(IgnoredAny)
    }
    fn visit_str<E>(self, _: &str) -> Result<IgnoredAny, E> {
        Ok(IgnoredAny)
    }
}
