//! Nothing outside of a container is reachable through it, whatever it contains and whenever that was put there; and entries that are not
//! files block nobody.

use crate::folder::storage;
use crate::support::{Storage, of_object};
use pudato_storage::{Containers, ErrorKind, Objects, Put};
use serde_json::json;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ACTIONS: [&str; 4] = ["get_object", "head_object", "delete_object", "put_object"];

async fn put(storage: &Storage, path: &str, data: &str) {
    let payload = json!({"container": "lake", "path": path, "data": data});
    storage.data("put_object", payload).await;
}

async fn listed(storage: &Storage) -> Vec<String> {
    let data = storage
        .data("list_objects", json!({"container": "lake"}))
        .await;
    let objects = data["objects"].as_array().expect("objects");
    let paths = objects
        .iter()
        .map(|one| one["path"].as_str().expect("a path").to_owned());
    paths.collect()
}

#[tokio::test]
async fn a_link_is_refused_by_name_also_where_it_came_later_or_stays_inside() {
    let (root, storage) = storage();
    put(&storage, "in/x", "ok").await;
    put(&storage, "later/x", "ok").await;
    let outside = root.path().join("outside");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("x"), "secret").expect("written");
    let lake = root.path().join("objects/lake");
    symlink("in", lake.join("inner")).expect("planted");
    symlink("in/x", lake.join("file")).expect("planted");
    symlink("nowhere", lake.join("dangling")).expect("planted");
    // It was an ordinary folder when the container was opened.
    fs::remove_dir_all(lake.join("later")).expect("removed");
    symlink(&outside, lake.join("later")).expect("planted");
    for (path, link) in [
        ("inner/x", "inner"),
        ("inner/new/x", "inner"),
        ("file", "file"),
        ("dangling", "dangling"),
        ("later/x", "later"),
        ("later/new", "later"),
    ] {
        for action in ACTIONS {
            let payload = of_object(action, "lake", path);
            let error = storage.refused(action, payload).await;
            let expected = format!("payload.path: lake/{path}: {link:?} is a symbolic link");
            assert!(error.starts_with(&expected), "{action}: {error}");
        }
    }
    let error = storage
        .refused(
            "list_objects",
            json!({"container": "lake", "prefix": "later/"}),
        )
        .await;
    assert!(error.contains("\"later\" is a symbolic link"), "{error}");
    assert_eq!(fs::read_dir(&outside).expect("listed").count(), 1);
    assert_eq!(
        fs::read_to_string(outside.join("x")).expect("still there"),
        "secret"
    );
    assert_eq!(listed(&storage).await, ["in/x"]);
}

/// Alternates a folder with a link out of the container as fast as possible. There is always one of them.
fn swap(lake: &Path, stop: &AtomicBool) {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let (name, other) = (lake.join("turns"), lake.join(".link"));
    while !stop.load(Ordering::Relaxed) {
        renameat_with(CWD, &name, CWD, &other, RenameFlags::EXCHANGE).expect("swapped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_comes_and_goes_never_leads_out() {
    let (root, storage) = storage();
    put(&storage, "turns/x", "inside").await;
    let outside = root.path().join("outside");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("x"), "secret").expect("written");
    let lake = root.path().join("objects/lake");
    symlink(&outside, lake.join(".link")).expect("planted");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| swap(&lake, &stop));
        let reads = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let mut reads = 0;
                for n in 0..400 {
                    if let Ok(found) = storage.objects.get("lake", "turns/x", 100).await {
                        assert_eq!(found.bytes, "inside");
                        reads += 1;
                    }
                    let path = format!("turns/new-{n}");
                    let _ = storage.objects.put("lake", &path, Put::default()).await;
                    let _ = storage.objects.delete("lake", "turns/none").await;
                }
                reads
            })
        });
        stop.store(true, Ordering::Relaxed);
        swapping.join().expect("it went on");
        assert!(reads > 0, "some found the folder");
    });
    let names: Vec<_> = fs::read_dir(&outside).expect("listed").collect();
    assert_eq!(names.len(), 1, "nothing was written there: {names:?}");
}

#[tokio::test]
async fn what_is_no_file_is_refused_by_name_and_nobody_waits_for_it() {
    let (root, storage) = storage();
    put(&storage, "x", "ok").await;
    let lake = root.path().join("objects/lake");
    let made = Command::new("mkfifo").arg(lake.join("pipe")).status();
    assert!(made.expect("mkfifo runs").success());
    let _socket = UnixListener::bind(lake.join("socket")).expect("bound");
    fs::create_dir(lake.join("folder")).expect("made");
    for (path, kind) in [("pipe", "a pipe"), ("socket", "a socket")] {
        for action in ACTIONS {
            let payload = of_object(action, "lake", path);
            let refused = storage.refused(action, payload);
            let error = tokio::time::timeout(Duration::from_secs(60), refused).await;
            let error = error.expect("nobody writes into it, and nobody waits for that");
            assert!(
                error.contains(&format!("it is {kind}")),
                "{action}: {error}"
            );
        }
    }
    let folder = |action| of_object(action, "lake", "folder");
    let error = storage.refused("get_object", folder("get_object")).await;
    assert_eq!(error, "lake/folder: there is no such object");
    assert_eq!(
        storage.data("delete_object", folder("delete_object")).await["deleted"],
        false
    );
    let error = storage.refused("put_object", folder("put_object")).await;
    assert!(
        error.contains("an object and a folder cannot have the same path"),
        "{error}"
    );
    assert_eq!(listed(&storage).await, ["x"]);
}

#[tokio::test]
async fn files_that_no_command_can_name_and_those_half_written_are_no_objects() {
    let (root, storage) = storage();
    put(&storage, "x", "ok").await;
    let lake = root.path().join("objects/lake");
    for name in [&b"caf\xe9"[..], b"a\nb", b".pudato-new.1-1"] {
        fs::write(lake.join(std::ffi::OsStr::from_bytes(name)), "x").expect("written");
    }
    assert_eq!(listed(&storage).await, ["x"]);
}

#[tokio::test]
async fn a_folder_of_ours_is_made_again_and_one_of_others_is_waited_for() {
    let (root, storage) = storage();
    put(&storage, "x", "ok").await;
    let lake = root.path().join("objects/lake");
    fs::remove_dir_all(&lake).expect("removed");
    assert_eq!(listed(&storage).await, [""; 0]);
    let error = storage
        .refused("get_object", json!({"container": "lake", "path": "x"}))
        .await;
    assert_eq!(error, "lake/x: there is no such object");
    put(&storage, "a/y", "ok").await;
    assert_eq!(listed(&storage).await, ["a/y"]);

    let disk = root.path().join("disk");
    let containers = Containers::builder().list("disk", format!("file://{}", disk.display()));
    let objects = Objects::new(containers.build().expect("containers"));
    objects
        .put("disk", "x", Put::default())
        .await
        .expect("stored");
    // As an unmounted disk.
    fs::remove_dir_all(&disk).expect("removed");
    for error in [
        objects
            .put("disk", "x", Put::default())
            .await
            .expect_err("gone"),
        objects.get("disk", "x", 10).await.expect_err("gone"),
        objects.list("disk", "", None, 10).await.expect_err("gone"),
    ] {
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.context.contains("the container's folder"), "{error}");
    }
}

#[tokio::test]
async fn a_container_of_ours_that_is_spoiled_is_the_matter_of_those_who_name_it() {
    let (root, storage) = storage();
    put(&storage, "x", "ok").await;
    let lake = root.path().join("objects/lake");
    fs::rename(&lake, root.path().join("elsewhere")).expect("moved");
    symlink(root.path().join("elsewhere"), &lake).expect("planted");
    fs::write(root.path().join("objects/file"), "x").expect("written");
    for container in ["lake", "file"] {
        let error = storage
            .objects
            .get(container, "x", 10)
            .await
            .expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Failed, "{error}");
    }
}

#[tokio::test]
async fn a_listed_folder_may_be_a_link() {
    let root = tempfile::tempdir().expect("a folder");
    let disk = root.path().join("disk");
    fs::create_dir(&disk).expect("made");
    symlink(&disk, root.path().join("mounted")).expect("planted");
    let location = format!("file://{}/mounted", root.path().display());
    let containers = Containers::builder().list("lake", location).build();
    let objects = Objects::new(containers.expect("containers"));
    let stored = objects
        .put("lake", "a/x", Put::default())
        .await
        .expect("stored");
    assert_eq!(stored.location, format!("file://{}/a/x", disk.display()));
    assert!(disk.join("a/x").is_file());
}

#[tokio::test]
async fn an_object_below_an_object_is_told_by_what_is_wrong() {
    let (_root, storage) = storage();
    put(&storage, "x", "ok").await;
    for action in ACTIONS {
        let payload = of_object(action, "lake", "x/y");
        let error = storage.refused(action, payload).await;
        assert!(
            error.contains("an object and a folder cannot have the same path"),
            "{action}: {error}"
        );
    }
}
