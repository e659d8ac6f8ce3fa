//! Objects in a folder.

use crate::suite::promises;
use crate::support::{Storage, of_object};
use pudato_storage::{Containers, Objects};
use serde_json::json;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

pub fn storage() -> (TempDir, Storage) {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("objects");
    let containers = Containers::builder().root(&folder).build();
    let lake = folder.join("lake");
    let storage = Storage::new(
        Objects::new(containers.expect("containers")),
        format!("file://{}", lake.display()),
        plant,
    );
    (root, storage)
}

/// Names that are special in a folder, and a link.
fn plant(storage: &Storage) -> Vec<&'static str> {
    let raw = Path::new(storage.lake.trim_start_matches("file://")).join("raw");
    fs::create_dir_all(raw.join("f\ng")).expect("made");
    fs::write(raw.join("f\ng/x"), "x").expect("written");
    for name in ["b\\c", "t\tb", ".pudato"] {
        fs::write(raw.join(name), "x").expect("written");
    }
    fs::write(raw.join(OsStr::from_bytes(b"u\xff")), "x").expect("written");
    symlink("a", raw.join("z-link")).expect("planted");
    vec![
        "raw/.pudato",
        "raw/b\\c",
        "raw/f\ng/",
        "raw/t\tb",
        "raw/u\u{fffd}",
        "raw/z-link",
    ]
}

/// The folder stays until the test process ends.
async fn open(_promise: &str) -> Option<Storage> {
    let (root, storage) = storage();
    let _ = root.keep();
    Some(storage)
}

promises!(open);

#[tokio::test]
async fn symbolic_links_that_leave_the_container_are_refused() {
    let (root, storage) = storage();
    storage
        .data(
            "put_object",
            json!({"container": "lake", "path": "in/x", "data": "ok"}),
        )
        .await;
    let outside = root.path().join("outside");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("secret"), "secret").expect("written");
    let lake = root.path().join("objects/lake");
    symlink(&outside, lake.join("folder")).expect("planted");
    symlink(outside.join("secret"), lake.join("file")).expect("planted");
    symlink(&outside, root.path().join("objects/linked")).expect("planted");
    for (container, path) in [
        ("lake", "folder/secret"),
        ("lake", "file"),
        ("lake", "folder/new"),
        ("linked", "secret"),
    ] {
        for action in ["get_object", "head_object", "delete_object", "put_object"] {
            let payload = of_object(action, container, path);
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
    let storage = Storage::new(
        Objects::new(containers.expect("containers")),
        String::new(),
        plant,
    );
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
    let (_root, storage) = storage();
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
    let (root, storage) = storage();
    for _ in 0..2 {
        storage
            .data(
                "put_object",
                json!({"container": "lake", "path": "a/x", "data": "1"}),
            )
            .await;
    }
    let names: Vec<String> = fs::read_dir(root.path().join("objects/lake/a"))
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
