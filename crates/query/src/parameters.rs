//! The values for the parameters of a statement. They are bound, and never pasted into the SQL.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pudato_protocol::FieldError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Parameter {
    /// NULL.
    Null,
    /// A boolean.
    Boolean(bool),
    /// A whole number that fits into 64 bits with a sign.
    Integer(i64),
    /// A larger whole number, without a sign.
    Unsigned(u64),
    /// Any other number. JSON cannot represent NaN and infinity, so the engine's process receives the bits.
    Double(#[serde(with = "bits")] f64),
    /// A text.
    Text(String),
    /// Bytes, sent as `{"$type": "blob", "base64": ".."}`.
    Blob(Vec<u8>),
}

impl Parameter {
    /// The SQL type of the value. Lineage records the types of parameters, never their values.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Boolean(_) => "BOOLEAN",
            Self::Integer(_) => "BIGINT",
            Self::Unsigned(_) => "UBIGINT",
            Self::Double(_) => "DOUBLE",
            Self::Text(_) => "VARCHAR",
            Self::Blob(_) => "BLOB",
        }
    }

    fn read(value: Value, field: &str) -> Result<Self, FieldError> {
        match value {
            Value::Null => Ok(Self::Null),
            Value::Bool(flag) => Ok(Self::Boolean(flag)),
            Value::String(text) => Ok(Self::Text(text)),
            Value::Number(number) => {
                let integer = number.as_i64().map(Self::Integer);
                let unsigned = || number.as_u64().map(Self::Unsigned);
                let double = || number.as_f64().map(Self::Double);
                let read = integer.or_else(unsigned).or_else(double);
                read.ok_or_else(|| {
                    FieldError::new(
                        field,
                        format!("expected a number of 64 bits, found {number}"),
                    )
                })
            }
            Value::Object(tagged) => {
                let text = |name: &str| tagged.get(name).and_then(Value::as_str);
                match (text("$type"), text("base64"), text("value")) {
                    (Some("blob"), Some(text), _) => {
                        STANDARD.decode(text).map(Self::Blob).map_err(|error| {
                            FieldError::new(field, format!("expected base64 with padding: {error}"))
                        })
                    }
                    (Some("float"), _, Some("NaN")) => Ok(Self::Double(f64::NAN)),
                    (Some("float"), _, Some("Infinity")) => Ok(Self::Double(f64::INFINITY)),
                    (Some("float"), _, Some("-Infinity")) => Ok(Self::Double(f64::NEG_INFINITY)),
                    _ => Err(no_scalar(field, "an object")),
                }
            }
            Value::Array(_) => Err(no_scalar(field, "an array")),
        }
    }
}

/// A float as the number of its bits.
mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        u64::deserialize(from).map(f64::from_bits)
    }
}

fn no_scalar(field: &str, found: &str) -> FieldError {
    let reason = format!(
        "expected null, a boolean, a number, a string or a blob, found {found}; \
         send it as a JSON text and let the SQL cast it"
    );
    FieldError::new(field, reason)
}

/// The parameters of a statement.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub enum Parameters {
    /// No parameters.
    #[default]
    None,
    /// Values for `?` and `$1`, in order.
    Positional(Vec<Parameter>),
    /// Values for `$name`.
    Named(Vec<(String, Parameter)>),
}

impl Parameters {
    /// Reads the field `field` of a payload.
    ///
    /// # Errors
    /// Neither an array nor an object, or a value that cannot be bound.
    pub fn read(value: Option<Value>, field: &str) -> Result<Self, FieldError> {
        match value {
            None | Some(Value::Null) => Ok(Self::None),
            Some(Value::Array(values)) => {
                let values = values.into_iter().enumerate();
                let values =
                    values.map(|(n, value)| Parameter::read(value, &format!("{field}[{n}]")));
                Ok(Self::Positional(values.collect::<Result<_, _>>()?))
            }
            Some(Value::Object(values)) => {
                let values = values.into_iter().map(|(name, value)| {
                    let value = Parameter::read(value, &format!("{field}.{name}"))?;
                    Ok((name, value))
                });
                Ok(Self::Named(values.collect::<Result<_, FieldError>>()?))
            }
            Some(_) => Err(FieldError::new(
                field,
                "expected an array or an object of values",
            )),
        }
    }

    /// The types of the values, by name or number, for the execution record.
    pub fn types(&self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Positional(values) => values.iter().map(Parameter::type_name).collect(),
            Self::Named(values) => {
                let values = values.iter();
                values
                    .map(|(name, value)| (name.clone(), value.type_name()))
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Parameter;

    #[test]
    fn every_float_reaches_the_engine_s_process_with_its_bits() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.1, 1e300] {
            let sent = serde_json::to_vec(&Parameter::Double(value)).expect("JSON");
            let read: Parameter = serde_json::from_slice(&sent).expect("a parameter");
            let Parameter::Double(read) = read else {
                panic!("{read:?}");
            };
            assert_eq!(read.to_bits(), value.to_bits());
        }
    }
}
