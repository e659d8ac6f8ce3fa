//! A system on an emulator of its own, and the checks that hold however it was deployed.

use crate::packages;
use crate::support::Installation;
use pudato_testing::{Database, Emulator, Postgres, skipped};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// The longest wait for anything.
const WAIT_MAX: Duration = Duration::from_secs(300);

pub struct Deployed {
    pub installation: Installation,
    pub emulator: Emulator,
    pub server: &'static Postgres,
    pub database: Database,
    pub packages: PathBuf,
    pub prefix: String,
}

impl Deployed {
    /// The parts, with nothing deployed yet; `None`, with a message, if one of them is unavailable.
    pub fn parts(test: &str, prefix: &str) -> Option<Self> {
        let parts = || -> Result<_, String> {
            Ok((
                packages::folder()?,
                Emulator::ministack_with_disk()?,
                Postgres::shared()?,
            ))
        };
        let (packages, emulator, server) = match parts() {
            Ok(parts) => parts,
            Err(why) => {
                skipped(test, &why);
                return None;
            }
        };
        let mut installation = Installation::new();
        for (name, value) in [
            ("AWS_ENDPOINT_URL", emulator.url().as_str()),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("PUDATO_VISIBILITY_SECONDS", ""),
        ] {
            installation.set(name, value);
        }
        Some(Self {
            database: server.database().expect("a database"),
            installation,
            emulator,
            server,
            packages,
            prefix: prefix.to_owned(),
        })
    }

    /// Deploys with `pudato topology apply` and the SDK only. `short` timeouts show sooner what happens after they end.
    pub fn by_sdk(test: &str, timeout_s: u32) -> Option<Self> {
        let mut deployed = Self::parts(test, "pudato")?;
        for bucket in ["pudato-lake", "pudato-claims"] {
            deployed.emulator.create_bucket(bucket).expect("a bucket");
        }
        let visibility = (6 * timeout_s).to_string();
        deployed
            .installation
            .set("PUDATO_VISIBILITY_SECONDS", &visibility);
        let settings = deployed.installation.ok(&["topology", "apply"]);
        let settings = format!(
            "{settings}registry_database_url = \"{}\"\n[containers]\nlake = \"s3://pudato-lake\"\n",
            deployed.database.url
        );
        deployed.write_settings(&settings);
        deployed.installation.ok(&["registry", "migrate"]);
        let packages = deployed.packages.display().to_string();
        deployed.script("deploy.py", &[&packages, &timeout_s.to_string()]);
        Some(deployed)
    }

    pub fn write_settings(&self, settings: &str) {
        let file = self.installation.folder.path().join("pudato.toml");
        std::fs::write(file, settings).expect("written");
    }

    /// Runs a Python program of this folder with plain boto3. Returns its output.
    pub fn script(&self, name: &str, args: &[&str]) -> String {
        let output = self.python(name, args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{name} {args:?}: {error}\n{}",
            self.tail()
        );
        String::from_utf8(output.stdout).expect("text")
    }

    fn python(&self, name: &str, args: &[&str]) -> Output {
        let root = env!("CARGO_MANIFEST_DIR");
        let mut python = self.tool("python");
        python.arg(format!("{root}/tests/deploy/{name}")).args(args);
        python.output().expect("Python runs")
    }

    pub fn tool(&self, name: &str) -> Command {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.venv/bin/");
        self.installation.program(&format!("{root}{name}"))
    }

    /// Publishes `command` to the topic of `service`.
    pub fn publish(&self, service: &str, command: &str) {
        let topic = format!(
            "arn:aws:sns:us-east-1:000000000000:{}-{service}-commands",
            self.prefix
        );
        self.script("publish.py", &[&topic, command]);
    }

    /// The registry's answer to a SQL query.
    pub fn sql(&self, sql: &str) -> String {
        self.server
            .psql(&self.database.name, sql)
            .unwrap_or_default()
    }

    /// The number of Results for a correlation id that meet `condition`.
    pub fn results(&self, condition: &str) -> usize {
        let sql = format!("SELECT COUNT(*) FROM pudato.result WHERE {condition}");
        self.sql(&sql).trim().parse().unwrap_or(0)
    }

    pub fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < WAIT_MAX, "no {what}: {}", self.tail());
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// The end of the emulator's log, which includes that of the functions.
    pub fn tail(&self) -> String {
        let log = self.emulator.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Ingests a file, sums it up into another, and gives up an unreadable message. All commands are answered, and their lineage connects.
    pub fn check_pipeline(&self) {
        self.publish(
            "storage",
            r#"{"type": "storage", "action": "put_object", "correlation_id": "ingest", "job_id": "job-1", "step_id": "step-ingest",
                "payload": {"container": "lake", "path": "raw/a.csv", "data": "state,cost\nTexas,3\nTexas,4\nOhio,5\n"}}"#,
        );
        self.wait("answer of storage", || {
            self.results("correlation_id = 'ingest'") == 1
        });
        self.publish(
            "query",
            r#"{"type": "query", "action": "execute_sql", "correlation_id": "sum", "job_id": "job-1", "step_id": "step-sum",
                "payload": {"sql": "SELECT state, sum(cost) AS cost FROM raw GROUP BY state ORDER BY state",
                            "sources": {"raw": {"container": "lake", "path": "raw/a.csv", "format": "csv"}},
                            "into": {"container": "lake", "path": "mart/a.csv", "format": "csv"}}}"#,
        );
        self.publish(
            "query",
            r#"{"type": "query", "action": "execute_sql", "correlation_id": "table", "step_id": "step-table",
                "payload": {"sql": "CREATE TABLE kept AS SELECT 1"}}"#,
        );
        self.publish(
            "registry",
            r#"{"type": "registry", "action": "create_job", "correlation_id": "job", "payload": {"pipeline": "deployed", "job_id": "job-1"}}"#,
        );
        self.publish("storage", "{\"type\": \"storage\", \"action\": ");
        for id in ["sum", "table", "job"] {
            self.wait(id, || {
                self.results(&format!("correlation_id = '{id}'")) == 1
            });
        }
        let bodies = self.sql("SELECT correlation_id || ' ' || body FROM pudato.result ORDER BY 1");
        assert_eq!(
            self.results("body LIKE '{\"status\":\"success\"%'"),
            3,
            "{bodies}"
        );
        let refused = self.sql("SELECT body FROM pudato.result WHERE correlation_id = 'table'");
        assert!(refused.contains("`into`"), "what to do instead: {refused}");
        let object = self
            .emulator
            .object(&format!("{}-lake", self.prefix), "mart/a.csv");
        assert_eq!(object.expect("an object"), "state,cost\nOhio,5\nTexas,7\n");

        let lineage = self.installation.ok(&[
            "lineage",
            &format!("s3://{}-lake/mart/a.csv", self.prefix),
            "--json",
        ]);
        let lineage: Value = serde_json::from_str(&lineage).expect("JSON");
        let text = lineage.to_string();
        for part in ["raw/a.csv", "step-sum", "step-ingest"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        self.wait("Event", || {
            self.sql("SELECT COUNT(*) FROM pudato.event").trim() != "0"
        });
        // An unreadable message is in the dead-letter queue, with its bytes and the reason.
        let dead = || {
            self.installation.ok(&[
                "dlq",
                "list",
                &format!("{}-storage-dlq", self.prefix),
                "--json",
            ])
        };
        self.wait("dead letter", || dead().contains("expected"));
        let dead = dead();
        assert!(dead.contains("body: expected"), "{dead}");
    }
}
