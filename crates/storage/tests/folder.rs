//! The storage handler on a local folder.

use pudato_handler::{Handled, dispatch};
use pudato_protocol::{Command, Status, Timestamp};
use pudato_storage::{Containers, Objects, StorageHandler};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

struct Storage {
    root: TempDir,
    handler: StorageHandler,
}

fn storage() -> Storage {
    let root = tempfile::tempdir().expect("a folder");
    let containers = Containers::builder()
        .root(root.path().join("objects"))
        .build();
    let objects = Objects::new(containers.expect("containers"));
    Storage {
        root,
        handler: StorageHandler::new(objects, 1 << 20),
    }
}

impl Storage {
    async fn call(&self, action: &str, payload: Value) -> Handled {
        let Value::Object(payload) = payload else {
            panic!("a payload is an object");
        };
        let command = Command::new("storage", action, payload);
        let handled = dispatch(&self.handler, &command, None, &Timestamp::now).await;
        handled.expect("the folder can be reached")
    }

    async fn data(&self, action: &str, payload: Value) -> Value {
        let result = self.call(action, payload).await.result;
        assert_eq!(result.status, Status::Success, "{:?}", result.errors);
        Value::Object(result.data.expect("data"))
    }

    async fn refused(&self, action: &str, payload: Value) -> String {
        let result = self.call(action, payload).await.result;
        assert_eq!(result.status, Status::Error);
        result.errors.join("; ")
    }
}

#[tokio::test]
async fn what_is_put_is_got_with_its_lineage_and_event() {
    let storage = storage();
    let put = json!({"container": "data-lake", "path": "raw/ünï/κ 1.csv", "data": "a,b\r\n1,\"x\"\n",
        "content_type": "text/csv", "metadata": {"source": "faa"}});
    let handled = storage.call("put_object", put).await;
    let output = &handled.result.outputs[0];
    let location = output.location.as_str();
    assert!(
        location.starts_with("file:///")
            && location.ends_with("/objects/data-lake/raw/ünï/κ 1.csv")
    );
    assert_eq!(output.format.as_deref(), Some("csv"));
    assert_eq!(output.metadata["row_count"], 1);
    assert_eq!(handled.events[0].r#type, "storage.object_created");
    assert_eq!(handled.events[0].source.as_deref(), Some("storage-handler"));

    let at = json!({"container": "data-lake", "path": "raw/ünï/κ 1.csv"});
    let got = storage.call("get_object", at.clone()).await.result;
    assert_eq!(got.inputs[0].location, *location);
    let data = got.data.expect("data");
    assert_eq!(data["data"], "a,b\r\n1,\"x\"\n");
    assert_eq!(data["content_type"], "text/csv");
    assert_eq!(data["metadata"], json!({"source": "faa"}));
    let head = storage.data("head_object", at).await;
    assert_eq!(head["size"], 11);
    assert!(head.get("data").is_none());
}

#[tokio::test]
async fn bytes_that_are_no_text_travel_as_base64() {
    let storage = storage();
    let put = json!({"container": "lake", "path": "x.bin", "data_base64": "/wD+"});
    storage.data("put_object", put).await;
    let at = json!({"container": "lake", "path": "x.bin"});
    assert_eq!(storage.data("get_object", at).await["data_base64"], "/wD+");
    for bad in ["/wD", "/w D+", "/wD+\n", "!"] {
        let put = json!({"container": "lake", "path": "y", "body_base64": bad});
        let error = storage.refused("put_object", put).await;
        assert!(
            error.starts_with("payload.body_base64: expected base64"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_put_names_what_is_missing_or_given_twice() {
    let storage = storage();
    let error = storage
        .refused("put_object", json!({"container": "lake", "path": "x"}))
        .await;
    assert!(error.starts_with("payload.data: required"), "{error}");
    let twice = json!({"container": "lake", "path": "x", "data": "a", "body": "b"});
    let error = storage.refused("put_object", twice).await;
    assert!(error.contains("expected one of data, body"), "{error}");
    let error = storage
        .refused("put_object", json!({"path": "x", "data": ""}))
        .await;
    assert!(error.starts_with("payload.container: required"), "{error}");
}

#[tokio::test]
async fn a_conditional_put_creates_once_and_accepts_its_own_repetition() {
    let storage = storage();
    let put =
        |data: &str| json!({"container": "lake", "path": "x", "data": data, "if_none_match": "*"});
    storage.data("put_object", put("one")).await;
    storage.data("put_object", put("one")).await;
    let error = storage.refused("put_object", put("two")).await;
    assert!(error.contains("another object already"), "{error}");
}

#[tokio::test]
async fn a_listing_comes_in_pages_in_the_order_of_the_paths() {
    let storage = storage();
    for path in ["raw/b", "raw/a", "raw/c", "other", "rawer"] {
        let put =
            json!({"container": "lake", "path": path, "data": path, "content_type": "text/plain"});
        storage.data("put_object", put).await;
    }
    let mut list = json!({"container": "lake", "prefix": "raw/", "max_keys": 2});
    let page = storage.data("list_objects", list.clone()).await;
    assert_eq!(
        (&page["objects"][0]["path"], &page["objects"][1]["path"]),
        (&json!("raw/a"), &json!("raw/b"))
    );
    assert_eq!(page["truncated"], true);
    list["continuation_token"] = page["continuation_token"].clone();
    let page = storage.data("list_objects", list).await;
    assert_eq!(page["objects"].as_array().expect("objects").len(), 1);
    assert_eq!(
        (&page["truncated"], &page["continuation_token"]),
        (&json!(false), &Value::Null)
    );
    let all = storage
        .data(
            "list_objects",
            json!({"container": "lake", "prefix": "raw"}),
        )
        .await;
    assert_eq!(all["objects"].as_array().expect("objects").len(), 4);
    for max_keys in [json!(0), json!(1001), json!("5"), json!(true)] {
        let error = storage
            .refused(
                "list_objects",
                json!({"container": "lake", "max_keys": max_keys}),
            )
            .await;
        assert!(
            error.starts_with("payload.max_keys: expected a whole number 1..1000"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn deleting_twice_is_no_error_and_getting_what_is_gone_is_one() {
    let storage = storage();
    storage
        .data(
            "put_object",
            json!({"container": "lake", "path": "x", "data": ""}),
        )
        .await;
    let at = json!({"container": "lake", "path": "x"});
    assert_eq!(
        storage.data("delete_object", at.clone()).await["deleted"],
        true
    );
    assert_eq!(
        storage.data("delete_object", at.clone()).await["deleted"],
        false
    );
    let error = storage.refused("get_object", at).await;
    assert!(error.contains("lake/x: there is no such object"), "{error}");
}

#[tokio::test]
async fn symbolic_links_that_leave_the_container_are_refused() {
    let storage = storage();
    storage
        .data(
            "put_object",
            json!({"container": "lake", "path": "in/x", "data": "ok"}),
        )
        .await;
    let outside = storage.root.path().join("outside");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("secret"), "secret").expect("written");
    let lake = storage.root.path().join("objects/lake");
    symlink(&outside, lake.join("folder")).expect("planted");
    symlink(outside.join("secret"), lake.join("file")).expect("planted");
    symlink(&outside, storage.root.path().join("objects/linked")).expect("planted");
    for (container, path) in [
        ("lake", "folder/secret"),
        ("lake", "file"),
        ("lake", "folder/new"),
        ("linked", "secret"),
    ] {
        for action in ["get_object", "head_object", "delete_object", "put_object"] {
            let payload = json!({"container": container, "path": path, "data": "x"});
            let error = storage.refused(action, payload).await;
            assert!(
                error.contains("symbolic link"),
                "{action} {container}/{path}: {error}"
            );
        }
    }
    assert_eq!(
        fs::read_to_string(outside.join("secret")).expect("still there"),
        "secret"
    );
    assert!(!outside.join("new").exists());
    let listed = storage
        .data("list_objects", json!({"container": "lake"}))
        .await;
    assert_eq!(listed["objects"].as_array().expect("objects").len(), 1);
}

#[tokio::test]
async fn only_listed_containers_can_be_used() {
    let root = tempfile::tempdir().expect("a folder");
    let location = format!("file://{}", root.path().join("lake").display());
    let containers = Containers::builder().list("data-lake", location).build();
    let storage = Storage {
        handler: StorageHandler::new(Objects::new(containers.expect("containers")), 1 << 20),
        root,
    };
    storage
        .data(
            "put_object",
            json!({"container": "data-lake", "path": "x", "data": ""}),
        )
        .await;
    for other in ["data-lake2", "../lake", "secrets"] {
        let error = storage
            .refused("get_object", json!({"container": other, "path": "x"}))
            .await;
        assert!(
            error.contains("is not listed under [containers]; expected one of data-lake"),
            "{error}"
        );
    }
    let wrong = Containers::builder().list("lake", "ftp://x/y").build();
    assert!(
        wrong
            .err()
            .expect("refused")
            .to_string()
            .contains("containers.lake: expected file:///")
    );
}

#[tokio::test]
async fn without_a_list_a_container_needs_a_valid_name() {
    let storage = storage();
    for name in ["..", "Lake", "a", "a/b", "lake.", "-lake", "la..ke"] {
        let error = storage
            .refused("get_object", json!({"container": name, "path": "x"}))
            .await;
        assert!(
            error.starts_with("payload.container: expected 3 to 63"),
            "{name}: {error}"
        );
    }
}

#[tokio::test]
async fn a_put_leaves_no_file_but_the_object() {
    let storage = storage();
    for _ in 0..2 {
        storage
            .data(
                "put_object",
                json!({"container": "lake", "path": "a/x", "data": "1"}),
            )
            .await;
    }
    let names: Vec<String> = fs::read_dir(storage.root.path().join("objects/lake/a"))
        .expect("listed")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(names, ["x"]);
}
