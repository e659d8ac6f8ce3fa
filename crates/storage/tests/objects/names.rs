//! A path is an identity: whatever it contains, it is one object and one dataset, and an error shows it unchanged.

use crate::folder::storage;
use proptest::collection::vec;
use proptest::prelude::*;
use pudato_protocol::{Dataset, Status};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Words of secrets, alone and within others, and what separates a name from a value.
fn part() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("disaster"),
        Just("token"),
        Just("password"),
        Just("secret"),
        Just("api_key"),
        Just("monkey"),
        Just("sig"),
        Just("Bearer abc-123"),
        Just("ünï"),
        Just("user:pass@host"),
        Just("a?b&c"),
        Just("100%"),
        Just("'q'"),
        Just("~"),
    ];
    let sign = prop_oneof![
        Just("="),
        Just(": "),
        Just("_"),
        Just("#"),
        Just(" "),
        Just("")
    ];
    (word, sign, "[a-c]{1,2}").prop_map(|(word, sign, value)| format!("{word}{sign}{value}"))
}

/// Paths of objects; a folder never has the name of a file.
fn path() -> impl Strategy<Value = String> {
    (vec(part(), 0..3), part()).prop_map(|(folders, name)| {
        let folders: String = folders.iter().map(|folder| format!("{folder}/")).collect();
        format!("{folders}{name}.csv")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_paths_are_two_datasets(paths in vec(path(), 12)) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let (_root, storage) = storage();
            let mut known = BTreeMap::new();
            for path in paths.into_iter().collect::<BTreeSet<_>>() {
                let payload = json!({"container": "lake", "path": path, "data": "x"});
                let result = storage.call("put_object", payload).await.result;
                prop_assert_eq!(result.status, Status::Success, "{:?}", result.errors);
                let location = result.outputs[0].location.clone();
                let expected = format!("{}/{path}", storage.lake);
                prop_assert_eq!(&location, &expected);
                prop_assert_eq!(Dataset::parse(&location).location(), expected);
                let payload = json!({"container": "lake", "path": path});
                let read = storage.call("get_object", payload).await.result;
                prop_assert_eq!(&read.inputs[0].location, &location);
                if let Some(other) = known.insert(location, path.clone()) {
                    prop_assert!(false, "{} and {} are one dataset", path, other);
                }
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn an_error_names_an_object_as_it_is() {
    let (_root, storage) = storage();
    for path in [
        "disaster=flood/x.csv",
        "a/disaster=flood",
        "monkey=1/secretary=2/x",
        "secrets/token",
        "token=abc/part=1/x.csv",
        "my password",
        "keyboard: qwerty",
    ] {
        let error = storage
            .refused("get_object", json!({"container": "lake", "path": path}))
            .await;
        assert_eq!(error, format!("lake/{path}: there is no such object"));
    }
}
