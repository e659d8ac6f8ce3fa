use crate::{FieldError, Object, Timestamp};
use serde_json::Value;

type Outcome<T> = std::result::Result<T, FieldError>;

/// Takes typed fields out of an object; every error names the field and what was expected.
///
/// ```
/// use pudato_protocol::Fields;
///
/// let payload = serde_json::json!({"max_keys": 2000});
/// let mut fields = Fields::of(payload, "payload")?;
/// let error = fields.whole_number("max_keys", 1..=1000).unwrap_err();
/// assert_eq!(error.field, "payload.max_keys");
/// # Ok::<(), pudato_protocol::FieldError>(())
/// ```
pub struct Fields {
    path: String,
    object: Object,
}

impl Fields {
    /// The fields of `value`, which is at `path` (empty for the message itself).
    ///
    /// # Errors
    /// `value` is not an object.
    pub fn of(value: Value, path: impl Into<String>) -> Outcome<Self> {
        let path = path.into();
        match value {
            Value::Object(object) => Ok(Self { path, object }),
            other => Err(wrong(
                if path.is_empty() { "body" } else { &path },
                "an object",
                &other,
            )),
        }
    }

    fn name(&self, field: &str) -> String {
        if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.path)
        }
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        self.object.get_mut(field).map(Value::take)
    }

    /// The raw value of a field.
    pub fn value(&mut self, field: &str) -> Option<Value> {
        self.take(field)
    }

    /// A required string.
    ///
    /// # Errors
    /// The field is missing or has another type.
    pub fn text(&mut self, field: &str) -> Outcome<String> {
        match self.take(field) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(wrong(&self.name(field), "a string", &other)),
            None => Err(FieldError::new(
                self.name(field),
                "required, expected a string; it is missing",
            )),
        }
    }

    /// A required string that is not empty.
    ///
    /// # Errors
    /// The field is missing, empty, or has another type.
    pub fn name_text(&mut self, field: &str) -> Outcome<String> {
        let text = self.text(field)?;
        if text.is_empty() {
            return Err(FieldError::new(
                self.name(field),
                "expected a text, found \"\"",
            ));
        }
        Ok(text)
    }

    /// A string or null. A missing field counts as null.
    ///
    /// # Errors
    /// The field has another type.
    pub fn optional_text(&mut self, field: &str) -> Outcome<Option<String>> {
        match self.take(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(&self.name(field), "a string or null", &other)),
        }
    }

    /// A string, or `default` if the field is missing.
    ///
    /// # Errors
    /// The field has another type.
    pub fn text_or(&mut self, field: &str, default: impl FnOnce() -> String) -> Outcome<String> {
        if self.object.contains_key(field) {
            self.text(field)
        } else {
            Ok(default())
        }
    }

    /// An object, empty if the field is missing. Null is refused.
    ///
    /// # Errors
    /// The field has another type.
    pub fn object(&mut self, field: &str) -> Outcome<Object> {
        match self.take(field) {
            None => Ok(Object::new()),
            Some(Value::Object(object)) => Ok(object),
            Some(other) => Err(wrong(&self.name(field), "an object", &other)),
        }
    }

    /// An object or null. A missing field counts as null.
    ///
    /// # Errors
    /// The field has another type.
    pub fn optional_object(&mut self, field: &str) -> Outcome<Option<Object>> {
        match self.object.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.object(field).map(Some),
        }
    }

    /// An array whose items are read one by one, empty if the field is missing.
    ///
    /// # Errors
    /// The field or an item has another type.
    pub fn list<T>(
        &mut self,
        field: &str,
        read: impl Fn(Value, String) -> Outcome<T>,
    ) -> Outcome<Vec<T>> {
        let name = self.name(field);
        match self.take(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| read(item, format!("{name}[{index}]")))
                .collect(),
            Some(other) => Err(wrong(&name, "an array", &other)),
        }
    }

    /// A whole number of at least zero, or zero if the field is missing.
    ///
    /// # Errors
    /// The field has another type.
    pub fn count(&mut self, field: &str) -> Outcome<u64> {
        match self.take(field) {
            None => Ok(0),
            Some(value) => value
                .as_u64()
                .ok_or_else(|| wrong(&self.name(field), "a whole number >= 0", &value)),
        }
    }

    /// A whole number in `range`, or null. A missing field counts as null.
    ///
    /// # Errors
    /// The field has another type (a boolean or a text is not a number), or the number is out of range.
    pub fn whole_number(
        &mut self,
        field: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Outcome<Option<u64>> {
        let expected = || format!("a whole number {}..{}", range.start(), range.end());
        match self.take(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) if range.contains(&number) => Ok(Some(number)),
                Some(number) => {
                    let reason = format!("expected {}, found {number}", expected());
                    Err(FieldError::new(self.name(field), reason))
                }
                None => Err(wrong(&self.name(field), &expected(), &value)),
            },
        }
    }

    /// A boolean, or false if the field is missing.
    ///
    /// # Errors
    /// The field has another type.
    pub fn flag(&mut self, field: &str) -> Outcome<bool> {
        match self.take(field) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(wrong(&self.name(field), "true or false", &other)),
        }
    }

    /// One of the `allowed` texts, or null. A missing field counts as null.
    ///
    /// # Errors
    /// The field has another type or text. The error lists the allowed ones.
    pub fn one_of(&mut self, field: &str, allowed: &[&str]) -> Outcome<Option<String>> {
        let text = self.optional_text(field)?;
        match &text {
            Some(found) if !allowed.contains(&found.as_str()) => {
                let reason = format!("expected one of {}, found {found:?}", allowed.join(", "));
                Err(FieldError::new(self.name(field), reason))
            }
            _ => Ok(text),
        }
    }

    /// Whether the field is there and not null.
    pub fn has(&self, field: &str) -> bool {
        self.object.get(field).is_some_and(|value| !value.is_null())
    }

    /// An RFC 3339 time, or null. A missing field counts as null.
    ///
    /// # Errors
    /// The field has another type, or the text is not an RFC 3339 time.
    pub fn optional_timestamp(&mut self, field: &str) -> Outcome<Option<Timestamp>> {
        let name = self.name(field);
        match self.optional_text(field)? {
            None => Ok(None),
            Some(text) => Timestamp::parse(&text)
                .map(Some)
                .map_err(|error| FieldError::new(name, error.reason)),
        }
    }

    /// The `timestamp` field, or the current time if it is missing.
    ///
    /// # Errors
    /// The field has another type, or the text is not an RFC 3339 time.
    pub fn timestamp(&mut self) -> Outcome<Timestamp> {
        if self.object.contains_key("timestamp") {
            Timestamp::parse(&self.text("timestamp")?)
        } else {
            Ok(Timestamp::now())
        }
    }
}

/// Reads a string in an array.
pub(crate) fn text_item(value: Value, name: String) -> Outcome<String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong(&name, "a string", &other)),
    }
}

fn wrong(field: &str, expected: &str, found: &Value) -> FieldError {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number of another kind",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    FieldError::new(field, format!("expected {expected}, found {found}"))
}
