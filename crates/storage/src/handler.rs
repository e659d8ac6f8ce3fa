//! The actions of the service `storage`.

use crate::lineage::reference;
use crate::objects::{ObjectInfo, Objects, Put};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pudato_handler::{Action, Answer, Effect, Failure, Handler, Request};
use pudato_protocol::{FieldError, Fields, Object};
use serde_json::{Value, json};

/// The actions of the service `storage`.
pub const ACTIONS: &[Action] = &[
    Action::new("put_object", Effect::Keyed).fields(&[
        "container",
        "path",
        "data",
        "data_base64",
        "body",
        "body_base64",
        "content_type",
        "metadata",
        "if_none_match",
    ]),
    Action::new("get_object", Effect::Read).fields(OBJECT),
    Action::new("list_objects", Effect::Read).fields(&[
        "container",
        "prefix",
        "max_keys",
        "continuation_token",
    ]),
    Action::new("delete_object", Effect::Keyed).fields(OBJECT),
    Action::new("head_object", Effect::Read).fields(OBJECT),
];

/// The fields that identify an object.
const OBJECT: &[&str] = &["container", "path"];

/// The most objects on one page.
const KEYS_MAX: u64 = 1_000;

/// The storage handler.
pub struct StorageHandler {
    objects: Objects,
    get_bytes_max: u64,
}

impl StorageHandler {
    /// Handles objects. `get_object` returns at most `get_bytes_max` bytes.
    pub fn new(objects: Objects, get_bytes_max: u64) -> Self {
        Self {
            objects,
            get_bytes_max,
        }
    }

    async fn put(&self, mut payload: Fields) -> Result<Answer, Failure> {
        let (container, path) = target(&mut payload)?;
        let put = Put {
            bytes: bytes(&mut payload)?,
            content_type: payload.optional_text("content_type")?,
            metadata: payload.object("metadata")?,
            if_none_match: payload.one_of("if_none_match", &["*"])?.is_some(),
        };
        let bytes = put.bytes.clone();
        let info = self.objects.put(&container, &path, put).await?;
        let created = object(json!({
            "container": container, "path": path, "size": info.size, "etag": info.etag, "location": info.location,
        }));
        let data = object(json!({
            "etag": info.etag, "size": info.size, "location": info.location,
        }));
        let written = tokio::task::spawn_blocking(move || reference(&info, &bytes))
            .await
            .map_err(|error| retry(&error))?;
        Ok(Answer::new(data)
            .output(written)
            .event("storage.object_created", created))
    }

    async fn get(&self, mut payload: Fields) -> Result<Answer, Failure> {
        let (container, path) = target(&mut payload)?;
        let found = self
            .objects
            .get(&container, &path, self.get_bytes_max)
            .await?;
        let read = tokio::task::spawn_blocking(move || {
            let reference = reference(&found.info, &found.bytes);
            let mut data = described(&found.info);
            match std::str::from_utf8(&found.bytes) {
                Ok(text) => data.insert("data".into(), text.into()),
                Err(_) => data.insert("data_base64".into(), STANDARD.encode(&found.bytes).into()),
            };
            (data, reference)
        });
        let (data, reference) = read.await.map_err(|error| retry(&error))?;
        Ok(Answer::new(data).input(reference))
    }

    async fn list(&self, mut payload: Fields) -> Result<Answer, Failure> {
        let container = payload.name_text("container")?;
        let prefix = payload.optional_text("prefix")?.unwrap_or_default();
        let max = payload.whole_number("max_keys", 1..=KEYS_MAX)?;
        let max = usize::try_from(max.unwrap_or(KEYS_MAX)).unwrap_or(usize::MAX);
        let after = payload.optional_text("continuation_token")?;
        let page = self
            .objects
            .list(&container, &prefix, after.as_deref(), max)
            .await?;
        let objects = page.objects.iter().map(|info| {
            json!({
                "path": info.path, "size": info.size, "etag": info.etag,
                "last_modified": info.last_modified.as_str(),
            })
        });
        Ok(Answer::new(object(json!({
            "objects": objects.collect::<Vec<_>>(),
            "truncated": page.continuation_token.is_some(),
            "continuation_token": page.continuation_token,
            "skipped": page.skipped.count,
            "note": page.skipped.note(),
        }))))
    }

    async fn delete(&self, mut payload: Fields) -> Result<Answer, Failure> {
        let (container, path) = target(&mut payload)?;
        let (deleted, location) = self.objects.delete(&container, &path).await?;
        let answer = Answer::new(object(json!({"deleted": deleted})));
        let event = json!({"container": container, "path": path, "location": location});
        Ok(answer.event("storage.object_deleted", object(event)))
    }

    async fn head(&self, mut payload: Fields) -> Result<Answer, Failure> {
        let (container, path) = target(&mut payload)?;
        let info = self.objects.head(&container, &path).await?;
        Ok(Answer::new(described(&info)))
    }
}

#[async_trait]
impl Handler for StorageHandler {
    fn service(&self) -> &str {
        "storage"
    }

    fn actions(&self) -> &[Action] {
        ACTIONS
    }

    async fn handle(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let payload = request.payload()?;
        match request.action {
            "put_object" => self.put(payload).await,
            "get_object" => self.get(payload).await,
            "list_objects" => self.list(payload).await,
            "delete_object" => self.delete(payload).await,
            "head_object" => self.head(payload).await,
            other => Err(Failure::bad(format!("action: {other:?} is not known"))),
        }
    }
}

fn target(payload: &mut Fields) -> Result<(String, String), FieldError> {
    Ok((payload.name_text("container")?, payload.name_text("path")?))
}

/// The bytes to put: a text or base64, each under one of its two field names.
fn bytes(payload: &mut Fields) -> Result<Bytes, FieldError> {
    const NAMES: [&str; 4] = ["data", "body", "data_base64", "body_base64"];
    let given: Vec<&str> = NAMES.into_iter().filter(|name| payload.has(name)).collect();
    match given[..] {
        [name @ ("data" | "body")] => Ok(payload.text(name)?.into()),
        [name] => {
            let text = payload.text(name)?;
            let decoded = STANDARD.decode(text).map_err(|error| {
                let reason =
                    format!("expected base64 with padding and without line breaks: {error}");
                FieldError::new(format!("payload.{name}"), reason)
            });
            Ok(decoded?.into())
        }
        [] => Err(FieldError::new(
            "payload.data",
            "required, expected a string (or data_base64); it is missing",
        )),
        _ => Err(FieldError::new(
            "payload.data",
            format!("expected one of {}", given.join(", ")),
        )),
    }
}

fn described(info: &ObjectInfo) -> Object {
    object(json!({
        "size": info.size, "etag": info.etag, "content_type": info.content_type, "metadata": info.metadata,
    }))
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

fn retry(error: &tokio::task::JoinError) -> Failure {
    Failure::Retry {
        why: error.to_string(),
        after: None,
    }
}
