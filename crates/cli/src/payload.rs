//! A payload from the arguments of the command line.

use crate::exit::Failure;
use base64::Engine;
use pudato_runtime::protocol::Object;
use pudato_runtime::read_file;
use serde_json::Value;
use std::io::ErrorKind;
use std::path::Path;

/// Composes a payload from the JSON object of `--payload` and the fields `key=text`, `key=@file` and `key:=json`.
///
/// Any file may be named, since the caller controls the command line. Each has at most `bytes_max` bytes.
pub fn read(json: Option<&str>, fields: &[String], bytes_max: u64) -> Result<Object, Failure> {
    let mut payload = match json {
        None => Object::new(),
        Some(json) => {
            let text = match json.strip_prefix('@') {
                Some(path) => String::from_utf8(file(path, bytes_max)?)
                    .map_err(|_| Failure::usage(format!("--payload: {path}: expected JSON")))?,
                None => json.to_owned(),
            };
            match serde_json::from_str(&text) {
                Ok(Value::Object(payload)) => payload,
                Ok(_) => return Err(Failure::usage("--payload: expected a JSON object")),
                Err(error) => return Err(Failure::usage(format!("--payload: {error}"))),
            }
        }
    };
    for field in fields {
        let (key, value) = self::field(field, bytes_max)?;
        payload.insert(key, value);
    }
    Ok(payload)
}

fn field(field: &str, bytes_max: u64) -> Result<(String, Value), Failure> {
    let wrong = || {
        Failure::usage(format!(
            "{field:?}: expected key=text, key=@file or key:=json"
        ))
    };
    let (key, text) = field.split_once('=').ok_or_else(wrong)?;
    if let Some(key) = key.strip_suffix(':').filter(|key| !key.is_empty()) {
        let value = serde_json::from_str(text);
        let value = value
            .map_err(|error| Failure::usage(format!("{key}: expected JSON after `:=`: {error}")))?;
        return Ok((key.to_owned(), value));
    }
    if key.is_empty() {
        return Err(wrong());
    }
    let Some(path) = text.strip_prefix('@') else {
        return Ok((key.to_owned(), text.into()));
    };
    match String::from_utf8(file(path, bytes_max)?) {
        Ok(text) => Ok((key.to_owned(), text.into())),
        Err(error) => {
            let text = base64::engine::general_purpose::STANDARD.encode(error.as_bytes());
            Ok((format!("{key}_base64"), text.into()))
        }
    }
}

fn file(path: &str, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    read_file(Path::new(path), bytes_max).map_err(|error| {
        let what = format!("{path}: {error}");
        match error.kind() {
            ErrorKind::FileTooLarge => Failure::failed(what),
            _ => Failure::usage(what),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[&str]) -> Object {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        read(Some(r#"{"a": 1}"#), &fields, 100)
            .ok()
            .expect("a payload")
    }

    #[test]
    fn texts_files_and_json_are_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let (text, bytes) = (folder.path().join("t"), folder.path().join("b"));
        std::fs::write(&text, "ü,1\n").expect("written");
        std::fs::write(&bytes, [0xff, 0]).expect("written");
        let (text, bytes) = (
            format!("x=@{}", text.display()),
            format!("data=@{}", bytes.display()),
        );
        let payload = fields(&["path=a=b", "max_keys:=5", &text, &bytes]);
        let expected = serde_json::json!({
            "a": 1, "path": "a=b", "max_keys": 5, "x": "ü,1\n", "data_base64": "/wA=",
        });
        assert_eq!(Value::Object(payload), expected);
    }

    #[test]
    fn an_argument_that_is_not_a_field_is_refused() {
        for field in [
            "novalue",
            "=x",
            "n:=oops",
            "f=@/does/not/exist",
            "f=@/dev/zero",
        ] {
            assert!(read(None, &[field.to_owned()], 100).is_err(), "{field}");
        }
        assert!(read(Some("[1]"), &[], 100).is_err());
    }
}
