//! The promises that a folder and a bucket share.

use crate::support::Storage;
use serde_json::{Value, json};

/// A test for each promise, on what `$open` returns for its name; `None` if a part it needs is missing.
macro_rules! promises {
    ($open:path) => {
        $crate::suite::promises!($open: what_is_put_is_got_with_its_lineage_and_event bytes_that_are_no_text_travel_as_base64 a_put_names_what_is_missing_or_given_twice a_conditional_put_creates_once_and_accepts_its_own_repetition a_listing_comes_in_pages_in_the_order_of_the_paths what_no_command_can_name_is_left_out_and_counted deleting_twice_is_no_error_and_getting_what_is_gone_is_one
            metadata_comes_back_as_it_was a_content_type_that_no_header_can_carry_is_refused an_object_of_many_pieces_is_copied_in_and_out
            an_odd_name_is_a_name);
    };
    ($open:path: $($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                if let Some(storage) = $open(stringify!($name)).await {
                    $crate::suite::$name(&storage).await;
                }
            }
        )*
    };
}
pub(crate) use promises;

pub async fn what_is_put_is_got_with_its_lineage_and_event(storage: &Storage) {
    let put = json!({"container": "lake", "path": "raw/ünï/κ 1.csv", "data": "a,b\r\n1,\"x\"\n",
        "content_type": "text/csv", "metadata": {"source": "faa"}});
    let handled = storage.call("put_object", put).await;
    let output = &handled.result.outputs[0];
    let location = output.location.as_str();
    assert_eq!(location, format!("{}/raw/ünï/κ 1.csv", storage.lake));
    assert_eq!(output.format.as_deref(), Some("csv"));
    assert_eq!(output.metadata["row_count"], 1);
    assert_eq!(handled.events[0].r#type, "storage.object_created");
    assert_eq!(handled.events[0].source.as_deref(), Some("storage-handler"));

    let at = json!({"container": "lake", "path": "raw/ünï/κ 1.csv"});
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

pub async fn bytes_that_are_no_text_travel_as_base64(storage: &Storage) {
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

pub async fn a_put_names_what_is_missing_or_given_twice(storage: &Storage) {
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

pub async fn a_conditional_put_creates_once_and_accepts_its_own_repetition(storage: &Storage) {
    let put =
        |data: &str| json!({"container": "lake", "path": "x", "data": data, "if_none_match": "*"});
    storage.data("put_object", put("one")).await;
    storage.data("put_object", put("one")).await;
    let error = storage.refused("put_object", put("two")).await;
    assert!(error.contains("another object already"), "{error}");
}

pub async fn a_listing_comes_in_pages_in_the_order_of_the_paths(storage: &Storage) {
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

pub async fn what_no_command_can_name_is_left_out_and_counted(storage: &Storage) {
    for path in ["raw/a", "raw/m", "raw/u", "raw/zz", "rawer"] {
        let put = json!({"container": "lake", "path": path, "data": path});
        storage.data("put_object", put).await;
    }
    let planted = (storage.plant)(storage);
    for (prefix, max_keys, objects) in [
        ("raw/", 1000, &["raw/a", "raw/m", "raw/u", "raw/zz"][..]),
        ("raw/", 1, &["raw/a", "raw/m", "raw/u", "raw/zz"]),
        ("ra", 3, &["raw/a", "raw/m", "raw/u", "raw/zz", "rawer"]),
        ("", 2, &["raw/a", "raw/m", "raw/u", "raw/zz", "rawer"]),
    ] {
        let mut list = json!({"container": "lake", "prefix": prefix, "max_keys": max_keys});
        let (mut listed, mut skipped, mut notes) = (Vec::new(), 0, String::new());
        loop {
            let page = storage.data("list_objects", list.clone()).await;
            for one in page["objects"].as_array().expect("objects") {
                listed.push(one["path"].as_str().expect("a path").to_owned());
            }
            let here = page["skipped"].as_u64().expect("a number");
            assert_eq!(here > 0, page["note"].is_string(), "{page}");
            skipped += here;
            notes += page["note"].as_str().unwrap_or_default();
            if page["truncated"] == false {
                break;
            }
            list["continuation_token"] = page["continuation_token"].clone();
        }
        assert_eq!(listed, objects, "{prefix:?} by {max_keys}: {notes}");
        assert_eq!(
            skipped,
            planted.len() as u64,
            "{prefix:?} by {max_keys}: {notes}"
        );
        for name in &planted[..3] {
            let name = json!(name).to_string();
            assert!(notes.contains(&name), "{name} is not in {notes}");
        }
    }
    // Every listed object can be read, and nothing else is listed.
    let get = json!({"container": "lake", "path": "raw"});
    let error = storage.refused("get_object", get).await;
    assert!(error.contains("there is no such object"), "{error}");
    let more = json!({"container": "lake", "prefix": "raw/m"});
    let page = storage.data("list_objects", more).await;
    assert_eq!((&page["skipped"], &page["note"]), (&json!(0), &Value::Null));
}

pub async fn deleting_twice_is_no_error_and_getting_what_is_gone_is_one(storage: &Storage) {
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

pub async fn metadata_comes_back_as_it_was(storage: &Storage) {
    let odd = json!({
        "source": "faa", "note": " spaces ", "Capital": "x", "ünï": "κ", "empty": "", "n": 1, "nested": {"a": [null]},
        "line": "a\nb",
    });
    for metadata in [json!({}), json!({"a-b": "c"}), odd] {
        let put = json!({"container": "lake", "path": "m", "data": "x", "metadata": metadata});
        storage.data("put_object", put).await;
        let at = json!({"container": "lake", "path": "m"});
        for action in ["get_object", "head_object"] {
            let data = storage.data(action, at.clone()).await;
            assert_eq!(data["metadata"], metadata, "{action}");
            assert_eq!(data["content_type"], Value::Null, "{action}");
        }
    }
}

pub async fn a_content_type_that_no_header_can_carry_is_refused(storage: &Storage) {
    for found in ["text/csv\n", "", "τext/csv", &"x".repeat(256)] {
        let put = json!({"container": "lake", "path": "x", "data": "a", "content_type": found});
        let error = storage.refused("put_object", put).await;
        assert!(
            error.starts_with("payload.content_type: expected printable ASCII"),
            "{error}"
        );
    }
}

pub async fn an_object_of_many_pieces_is_copied_in_and_out(storage: &Storage) {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    // Three pieces, of which the last is short.
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&from, &bytes).expect("written");
    let objects = &storage.objects;
    let stored = objects
        .store("lake", "big.bin", &from, "application/x")
        .await;
    assert_eq!(stored.expect("stored").size, 20_000_000);
    let error = objects.fetch("lake", "big.bin", &to, 1_000).await;
    assert!(
        error
            .expect_err("too large")
            .to_string()
            .contains("at most 1000")
    );
    let fetched = objects.fetch("lake", "big.bin", &to, 1 << 30).await;
    let fetched = fetched.expect("fetched");
    assert_eq!(fetched.content_type.as_deref(), Some("application/x"));
    assert!(
        std::fs::read(&to).expect("read") == bytes,
        "other bytes came back"
    );
    // An empty file is an object as well.
    std::fs::write(&from, "").expect("written");
    let stored = objects.store("lake", "none", &from, "text/plain").await;
    assert_eq!(stored.expect("stored").size, 0);
}

pub async fn an_odd_name_is_a_name(storage: &Storage) {
    // The last segment has the greatest allowed length.
    let longest = "n".repeat(255);
    let names = ["report#1", "a#2/x#3", "#4", "-rf", "a b?c&d=e", &longest];
    for path in names {
        let at = json!({"container": "lake", "path": path});
        let put =
            json!({"container": "lake", "path": path, "data": path, "content_type": "text/plain"});
        storage.data("put_object", put.clone()).await;
        storage.data("put_object", put).await;
        let got = storage.data("get_object", at.clone()).await;
        assert_eq!(got["data"], path);
        assert_eq!(got["content_type"], "text/plain");
        storage.data("head_object", at).await;
    }
    let all = storage
        .data("list_objects", json!({"container": "lake"}))
        .await;
    let listed = all["objects"].as_array().expect("objects");
    let mut listed: Vec<&str> = listed
        .iter()
        .filter_map(|one| one["path"].as_str())
        .collect();
    let mut names = names.to_vec();
    listed.sort_unstable();
    names.sort_unstable();
    assert_eq!(listed, names);
    for path in names {
        let at = json!({"container": "lake", "path": path});
        assert_eq!(storage.data("delete_object", at).await["deleted"], true);
    }
}
