//! Every Result is exported as OpenLineage events, whatever happens to the endpoint.

use crate::support::{Installation, check_openlineage, wait, write};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Python's own HTTP server as an endpoint: it records requests and answers 201.
const ENDPOINT: &str = "
import http.server, sys
class Endpoint(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        with open(sys.argv[2], 'ab') as file:
            file.write(body + b'\\n')
        with open(sys.argv[2] + '.head', 'a') as file:
            print(self.path, self.headers['Authorization'], file=file)
        self.send_response(201)
        self.send_header('Content-Length', '0')
        self.end_headers()
    def log_message(self, *rest):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Endpoint)
print('ready', flush=True)
server.serve_forever()
";

struct Endpoint(Child);

impl Endpoint {
    fn start(port: u16, file: &Path) -> Self {
        let child = Command::new("python3")
            .args(["-c", ENDPOINT, &port.to_string()])
            .arg(file)
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.expect("python starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "ready");
        Self(child)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn events(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("an event"))
        .collect()
}

fn work(installation: &Installation) {
    let csv = write(installation.folder.path(), "a.csv", "state,n\nTX,1\nCA,3\n");
    let data = format!("data=@{csv}");
    let create = [
        "call",
        "registry",
        "create_job",
        "pipeline=birds",
        "environment=dev",
        "job_id=job-1",
    ];
    installation.ok(&create);
    let put = [
        "call",
        "storage",
        "put_object",
        "container=lake",
        "path=a.csv",
        &data,
    ];
    installation.ok(&[&put[..], &["--job", "job-1", "--step", "step-1"]].concat());
    let script = [
        "call",
        "query",
        "execute_script",
        "sql=CREATE TABLE a AS FROM source; CREATE TABLE b AS SELECT state FROM a",
        r#"sources:={"source": {"container": "lake", "path": "a.csv"}}"#,
    ];
    installation.ok(&[&script[..], &["--job", "job-1", "--step", "step-2"]].concat());
    let wrong = [
        "call",
        "query",
        "execute_sql",
        "sql=SELECT nothing",
        "--step",
        "step-3",
    ];
    installation.fails(&wrong);
}

#[test]
fn a_dead_endpoint_loses_nothing_and_slows_nothing() {
    let mut installation = Installation::new();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    installation.set("OPENLINEAGE_URL", &url);
    installation.set("OPENLINEAGE_API_KEY", "s3cret");
    let up = installation.up();
    // Nothing listens on the port, and the commands are answered.
    work(&installation);
    wait("a failure", || {
        installation.logged().contains("are waiting in the outbox")
    });
    drop(up);
    let file = installation.folder.path().join("events.jsonl");
    let _endpoint = Endpoint::start(port, &file);
    let _up = installation.up();
    let outbox = || installation.count("registry.db", "SELECT COUNT(*) FROM outbox");
    wait("the events", || outbox() == 0 && !events(&file).is_empty());
    // create_job, put_object, the script and the wrong query: each started and ended.
    let found = events(&file);
    assert_eq!(found.len(), 8, "{found:#?}");
    let head = std::fs::read_to_string(file.with_extension("jsonl.head")).expect("heads");
    assert!(
        head.lines()
            .all(|line| line == "/api/v1/lineage Bearer s3cret"),
        "{head}"
    );
    assert!(!installation.logged().contains("s3cret"));
    let script = found.iter().find(|event| {
        event["run"]["facets"]["pudato_run"]["stepId"] == "step-2"
            && event["eventType"] == "COMPLETE"
    });
    let script = script.expect("the script");
    assert_eq!(script["job"]["name"], "birds.step-2");
    let name = |kind: &str, step: Value| {
        let mut events = found.iter().filter(|event| event["eventType"] == kind);
        let event = events.find(|event| event["run"]["facets"]["pudato_run"]["stepId"] == step);
        event.expect("an event")["job"]["name"].clone()
    };
    // A step without a name is named by its id; a command without a step, by its action.
    assert_eq!(name("FAIL", json!("step-3")), "query.step-3");
    assert_eq!(name("COMPLETE", Value::Null), "registry.create_job");
    let entries = script["job"]["facets"]["lineage"]["entries"]
        .as_array()
        .expect("pairs");
    assert_eq!(entries.len(), 2, "each table and what it was made from");
    let failed = found.iter().find(|event| event["eventType"] == "FAIL");
    let message = &failed.expect("a failure")["run"]["facets"]["errorMessage"]["message"];
    assert!(
        message
            .as_str()
            .is_some_and(|text| text.contains("nothing")),
        "{message}"
    );
    if let Some(checked) = check_openlineage(&file) {
        assert_eq!(checked, json!({"runs": 4, "events": 8}));
    }
    // The export prints the same events for Results that exist already.
    let exported = installation.folder.path().join("export.jsonl");
    installation.ok(&[
        "lineage",
        "export",
        "--output",
        &exported.display().to_string(),
    ]);
    let sorted = |mut events: Vec<Value>| {
        events.sort_by_key(Value::to_string);
        events
    };
    assert_eq!(sorted(events(&exported)), sorted(found));
    let none = installation.ok(&["lineage", "export", "--since", "2999-01-01T00:00:00Z"]);
    assert_eq!(none, "");
}

#[test]
fn events_are_appended_to_a_file() {
    let mut installation = Installation::new();
    installation.set("OPENLINEAGE__TRANSPORT__TYPE", "file");
    installation.set("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", "told.jsonl");
    let _up = installation.up();
    let file = installation.folder.path().join("told.jsonl");
    let put = [
        "call",
        "storage",
        "put_object",
        "container=lake",
        "path=a.csv",
        "data=x",
    ];
    for n in 1..=2 {
        let again = ["--step", "step-1", "--correlation-id", "request-1"];
        installation.ok(&[&put[..], &again[..]].concat());
        wait("the events", || events(&file).len() == 2 * n);
    }
    // Another command for the same step is another run.
    let found = events(&file);
    assert_ne!(found[0]["run"]["runId"], found[2]["run"]["runId"]);
}
