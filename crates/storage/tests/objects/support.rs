//! The interface of a backend's bench.

use pudato_handler::{Handled, dispatch};
use pudato_protocol::{Command, Status, Timestamp};
use pudato_storage::{Objects, StorageHandler};
use serde_json::{Value, json};

/// A handler on some backend, with a container `lake`.
pub struct Storage {
    pub objects: Objects,
    pub handler: StorageHandler,
    /// The prefix of locations in its container `lake`.
    pub lake: String,
    /// Puts entries below `raw/` in `lake` that no command can name, and returns how a listing describes them.
    pub plant: fn(&Storage) -> Vec<&'static str>,
}

impl Storage {
    pub fn new(objects: Objects, lake: String, plant: fn(&Self) -> Vec<&'static str>) -> Self {
        let handler = StorageHandler::new(objects.clone(), 1 << 20);
        Self {
            objects,
            handler,
            lake,
            plant,
        }
    }

    pub async fn call(&self, action: &str, payload: Value) -> Handled {
        let Value::Object(payload) = payload else {
            panic!("a payload is an object");
        };
        let command = Command::new("storage", action, payload);
        let handled = dispatch(&self.handler, &command, None, &(), &Timestamp::now).await;
        handled.expect("the store can be reached")
    }

    pub async fn data(&self, action: &str, payload: Value) -> Value {
        let result = self.call(action, payload).await.result;
        assert_eq!(result.status, Status::Success, "{:?}", result.errors);
        Value::Object(result.data.expect("data"))
    }

    pub async fn refused(&self, action: &str, payload: Value) -> String {
        let result = self.call(action, payload).await.result;
        assert_eq!(result.status, Status::Error);
        result.errors.join("; ")
    }
}

/// The payload of an action on an object. A put has bytes as well.
pub fn of_object(action: &str, container: &str, path: &str) -> Value {
    match action {
        "put_object" => json!({"container": container, "path": path, "data": "x"}),
        _ => json!({"container": container, "path": path}),
    }
}
