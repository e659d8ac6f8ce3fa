//! The commands of the program, used together.

use crate::support::{Installation, wait, write};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

#[test]
fn data_and_its_lineage_can_be_followed_from_end_to_end() {
    let installation = Installation::new();
    let _up = installation.up();
    let csv = write(installation.folder.path(), "a.csv", "a,b\n1,2\n3,4\n");
    let data = format!("data=@{csv}");
    let put = installation.ok(&[
        "call",
        "storage",
        "put_object",
        "container=lake",
        "path=raw/a.csv",
        &data,
        "--job",
        "job-1",
        "--step",
        "step-1",
        "--correlation-id",
        "request-1",
        "--json",
    ]);
    let put: Value = serde_json::from_str(&put).expect("a Result");
    assert_eq!(put["step_id"], "step-1");
    // A step with two commands shows both.
    for (action, id) in [("put_object", "request-3"), ("get_object", "request-2")] {
        let (action, id) = (format!("action={action}"), format!("correlation_id={id}"));
        let add = [
            "call",
            "registry",
            "add_step",
            "job_id=job-1",
            "step_id=step-2",
            "step_name=put_object",
            "handler_type=storage",
            &action,
            &id,
        ];
        installation.ok(&add);
    }
    let work = ["--job", "job-1", "--step", "step-2", "--correlation-id"];
    let get = [
        "call",
        "storage",
        "get_object",
        "container=lake",
        "path=raw/a.csv",
    ];
    installation.ok(&[&get[..], &work[..], &["request-2"]].concat());
    let put = [
        "call",
        "storage",
        "put_object",
        "container=lake",
        "path=clean/a.csv",
        "data=a\n1\n",
    ];
    installation.ok(&[&put[..], &work[..], &["request-3"]].concat());

    let tree = installation.ok(&["lineage", "clean/a.csv"]);
    let lines: Vec<&str> = tree.lines().collect();
    assert!(
        lines[0].ends_with("/objects/lake/clean/a.csv  1 row"),
        "{tree}"
    );
    assert!(
        lines[1].starts_with("└─ [put_object] storage put_object success"),
        "{tree}"
    );
    assert!(
        lines[2].starts_with("   └─ file://") && lines[2].ends_with("/lake/raw/a.csv  2 rows"),
        "{tree}"
    );
    let down = installation.ok(&["lineage", "raw/a.csv", "--downstream"]);
    assert!(down.contains("clean/a.csv"), "{down}");
    let mermaid = installation.ok(&["lineage", "clean/a.csv", "--format", "mermaid"]);
    assert!(
        mermaid.starts_with("flowchart LR\n") && mermaid.contains(" --> "),
        "{mermaid}"
    );
    assert!(
        installation
            .ok(&["lineage", "clean/a.csv", "--format", "svg"])
            .starts_with("<svg ")
    );
    let (code, error) = installation.fails(&["lineage", "a.csv"]);
    assert!(
        code == 1 && error.contains("name one of them in full"),
        "{error}"
    );

    let trace = installation.ok(&["trace", "request-1"]);
    let what: Vec<&str> = trace
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(2))
        .collect();
    assert_eq!(what[0], "command", "{trace}");
    wait("the Event", || {
        installation
            .ok(&["trace", "request-1"])
            .contains("storage.object_created")
    });
    assert!(
        installation
            .ok(&["events", "tail"])
            .contains("storage.object_created")
    );
    let job = installation.ok(&["job", "show", "job-1", "--json"]);
    let job: Value = serde_json::from_str(&job).expect("JSON");
    assert_eq!(job["steps"].as_array().expect("steps").len(), 2);
    assert_eq!(installation.ok(&["doctor"]), "no problems found\n");
}

#[test]
fn a_command_with_an_idempotency_key_runs_once_and_gets_the_same_answer_again() {
    let installation = Installation::new();
    let _up = installation.up();
    let create = |key: &str, pipeline: &str| {
        let field = format!("pipeline={pipeline}");
        installation.run(&[
            "call",
            "registry",
            "create_job",
            &field,
            "--idempotency-key",
            key,
        ])
    };
    let (first, second) = (create("k-1", "monthly"), create("k-1", "monthly"));
    assert_eq!(first.stdout, second.stdout, "the same job, not another");
    let other = create("k-1", "yearly");
    let error = String::from_utf8_lossy(&other.stderr);
    assert!(
        error.contains("metadata.idempotency_key: it was used before with another payload"),
        "{error}"
    );
    let jobs = installation.ok(&["job", "list", "--json"]);
    assert!(jobs.contains("\"count\": 1"), "{jobs}");
    // The same key of another job, or of another user, is another key.
    for work in [
        ["--job", "job-1"],
        ["--job", "job-2"],
        ["--metadata", "user=ann"],
    ] {
        for is_again in [false, true] {
            let field = format!("pipeline={}", work[1].replace('=', "-"));
            let key = ["--idempotency-key", "k-1"];
            let call = ["call", "registry", "create_job", &field];
            let made = installation.ok(&[&call[..], &key[..], &work[..]].concat());
            assert!(
                made.contains(&field["pipeline=".len()..]),
                "{is_again}: {made}"
            );
        }
    }
    let jobs = installation.ok(&["job", "list", "--json"]);
    assert!(jobs.contains("\"count\": 4"), "{jobs}");
}

#[test]
fn a_backup_of_a_folder_in_use_can_be_served() {
    let installation = Installation::new();
    let up = installation.up();
    installation.ok(&[
        "call",
        "registry",
        "create_job",
        "pipeline=monthly",
        "job_id=job-kept",
    ]);
    // The mode does not depend on the umask of the shell.
    let made = installation
        .shell("umask 0; exec \"$0\" backup copy")
        .output()
        .expect("sh runs");
    assert!(made.status.success());
    for (name, expected) in [("", 0o700), ("fabric.db", 0o600), ("registry.db", 0o600)] {
        let found = installation
            .folder
            .path()
            .join("copy")
            .join(name)
            .metadata();
        let mode = found.expect("made").permissions().mode() & 0o777;
        assert_eq!(mode, expected, "{name:?} is the owner's alone");
    }
    let (code, error) = installation.fails(&["backup", "copy"]);
    assert!(
        code == 3 && error.contains("expected a new or empty folder"),
        "{error}"
    );
    drop(up);
    assert!(
        installation
            .ok(&["--data-dir", "copy", "job", "list"])
            .contains("job-kept")
    );
}

#[test]
fn settings_are_shown_with_their_origin_and_secrets_masked() {
    let installation = Installation::new();
    write(
        installation.folder.path(),
        "pudato.toml",
        "concurrency = 4\n",
    );
    let shown = installation
        .command(&["config"])
        .env("REGISTRY_DATABASE_URL", "sqlite:elsewhere/registry.db")
        .env("OPENLINEAGE_URL", "https://me:hunter2@ol.example.org")
        .output()
        .expect("runs");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let line = |name: &str| {
        let found = shown.lines().find(|line| line.starts_with(name));
        found.unwrap_or_default().to_owned()
    };
    assert!(
        line("PUDATO_CONCURRENCY").contains("4")
            && line("PUDATO_CONCURRENCY").contains("pudato.toml")
    );
    assert!(line("PUDATO_DATA_DIR").contains("environment (PUDATO_DATA_DIR)"));
    assert!(line("REGISTRY_DATABASE_URL").contains("********") && !shown.contains("elsewhere"));
    // No other setting shows a password either.
    assert!(line("OPENLINEAGE_URL").contains("ol.example.org") && !shown.contains("hunter2"));
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let installation = Installation::new();
    let commands = [
        &["up"][..],
        &["runner"],
        &["results"],
        &["publish"],
        &["call"],
        &["job", "list"],
        &["job", "show"],
        &["lineage"],
        &["status"],
        &["trace"],
        &["dlq", "list"],
        &["dlq", "show"],
        &["dlq", "replay"],
        &["dlq", "purge"],
        &["events", "tail"],
        &["config"],
        &["doctor"],
        &["schema"],
        &["backup"],
    ];
    for command in commands {
        let help = installation.ok(&[command, &["--help"]].concat());
        assert!(help.contains("Example"), "{command:?}: {help}");
    }
}

#[test]
fn nothing_listens_unless_a_port_is_set_and_then_only_on_loopback() {
    let installation = Installation::new();
    let up = installation.up();
    installation.ok(&["call", "registry", "query_jobs"]);
    assert_eq!(sockets(up.0.id()), Vec::<String>::new());
    drop(up);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port().to_string();
    drop(free);
    let up = installation
        .command(&["up"])
        .env("PUDATO_HEALTH_PORT", &port)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("starts");
    let up = crate::support::Serving(up);
    wait("/readyz", || {
        get(&port, "/readyz").starts_with("HTTP/1.1 200")
    });
    assert!(get(&port, "/livez").starts_with("HTTP/1.1 200"));
    assert!(get(&port, "/else").starts_with("HTTP/1.1 404"));
    // 0100007F is 127.0.0.1 as the kernel writes it.
    let listening = sockets(up.0.id());
    assert!(
        !listening.is_empty()
            && listening
                .iter()
                .all(|address| address.starts_with("0100007F:")),
        "{listening:?}"
    );
}

fn get(port: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(format!("127.0.0.1:{port}")) else {
        return String::new();
    };
    let mut answer = String::new();
    let _ = stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// The local addresses on which a process listens, from /proc (proc_pid_net(5)).
fn sockets(pid: u32) -> Vec<String> {
    let mut inodes = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).expect("open files") {
        let link = std::fs::read_link(entry.expect("an entry").path()).unwrap_or_default();
        let link = link.to_string_lossy().into_owned();
        if let Some(inode) = link.strip_prefix("socket:[") {
            inodes.push(inode.trim_end_matches(']').to_owned());
        }
    }
    let mut listening = Vec::new();
    for table in ["tcp", "tcp6"] {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let columns: Vec<&str> = line.split_whitespace().collect();
            // State 0A is LISTEN.
            if columns[3] == "0A" && inodes.iter().any(|inode| inode == columns[9]) {
                listening.push(columns[1].to_owned());
            }
        }
    }
    listening
}
