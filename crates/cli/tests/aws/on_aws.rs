//! An installation on an emulator behind a proxy, and the checks of its state at the end.

use crate::support::{Installation, Serving};
use pudato_testing::{Emulator, Proxy, skipped};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The longest time without any change; after it, something is lost. The total time of thousands of commands depends on the machine.
const WAIT_MAX: Duration = Duration::from_secs(240);
/// The names of services and other readers whose queues are checked.
const QUEUES: [&str; 5] = ["storage", "query", "registry", "results", "history"];

pub struct OnAws {
    pub installation: Installation,
    pub emulator: Emulator,
    pub proxy: Proxy,
    /// Holds the bucket of its objects.
    pub bucket: &'static str,
}

impl OnAws {
    /// `None`, with a message, if there is no emulator.
    pub fn new(test: &str, visibility: &str) -> Option<Self> {
        let emulator = match Emulator::ministack_with_disk() {
            Ok(emulator) => emulator,
            Err(why) => {
                skipped(test, &why);
                return None;
            }
        };
        let proxy = Proxy::start(emulator.port()).expect("a free port");
        let mut installation = Installation::new();
        for (name, value) in [
            ("AWS_ENDPOINT_URL", proxy.url().as_str()),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("PUDATO_VISIBILITY_SECONDS", visibility),
        ] {
            installation.set(name, value);
        }
        let bucket = "acme-lake";
        for name in [bucket, "pudato-claims"] {
            emulator.create_bucket(name).expect("a bucket");
        }
        let settings = installation.ok(&["topology", "apply"]);
        let settings = format!(
            "{settings}registry_database_url = \"sqlite:data/registry.db\"\n[containers]\nlake = \"s3://{bucket}/objects\"\n"
        );
        std::fs::write(installation.folder.path().join("pudato.toml"), settings).expect("written");
        Some(Self {
            installation,
            emulator,
            proxy,
            bucket,
        })
    }

    pub fn worker(&self) -> Serving {
        self.installation.serve(&["runner", "--handler", "storage"])
    }

    pub fn consumer(&self) -> Serving {
        self.installation.serve(&["results"])
    }

    /// A program of the Python environment, with this installation's settings.
    pub fn python(&self, args: &[&str]) -> Output {
        let mut command = self.tool("python");
        command.args(args).output().expect("Python runs")
    }

    /// Runs the AWS CLI. Returns its output.
    pub fn aws(&self, args: &[&str]) -> String {
        // SQS in the CLI does not use AWS_ENDPOINT_URL.
        let endpoint = ["--endpoint-url", &self.proxy.url()];
        let mut tool = self.tool("aws");
        let output = tool.args(endpoint).args(args).output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "aws {args:?}: {error}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Lets the queue of a service deliver a message this many times.
    pub fn allow_attempts(&self, name: &str, attempts: u64) {
        let queue = format!("{}/000000000000/pudato-{name}-queue", self.emulator.url());
        let dead_letters = format!("arn:aws:sqs:us-east-1:000000000000:pudato-{name}-dlq");
        let redrive =
            serde_json::json!({"deadLetterTargetArn": dead_letters, "maxReceiveCount": attempts});
        let attributes = serde_json::json!({"RedrivePolicy": redrive.to_string()}).to_string();
        let set = ["sqs", "set-queue-attributes", "--queue-url", &queue];
        self.aws(&[&set[..], &["--attributes", &attributes]].concat());
    }

    /// Runs a program of the Python environment or of the system, with the environment's programs on its path.
    pub fn tool(&self, name: &str) -> Command {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.venv/bin");
        let own = std::path::Path::new(root).join(name);
        let mut tool = match own.exists() {
            true => self.installation.program(&own.display().to_string()),
            false => self.installation.program(name),
        };
        let path = std::env::var("PATH").unwrap_or_default();
        tool.env("PATH", format!("{root}:{path}"));
        tool
    }

    /// Starts publishing the commands `from..to`, each of which puts an object, with a pause of `pause` between them.
    pub fn publish(&self, from: usize, to: usize, pause: Duration) -> Publishing {
        let line = |n: usize| {
            format!(
                "{{\"type\":\"storage\",\"action\":\"put_object\",\"correlation_id\":\"request-{n}\",\"job_id\":\"job-1\",\
                 \"step_id\":\"step-{n}\",\"timestamp\":\"2026-01-01T00:00:00Z\",\
                 \"payload\":{{\"container\":\"lake\",\"path\":\"part={}/{n}.txt\",\"data\":\"{}\"}}}}\n",
                n % 7,
                content(n),
            )
        };
        self.publish_lines((from..to).map(line), pause)
    }

    /// Starts publishing commands, one per line, whose correlation ids are `request-` and a number.
    pub fn publish_lines(
        &self,
        all: impl Iterator<Item = String> + Send + 'static,
        pause: Duration,
    ) -> Publishing {
        let mut child = self
            .installation
            .command(&["publish", "--lines", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut lines = child.stdin.take().expect("a pipe");
        std::thread::spawn(move || {
            for line in all {
                if lines.write_all(line.as_bytes()).is_err() {
                    return;
                }
                if !pause.is_zero() {
                    std::thread::sleep(pause);
                }
            }
        });
        Publishing(child)
    }

    /// Waits until every command of `accepted` has a Result. Checks that none has two, that every object exists, and that all queues are
    /// empty.
    pub fn check(&self, accepted: &BTreeSet<usize>) {
        let count = |sql: &str| self.installation.count("registry.db", sql);
        // A command that waited for a backend has a `pending` Result before.
        const FINAL: &str = "FROM result WHERE body NOT LIKE '{\"status\":\"pending\"%'";
        let left = |sql: &str| {
            let all = u64::try_from(accepted.len()).unwrap_or(u64::MAX);
            all.saturating_sub(u64::try_from(count(sql)).unwrap_or(0))
        };
        let finals = format!("SELECT COUNT(DISTINCT correlation_id) {FINAL}");
        let missing = || self.missing(accepted);
        self.wait_for_none("every Result", || left(&finals), missing);
        let in_queues = || {
            let depths = QUEUES.map(|name| self.depth(&format!("pudato-{name}-queue")));
            depths.iter().sum()
        };
        self.wait_for_none("empty queues", in_queues, String::new);
        // The last Results are written now.
        let events = || left("SELECT COUNT(*) FROM event");
        self.wait_for_none("every Event", events, String::new);
        let twice = count(&format!(
            "SELECT COUNT(*) - COUNT(DISTINCT correlation_id) {FINAL}"
        ));
        assert_eq!(twice, 0, "Results twice: {}", self.twice());
        let twice = count("SELECT COUNT(*) - COUNT(DISTINCT correlation_id) FROM event");
        assert_eq!(twice, 0, "no Event twice");
        let failed = format!(
            "SELECT COALESCE(MAX(body), '') {FINAL} AND body NOT LIKE '{{\"status\":\"success\"%'"
        );
        let failed: String = self
            .installation
            .open("registry.db")
            .query_row(&failed, [], |row| row.get(0))
            .expect("read");
        assert_eq!(failed, "", "every one succeeded");
        let registry = self.installation.open("registry.db");
        for n in accepted {
            let sql = "SELECT COUNT(*) FROM step JOIN edge ON edge.step = step.id WHERE step_id = ? AND status = 'success'";
            let edges: i64 = registry
                .query_row(sql, [format!("step-{n}")], |row| row.get(0))
                .expect("counted");
            assert_eq!(edges, 1, "step-{n} wrote one object once");
        }
        for n in accepted.iter().step_by(97) {
            let path = format!("objects/part={}/{n}.txt", n % 7);
            let stored = self.emulator.object(self.bucket, &path).expect("an object");
            assert_eq!(stored, content(*n), "{path} is whole");
        }
        for name in QUEUES {
            for kind in ["dlq", "undelivered"] {
                let queue = format!("pudato-{name}-{kind}");
                assert_eq!(self.depth(&queue), 0, "{queue} is empty");
            }
        }
    }

    fn twice(&self) -> String {
        let sql = "SELECT group_concat(body, char(10)) FROM result WHERE correlation_id =
            (SELECT correlation_id FROM result GROUP BY correlation_id HAVING COUNT(*) > 1 LIMIT 1)";
        let registry = self.installation.open("registry.db");
        registry
            .query_row(sql, [], |row| row.get(0))
            .unwrap_or_default()
    }

    /// The messages on a queue, visible or in flight, counted by the emulator itself.
    pub fn depth(&self, queue: &str) -> u64 {
        let answer = self.emulator.sqs(
            "GetQueueAttributes",
            &format!(
                "{{\"QueueUrl\":\"{}/000000000000/{queue}\",\"AttributeNames\":[\"All\"]}}",
                self.emulator.url()
            ),
        );
        let answer: serde_json::Value =
            serde_json::from_str(&answer.expect("an answer")).expect("JSON");
        let number = |name: &str| {
            let text = answer["Attributes"][name].as_str();
            text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
        };
        number("ApproximateNumberOfMessages") + number("ApproximateNumberOfMessagesNotVisible")
    }

    pub fn wait(&self, what: &str, done: impl Fn() -> bool) {
        self.wait_for_none(what, || u64::from(!done()), String::new);
    }

    /// Waits until nothing is `left`, for as long as the number changes; if it stops changing, fails with `why`.
    fn wait_for_none(&self, what: &str, left: impl Fn() -> u64, why: impl Fn() -> String) {
        let (mut last, mut since) = (u64::MAX, Instant::now());
        loop {
            match left() {
                0 => return,
                now if now != last => (last, since) = (now, Instant::now()),
                _ => {}
            }
            if since.elapsed() >= WAIT_MAX {
                let log = self.installation.logged();
                let newest: Vec<&str> = log.lines().rev().take(20).collect();
                panic!(
                    "waited too long for {what}, {last} are left: {newest:#?}\n{}",
                    why()
                );
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The accepted commands without a final Result, the places of their messages, and what the log has about the first one.
    fn missing(&self, accepted: &BTreeSet<usize>) -> String {
        let registry = self.installation.open("registry.db");
        let found = |id: &str| -> Vec<String> {
            let sql = "SELECT body FROM result WHERE correlation_id = ?";
            let mut rows = registry.prepare(sql).expect("prepared");
            let bodies = rows.query_map([id], |row| row.get(0)).expect("read");
            bodies.map(|body| body.expect("a text")).collect()
        };
        let is_final = |body: &String| !body.starts_with("{\"status\":\"pending\"");
        let ids = accepted.iter().map(|n| format!("request-{n}"));
        let missing: Vec<String> = ids.filter(|id| !found(id).iter().any(is_final)).collect();
        let mut said = format!("{} without a Result: {missing:?}\n", missing.len());
        for name in QUEUES {
            for kind in ["queue", "dlq", "undelivered"] {
                let queue = format!("pudato-{name}-{kind}");
                said += &format!("{queue}: {} messages\n", self.depth(&queue));
            }
        }
        if let Some(first) = missing.first() {
            said += &format!("{first} has the Results {:?}\n", found(first));
            let (log, mark) = (self.installation.logged(), format!("{first}\""));
            for line in log.lines().filter(|line| line.contains(&mark)) {
                said += line;
                said.push('\n');
            }
        }
        said
    }
}

/// A publisher at work.
pub struct Publishing(Child);

impl Publishing {
    /// The numbers of the accepted commands.
    pub fn accepted(mut self) -> BTreeSet<usize> {
        let stdout = self.0.stdout.take().expect("a pipe");
        let lines = BufReader::new(stdout).lines();
        let numbers = lines.map(|line| {
            let line = line.expect("text");
            let number = line.strip_prefix("request-").expect("an id");
            number.parse().expect("a number")
        });
        let numbers = numbers.collect();
        let _ = self.0.wait();
        numbers
    }
}

pub fn content(n: usize) -> String {
    format!("object {n} ").repeat(20)
}
