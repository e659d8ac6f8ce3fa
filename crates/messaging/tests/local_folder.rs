//! The data folder: its permissions, the version that wrote it, and damage.

use pudato_messaging::local::LocalFabric;
use pudato_messaging::{
    Consumer, Delivery, Error, ErrorKind, ManualClock, Message, Operations, Publisher, QueueConfig,
    Receive, Subscription, Topology,
};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DATABASE: &str = "fabric.db";

fn open(root: &Path) -> Result<LocalFabric, Error> {
    LocalFabric::open(root, Arc::new(ManualClock::at(1_795_392_000_000)))
}

fn refusal(root: &Path) -> Error {
    let opened = open(root).map(|_| "a fabric");
    opened.expect_err("this folder is refused")
}

async fn declared(root: &Path) -> LocalFabric {
    let fabric = open(root).expect("opens");
    let topology = Topology {
        topics: vec!["work".into()],
        queues: vec![
            QueueConfig::new("work").redrive(3, "dead"),
            QueueConfig::new("dead"),
        ],
        subscriptions: vec![Subscription::new("work", "work")],
    };
    fabric.declare(topology).await.expect("declared");
    fabric
}

async fn send(fabric: &LocalFabric, body: &str) {
    let message = Message {
        body: body.into(),
        attributes: BTreeMap::from([("trace".into(), body.into())]),
    };
    let entries = fabric.publish("work", vec![message]).await;
    assert!(entries.expect("accepted").iter().all(Result::is_ok));
}

async fn take(fabric: &LocalFabric, queue: &str) -> Vec<Delivery> {
    let consumer = fabric.consumer(queue).await.expect("declared");
    let (max, wait) = (10, Duration::ZERO);
    let received = consumer.receive(Receive { max, wait }).await;
    received.expect("received")
}

fn mode(path: &Path) -> u32 {
    let metadata = fs::metadata(path).expect("it is there");
    metadata.permissions().mode() & 0o777
}

#[tokio::test]
async fn the_folder_and_its_files_are_the_owners_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data/fabric");
    let fabric = declared(&root).await;
    send(&fabric, "{}").await;
    assert_eq!(mode(&root), 0o700);
    let mut files = 0;
    for entry in fs::read_dir(&root).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_file() {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert!(files >= 4, "database, log, index and lock");
}

#[test]
fn a_folder_that_others_may_read_is_closed_to_them() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("set");
    open(folder.path()).expect("opens");
    assert_eq!(mode(folder.path()), 0o700);
}

#[test]
fn symbolic_links_are_refused_and_nothing_is_written_through_them() {
    let elsewhere = tempfile::tempdir().expect("a folder");
    let target = elsewhere.path().join("target");
    for name in [DATABASE, "fabric.lock", "wake"] {
        let folder = tempfile::tempdir().expect("a folder");
        symlink(&target, folder.path().join(name)).expect("a link");
        let error = refusal(folder.path());
        assert_eq!(error.kind, ErrorKind::Invalid, "{name}");
        assert!(error.context.contains("symbolic link"), "{}", error.context);
        assert!(error.context.contains(name), "{}", error.context);
    }
    let link = elsewhere.path().join("link");
    fs::create_dir(&target).expect("a folder");
    symlink(&target, &link).expect("a link");
    assert_eq!(refusal(&link).kind, ErrorKind::Invalid);
    let written = fs::read_dir(&target).expect("readable").count();
    assert_eq!(written, 0, "nothing came through a link");
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "x").expect("written");
    assert_eq!(refusal(&file).kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_database_of_a_newer_pudato_is_refused_by_its_number_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(declared(folder.path()).await);
    let path = folder.path().join(DATABASE);
    let raw = Connection::open(&path).expect("opens");
    raw.pragma_update(None, "user_version", 77).expect("set");
    drop(raw);
    let error = refusal(folder.path());
    assert_eq!(error.kind, ErrorKind::Invalid);
    for part in ["newer", "77", DATABASE] {
        assert!(error.context.contains(part), "{part}: {}", error.context);
    }
    let raw = Connection::open(&path).expect("opens");
    let version = raw.pragma_query_value(None, "user_version", |row| row.get(0));
    assert_eq!(version, Ok(77));
}

#[test]
fn a_file_that_is_no_database_is_corrupt_and_says_what_to_do() {
    for garbage in [vec![b'x'; 10_000], vec![0x5A; 100]] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(DATABASE);
        fs::write(&path, &garbage).expect("written");
        let error = refusal(folder.path());
        assert_eq!(error.kind, ErrorKind::Corrupt, "{}", error.context);
        for part in [DATABASE, "not a database", "backup"] {
            assert!(error.context.contains(part), "{part}: {}", error.context);
        }
        assert_eq!(
            fs::read(&path).expect("readable"),
            garbage,
            "left as it was"
        );
    }
}

#[tokio::test]
async fn a_tampered_body_goes_to_the_dead_letter_queue_with_the_reason_and_the_others_go_on() {
    let damages = [
        "UPDATE message SET body = CAST(X'7B20' || substr(body, 3) AS BLOB) WHERE id = 2",
        "UPDATE message SET body = substr(body, 1, 3) WHERE id = 2",
        "UPDATE message SET sha256 = zeroblob(32) WHERE id = 2",
        "UPDATE message SET attributes = 'x' WHERE id = 2",
    ];
    for damage in damages {
        let folder = tempfile::tempdir().expect("a folder");
        let fabric = declared(folder.path()).await;
        for body in ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"] {
            send(&fabric, body).await;
        }
        let raw = Connection::open(folder.path().join(DATABASE)).expect("opens");
        assert_eq!(raw.execute(damage, []), Ok(1));
        let bodies: Vec<_> = take(&fabric, "work")
            .await
            .into_iter()
            .map(|it| it.body)
            .collect();
        assert_eq!(bodies, [b"{\"n\":1}", b"{\"n\":3}"]);
        let dead = take(&fabric, "dead").await.remove(0);
        let dead_letter = dead.dead_letter.expect("it came from elsewhere");
        assert_eq!(dead_letter.source, "work");
        let reason = dead_letter.reason.expect("a reason");
        assert!(reason.starts_with("corrupt"), "{reason}");
    }
}

#[tokio::test]
async fn a_damaged_page_is_found_by_the_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let fabric = declared(folder.path()).await;
    for number in 0..200 {
        send(&fabric, &format!("{{\"n\":{number}}}")).await;
    }
    assert_eq!(
        fabric.check().await.expect("readable"),
        Vec::<String>::new()
    );
    // A copy is a single file without a log that could repair it.
    let copy = tempfile::tempdir().expect("a folder");
    let path = copy.path().join(DATABASE);
    fabric.backup(&path).await.expect("copied");
    let mut bytes = fs::read(&path).expect("readable");
    let page = bytes.len() / 4096 * 4096 - 4096;
    bytes[page..page + 64].fill(0xFF);
    fs::write(&path, bytes).expect("written");
    let found = match open(copy.path()) {
        Ok(fabric) => fabric.check().await,
        Err(error) => Err(error),
    };
    match found {
        Ok(found) => assert!(!found.is_empty()),
        Err(error) => assert_eq!(error.kind, ErrorKind::Corrupt, "{}", error.context),
    }
}

#[tokio::test]
async fn a_backup_opens_as_a_fabric_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let fabric = declared(folder.path()).await;
    send(&fabric, "{}").await;
    let copy = tempfile::tempdir().expect("a folder");
    let path = copy.path().join(DATABASE);
    fabric.backup(&path).await.expect("copied");
    send(&fabric, "{\"later\":true}").await;
    let restored = open(copy.path()).expect("opens");
    assert_eq!(restored.counts("work").await.expect("known").visible, 1);
    assert_eq!(mode(&path), 0o600);
    let again = fabric.backup(&path).await.expect_err("it exists");
    assert_eq!(again.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn messages_that_no_queue_hears_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let fabric = open(folder.path()).expect("opens");
    let topology = Topology {
        topics: vec!["work".into()],
        ..Topology::default()
    };
    fabric.declare(topology).await.expect("declared");
    send(&fabric, "{}").await;
    send(&fabric, "{}").await;
    assert_eq!(fabric.undelivered("work").await.expect("known"), 2);
    let unknown = fabric.undelivered("unknown").await;
    assert_eq!(unknown.expect_err("unknown").kind, ErrorKind::NotFound);
}

#[test]
fn many_that_open_a_new_folder_at_once_all_open_it() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().expect("a folder");
        std::thread::scope(|scope| {
            let opened = (0..6).map(|_| scope.spawn(|| open(folder.path()).map(|_| ())));
            for opened in opened.collect::<Vec<_>>() {
                opened.join().expect("no panic").expect("opened");
            }
        });
    }
}

#[tokio::test]
async fn a_folder_of_an_earlier_version_gets_the_tables_that_are_new() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(declared(folder.path()).await);
    let earlier = Connection::open(folder.path().join(DATABASE)).expect("opens");
    earlier.busy_timeout(Duration::from_secs(60)).expect("set");
    earlier
        .execute_batch("DROP TABLE excused")
        .expect("dropped");
    drop(earlier);
    let clock = ManualClock::at(1_795_392_000_000);
    let fabric = LocalFabric::open(folder.path(), Arc::new(clock.clone())).expect("opens");
    send(&fabric, "a").await;
    let late = take(&fabric, "work").await.remove(0).lease;
    clock.advance(Duration::from_secs(60));
    assert_eq!(take(&fabric, "work").await[0].attempt, Some(2));
    let consumer = fabric.consumer("work").await.expect("declared");
    consumer.excuse(&late).await;
    clock.advance(Duration::from_secs(60));
    let again = take(&fabric, "work").await.remove(0);
    assert_eq!(again.attempt, Some(2));
    // Nothing is left of it after its message is gone.
    let deleted = consumer.delete(vec![again.lease]).await;
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    let reader = Connection::open(folder.path().join(DATABASE)).expect("opens");
    let left = reader.query_row("SELECT COUNT(*) FROM excused", [], |row| row.get(0));
    assert_eq!(left, Ok(0));
}
