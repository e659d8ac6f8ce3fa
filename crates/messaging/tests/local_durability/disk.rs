//! A full disk. The child's file size limit simulates it: every write that would make a file longer fails.

use super::child::Child;
use super::fabric::{names, open, sound};
use std::path::Path;
use std::process::Command;

/// Lines 78 and 81.
#[tokio::test]
async fn on_a_full_disk_sends_fail_and_nothing_else_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Child::start("obey", folder.path());
    for name in ["1", "2", "3"] {
        assert_eq!(child.order(&format!("publish {name}")), "published");
    }
    limit(&child, &longest_file(folder.path()).to_string());
    for _ in 0..3 {
        let answer = child.order("publish refused");
        assert!(answer.starts_with("error Unavailable"), "{answer}");
    }
    let answer = child.order("receive one");
    assert!(answer.starts_with("error Unavailable"), "{answer}");
    limit(&child, "unlimited");
    // A message whose receive could not be written was not received.
    assert_eq!(child.order("receive one"), "1 Some(1)");
    assert_eq!(child.order("publish 4"), "published");
    assert_eq!(child.order("finish all"), "finished 3 of 3");
    child.kill();
    let fabric = open(folder.path()).await;
    sound(&fabric).await;
    let left = names(&fabric, "commands").await;
    assert_eq!(left.into_iter().collect::<Vec<_>>(), ["1"]);
}

/// Sets the file size limit of the child.
fn limit(child: &Child, bytes: &str) {
    let pid = child.id().to_string();
    let limit = format!("--fsize={bytes}:unlimited");
    let status = Command::new("prlimit")
        .args(["--pid", &pid, &limit])
        .status();
    assert!(status.expect("prlimit of util-linux").success());
}

fn longest_file(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("readable");
    let lengths = files.map(|file| {
        file.and_then(|file| file.metadata())
            .expect("readable")
            .len()
    });
    lengths.max().expect("files")
}
