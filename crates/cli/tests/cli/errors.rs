//! Each failure gives a clear error, keeps the bytes, and leaves the process alive.

use crate::support::{Installation, Serving, wait, write};
use pudato_runtime::messaging::local::LocalFabric;
use pudato_runtime::messaging::{Message, Publisher, SystemClock};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Checks that the worker still answers.
fn is_alive(installation: &Installation, up: &mut Serving) {
    assert!(
        up.0.try_wait().expect("a child").is_none(),
        "it ended: {}",
        installation.logged()
    );
    installation.ok(&["call", "registry", "query_jobs"]);
}

/// Puts bytes on the topic of storage commands, like a foreign publisher.
fn publish_raw(installation: &Installation, body: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let fabric =
            LocalFabric::open(&installation.data(), Arc::new(SystemClock)).expect("opened");
        let message = Message {
            body: body.into(),
            attributes: BTreeMap::new(),
        };
        let answers = fabric
            .publish("pudato-storage-commands", vec![message])
            .await
            .expect("published");
        for answer in answers {
            answer.expect("accepted");
        }
    });
}

#[test]
fn bad_commands_are_answered_with_the_field_and_run_nothing() {
    let installation = Installation::new();
    let mut up = installation.up();
    let calls: [(&[&str], &str); 8] = [
        (
            &["storage", "explode", "x=1"],
            "action: expected one of put_object",
        ),
        (
            &["storage", "put_object", "path=x", "data=x"],
            "payload.container: required",
        ),
        (
            &[
                "storage",
                "put_object",
                "container=lake",
                "path=x",
                "data:=5",
            ],
            "payload.data: expected a string",
        ),
        (
            &[
                "storage",
                "put_object",
                "container=lake",
                "path=../../x",
                "data=x",
            ],
            "payload.path: \"../../x\"",
        ),
        (
            &["storage", "get_object", "container=Lake", "path=x"],
            "payload.container: expected 3 to 63",
        ),
        (
            &[
                "storage",
                "list_objects",
                "container=lake",
                "max_keys:=\"5\"",
            ],
            "payload.max_keys: expected a whole number",
        ),
        (
            &[
                "registry",
                "update_job",
                "job_id=job-none",
                "status=success",
            ],
            "payload.job_id: there is no job",
        ),
        (
            &[
                "registry",
                "get_lineage",
                "location=x",
                "direction=sideways",
            ],
            "payload.direction: expected one of",
        ),
    ];
    for (args, expected) in calls {
        let args: Vec<&str> = ["call"].into_iter().chain(args.iter().copied()).collect();
        let (code, error) = installation.fails(&args);
        assert_eq!(code, 1, "{args:?}: {error}");
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    assert!(!installation.folder.path().join("x").exists());
    let (code, error) = installation.fails(&["call", "weather", "forecast"]);
    assert_eq!(code, 1);
    assert!(
        error.contains("topic \"pudato-weather-commands\" does not exist"),
        "{error}"
    );
    is_alive(&installation, &mut up);
}

#[test]
fn a_command_for_another_handler_is_refused_and_not_run() {
    let installation = Installation::new();
    let mut up = installation.up();
    publish_raw(
        &installation,
        r#"{"type":"registry","action":"create_job","payload":{"pipeline":"p"},"correlation_id":"lost-1"}"#,
    );
    wait("its Result", || {
        installation.run(&["trace", "lost-1"]).status.success()
    });
    wait("its Result", || {
        installation.ok(&["trace", "lost-1"]).contains("result")
    });
    assert!(
        installation
            .ok(&["trace", "lost-1"])
            .contains("type: expected \"storage\"")
    );
    assert!(
        !installation.ok(&["job", "list"]).contains("job-"),
        "nothing was run"
    );
    is_alive(&installation, &mut up);
}

#[test]
fn every_invalid_vector_ends_in_the_dead_letter_queue_with_its_bytes_and_a_reason() {
    let installation = Installation::new();
    let mut up = installation.up();
    let vectors = include_str!("../../../../fixtures/invalid.jsonl");
    let mut bodies = Vec::new();
    for line in vectors.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line");
        let body = line["body"].as_str().expect("a body").to_owned();
        // A body that no publisher can send cannot arrive.
        let is_legal = |c: char| c >= ' ' || matches!(c, '\t' | '\n' | '\r');
        if line["kind"] == "command" && !body.is_empty() && body.chars().all(is_legal) {
            bodies.push(body);
        }
    }
    assert!(bodies.len() >= 5);
    for body in &bodies {
        publish_raw(&installation, body);
    }
    let dead = || installation.ok(&["dlq", "list", "pudato-storage-dlq", "--json"]);
    wait("dead letters", || {
        dead().contains(&format!("\"count\": {}", bodies.len()))
    });
    let listed: serde_json::Value = serde_json::from_str(&dead()).expect("JSON");
    let mut kept = Vec::new();
    for letter in listed["dead_letters"].as_array().expect("a list") {
        let id = letter["message_id"].as_str().expect("an id");
        let shown = installation.ok(&["dlq", "show", id, "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        let reason = shown["reason"].as_str().expect("a reason");
        assert!(reason.contains(": "), "{reason}");
        kept.push(shown["body"].as_str().expect("a body").to_owned());
    }
    kept.sort();
    bodies.sort();
    assert_eq!(kept, bodies, "byte for byte");
    is_alive(&installation, &mut up);
}

#[test]
fn dangling_and_foreign_claims_are_dead_letters_with_the_reason() {
    let installation = Installation::new();
    let mut up = installation.up();
    let pointer = |bucket: &str| {
        format!(
            r#"["software.amazon.payloadoffloading.PayloadS3Pointer",{{"s3BucketName":"{bucket}","s3Key":"claims/x"}}]"#
        )
    };
    publish_raw(&installation, &pointer("pudato-claims"));
    publish_raw(&installation, &pointer("secrets"));
    let list = || installation.ok(&["dlq", "list", "pudato-storage-dlq"]);
    wait("dead letters", || list().lines().count() == 3);
    assert!(list().contains("there is no such object"), "{}", list());
    assert!(
        list().contains("expected \"pudato-claims\", found \"secrets\"; nothing was fetched"),
        "{}",
        list()
    );
    is_alive(&installation, &mut up);
}

#[test]
fn an_altered_claim_is_a_dead_letter_and_can_be_replayed_once_it_is_repaired() {
    let installation = Installation::new();
    let big = write(installation.folder.path(), "big", &"x".repeat(1_500_000));
    let data = format!("data=@{big}");
    // No program serves yet, so that there is time to alter the claim.
    let id = installation.ok(&[
        "publish",
        "storage",
        "put_object",
        "container=lake",
        "path=big.txt",
        &data,
    ]);
    let claims = installation.data().join("objects/pudato-claims/claims");
    let day = std::fs::read_dir(claims)
        .expect("claims")
        .next()
        .expect("a day")
        .expect("an entry")
        .path();
    let claim = std::fs::read_dir(day)
        .expect("a day")
        .next()
        .expect("a claim")
        .expect("an entry")
        .path();
    let whole = std::fs::read(&claim).expect("read");
    std::fs::write(&claim, b"{}").expect("altered");
    let mut up = installation.up();
    let list = || installation.ok(&["dlq", "list"]);
    wait("a dead letter", || {
        list().contains("differ from those that were stored")
    });
    std::fs::write(&claim, whole).expect("mended");
    installation.ok(&["dlq", "replay", "--all", "pudato-storage-dlq"]);
    wait("its Result", || {
        installation.ok(&["trace", id.trim()]).contains("success")
    });
    is_alive(&installation, &mut up);
}

#[test]
fn a_body_of_100_mb_is_refused_before_it_is_sent() {
    let installation = Installation::new();
    let huge = write(installation.folder.path(), "huge", &"x".repeat(100_000_000));
    let (code, error) = installation.fails(&[
        "publish",
        "storage",
        "put_object",
        "container=lake",
        "path=huge.txt",
        &format!("data=@{huge}"),
    ]);
    assert_eq!(code, 1, "{error}");
    assert!(
        error.contains("at most 67108864 (PUDATO_CLAIM_BYTES_MAX)"),
        "{error}"
    );
}

#[test]
fn a_second_up_on_one_folder_is_refused_by_name() {
    let installation = Installation::new();
    let mut up = installation.up();
    let (code, error) = installation.fails(&["up"]);
    assert_eq!(code, 3, "{error}");
    assert!(
        error.contains(&format!(
            "another `pudato up` (process {}) is running on",
            up.0.id()
        )),
        "{error}"
    );
    is_alive(&installation, &mut up);
}

#[test]
fn a_newer_or_damaged_data_folder_is_refused() {
    for database in ["fabric.db", "registry.db"] {
        let installation = Installation::new();
        installation.ok(&["job", "list"]);
        let connection = installation.open(database);
        connection
            .pragma_update(None, "user_version", 99)
            .expect("set");
        drop(connection);
        let (code, error) = installation.fails(&["job", "list"]);
        assert_eq!(code, 3, "{error}");
        assert!(
            error.contains("written by a newer pudato (format 99"),
            "{error}"
        );

        let installation = Installation::new();
        std::fs::create_dir(installation.data()).expect("made");
        std::fs::write(
            installation.data().join(database),
            "this is no database ".repeat(100),
        )
        .expect("written");
        let (code, error) = installation.fails(&["job", "list"]);
        assert_eq!(code, 3, "{error}");
        assert!(
            error.contains("not a database") && error.contains(database),
            "{error}"
        );
    }
}

#[test]
fn sigterm_drains_and_a_second_one_stops_at_once() {
    let installation = Installation::new();
    let mut up = installation.up();
    installation.ok(&["call", "registry", "query_jobs"]);
    up.signal("-TERM");
    assert_eq!(up.ended(), Some(0), "{}", installation.logged());

    let mut up = installation.up();
    installation.ok(&["call", "registry", "query_jobs"]);
    up.signal("-TERM");
    up.signal("-TERM");
    // Whether the drain has ended by then depends on microseconds.
    let code = up.ended();
    assert!(matches!(code, Some(0 | 143)), "{code:?}");
    installation.ok(&["job", "list"]);
}

#[test]
fn wrong_usage_and_wrong_settings_have_different_exit_codes() {
    let installation = Installation::new();
    assert_eq!(installation.fails(&["nope"]).0, 2);
    assert_eq!(installation.fails(&["call", "storage"]).0, 2);
    assert_eq!(
        installation
            .fails(&["call", "storage", "put_object", "nofield"])
            .0,
        2
    );
    assert_eq!(installation.fails(&["runner", "--handler", "nope"]).0, 2);
    write(
        installation.folder.path(),
        "pudato.toml",
        "data_dri = \"x\"\n",
    );
    let (code, error) = installation.fails(&["job", "list"]);
    assert_eq!(code, 3);
    assert!(
        error.contains("data_dri: unknown; did you mean data_dir?"),
        "{error}"
    );
    std::fs::remove_file(installation.folder.path().join("pudato.toml")).expect("removed");
    let (code, error) = installation.fails(&["call", "registry", "query_jobs", "--timeout", "1"]);
    assert_eq!(code, 5);
    assert!(
        error.contains("no worker of the service registry runs on"),
        "{error}"
    );
    let unusable = installation.run(&["--data-dir", "/proc/nowhere", "job", "list"]);
    assert_eq!(unusable.status.code(), Some(4));
}

#[test]
fn planted_secrets_appear_in_no_log_registry_or_error() {
    let installation = Installation::new();
    let mut up = installation.up();
    let planted: [(&[&str], &str); 6] = [
        (
            &["storage", "AKIAIOSFODNN7PLANTED", "x=1"],
            "AKIAIOSFODNN7PLANTED",
        ),
        (
            &[
                "storage",
                "get_object",
                "container=lake",
                "path=a?token=planted-two",
            ],
            "planted-two",
        ),
        (
            &[
                "storage",
                "get_object",
                "container=postgres://me:planted-three@db/x",
                "path=x",
            ],
            "planted-three",
        ),
        (
            &[
                "storage",
                "put_object",
                "container=lake",
                "path=../password=planted-four",
                "data=x",
            ],
            "planted-four",
        ),
        (
            &["registry", "update_job", "job_id=api_key=planted-five"],
            "planted-five",
        ),
        (
            &[
                "registry",
                "get_lineage",
                "location=x",
                "direction=Bearer planted-six",
            ],
            "planted-six",
        ),
    ];
    for (args, secret) in planted {
        let args: Vec<&str> = ["call"].into_iter().chain(args.iter().copied()).collect();
        let (code, error) = installation.fails(&args);
        assert_eq!(code, 1, "{error}");
        assert!(
            error.contains("********") && !error.contains(secret),
            "{error}"
        );
    }
    publish_raw(
        &installation,
        r#"{"type":"storage","action":"x","payload":"password=planted-seven","timestamp":"token=planted-eight"}"#,
    );
    wait("a dead letter", || {
        installation.ok(&["dlq", "list"]).lines().count() == 2
    });
    is_alive(&installation, &mut up);
    let mut sinks = vec![installation.log()];
    sinks.extend(["registry.db", "registry.db-wal"].map(|name| installation.data().join(name)));
    for sink in sinks {
        let bytes = std::fs::read(&sink).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.to_lowercase().contains("planted"),
            "{}",
            sink.display()
        );
    }
}

#[test]
fn a_full_disk_loses_nothing_and_work_continues_once_there_is_space() {
    let installation = Installation::new();
    let big = write(installation.folder.path(), "big", &"x".repeat(3_000_000));
    let data = format!("data=@{big}");
    let id = installation.ok(&[
        "publish",
        "storage",
        "put_object",
        "container=lake",
        "path=big.txt",
        &data,
    ]);
    // A limit on the size of files stands for the end of the disk: the same write fails at the same place.
    let shell = "trap '' XFSZ; ulimit -S -f 1500; exec \"$0\" up";
    let log = std::fs::File::create(installation.log()).expect("a log");
    let up = installation
        .shell(shell)
        .stdout(std::process::Stdio::null())
        .stderr(log)
        .spawn()
        .expect("sh runs");
    let mut up = Serving(up);
    wait("the failure", || {
        installation.logged().contains("File too large")
    });
    assert!(up.0.try_wait().expect("a child").is_none(), "it still runs");
    assert!(
        !installation.data().join("objects/lake/big.txt").exists(),
        "nothing half-written"
    );
    let space = std::process::Command::new("prlimit")
        .args(["--pid", &up.0.id().to_string(), "--fsize=unlimited"])
        .status();
    assert!(space.expect("prlimit runs").success());
    wait("its Result", || {
        installation.ok(&["trace", id.trim()]).contains("success")
    });
    let trace = installation.ok(&["trace", id.trim()]);
    assert!(
        trace.contains("answered at attempt 1"),
        "waiting cost no attempt: {trace}"
    );
    let stored = std::fs::read(installation.data().join("objects/lake/big.txt")).expect("stored");
    assert_eq!(stored.len(), 3_000_000);
}
