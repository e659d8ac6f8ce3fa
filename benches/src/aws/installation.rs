//! An emulator, a PostgreSQL server, and `pudato up` on both, set up as a user would.

use crate::Outcome;
use crate::up::{role, target};
use pudato_testing::{Database, Emulator, Postgres};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest wait for a measurement. If it takes longer, something is lost.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// The bucket of the objects.
pub const BUCKET: &str = "bench-lake";

pub struct Installation {
    pub emulator: Emulator,
    pub postgres: Postgres,
    pub database: Database,
    pub folder: tempfile::TempDir,
    up: Child,
}

impl Drop for Installation {
    fn drop(&mut self) {
        let _ = self.up.kill();
        let _ = self.up.wait();
    }
}

/// The variables that every program needs to find the emulator.
pub fn environment(command: &mut Command, emulator: &Emulator) {
    command
        .env("AWS_ENDPOINT_URL", emulator.url())
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1");
}

impl Installation {
    pub fn new() -> Outcome<Self> {
        let emulator = Emulator::ministack()?;
        let folder = tempfile::tempdir_in(target()?)?;
        let postgres = Postgres::start_below(&target()?, &[])?;
        let database = postgres.database()?;
        emulator.create_bucket(BUCKET)?;
        emulator.create_bucket("pudato-claims")?;
        let pudato = |args: &[&str]| -> Outcome<Command> {
            let mut command = Command::new(target()?.join("pudato"));
            command.args(args).current_dir(folder.path());
            environment(&mut command, &emulator);
            Ok(command)
        };
        let applied = pudato(&["topology", "apply"])?.output()?;
        let settings = String::from_utf8(applied.stdout)?;
        let settings = format!(
            "{settings}registry_database_url = \"{}\"\n[containers]\nbench = \"s3://{BUCKET}\"\n",
            database.url
        );
        std::fs::write(folder.path().join("pudato.toml"), settings)?;
        let migrated = pudato(&["registry", "migrate"])?.output()?;
        if !migrated.status.success() {
            return Err(String::from_utf8_lossy(&migrated.stderr).into());
        }
        let log = std::fs::File::create(folder.path().join("log"))?;
        let up = pudato(&["up"])?.stdout(Stdio::null()).stderr(log).spawn()?;
        Ok(Self {
            emulator,
            postgres,
            database,
            folder,
            up,
        })
    }

    /// Queues that are read: one for each service, the Results, and Events.
    pub fn queues(&self) -> Outcome<usize> {
        let settings = std::fs::read_to_string(self.folder.path().join("pudato.toml"))?;
        Ok(settings.matches("_queue_url").count())
    }

    /// Commands per second from the first publish call to the last step in the registry. The first has the number `from`.
    pub fn throughput(&self, count: usize, from: usize) -> Outcome<f64> {
        let mut publisher = role(&[
            "aws-publisher",
            &self.folder.path().display().to_string(),
            &count.to_string(),
            &from.to_string(),
        ])?;
        environment(&mut publisher, &self.emulator);
        publisher.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut publisher = publisher.spawn()?;
        // The publisher reports when it is ready, and starts when we tell it to.
        let mut ready = [0];
        let stdout = publisher.stdout.as_mut().ok_or("no pipe")?;
        stdout.read_exact(&mut ready)?;
        let started = Instant::now();
        drop(publisher.stdin.take());
        let done = format!(
            "SELECT count(*) FROM pudato.step JOIN pudato.edge ON edge.step = step.id \
             JOIN pudato.job ON job.id = step.job WHERE step.status = 'success' AND job_id = 'job-{from}'"
        );
        self.wait_for(&done, count)?;
        let took = started.elapsed().as_secs_f64();
        if !publisher.wait()?.success() {
            return Err("the publisher failed".into());
        }
        Ok(count as f64 / took)
    }

    /// Waits until `sql` returns `count`.
    pub fn wait_for(&self, sql: &str, count: usize) -> Outcome<()> {
        let started = Instant::now();
        let mut session = self.postgres.session(&self.database.name)?;
        loop {
            let found = session.ask(sql)?.parse::<usize>().ok();
            if found.is_some_and(|found| found >= count) {
                return Ok(());
            }
            if started.elapsed() > WAIT_MAX {
                let log = std::fs::read_to_string(self.folder.path().join("log"))?;
                return Err(format!("{found:?} of {count} after {WAIT_MAX:?}: {log}").into());
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Reads an object of the bench's container without pudato.
    pub fn object(&self, path: &str) -> Outcome<String> {
        self.emulator.object(BUCKET, path).map_err(Into::into)
    }
}
