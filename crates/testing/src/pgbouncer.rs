//! A pooler before a PostgreSQL server.

use super::postgres::{Postgres, as_user, is_root};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections to the server for each database; fewer than those that come, so that they take turns.
const SERVERS: u32 = 3;

/// [pgbouncer](https://www.pgbouncer.org) in the mode `transaction`: each transaction gets whichever connection is free.
pub struct Pgbouncer {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

/// Where `PUDATO_TEST_PGBOUNCER` says, or on the path, or where Debian installs it.
fn find() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("PUDATO_TEST_PGBOUNCER") {
        return Ok(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut found = folders.map(|folder| folder.join("pgbouncer"));
    let found = found.find(|program| program.exists());
    found.ok_or_else(|| "there is no pgbouncer; PUDATO_TEST_PGBOUNCER names one".into())
}

impl Pgbouncer {
    /// Starts one before `server`.
    ///
    /// # Errors
    /// There is none on this machine, or it does not start.
    pub fn before(server: &Postgres) -> Result<Self, String> {
        let program = find()?;
        let text = |error: std::io::Error| error.to_string();
        let folder = tempfile::tempdir().map_err(text)?;
        let listener = TcpListener::bind("127.0.0.1:0").map_err(text)?;
        let port = listener.local_addr().map_err(text)?.port();
        drop(listener);
        let (users, settings) = (folder.path().join("users"), folder.path().join("ini"));
        std::fs::write(&users, "\"owner\" \"\"\n").map_err(text)?;
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\n\
             default_pool_size = {SERVERS}\nmax_client_conn = 1000\n",
            server.port(),
            users.display()
        );
        std::fs::write(&settings, ini).map_err(text)?;
        if is_root() {
            // It refuses to be root, as Postgres does.
            let mut open = Command::new("chmod");
            open.args(["-R", "a+rX"]).arg(folder.path());
            open.status().map_err(text)?;
        }
        let mut command = as_user(&program);
        command.arg(&settings).stdin(Stdio::null());
        let log = std::fs::File::create(folder.path().join("log")).map_err(text)?;
        command.stdout(Stdio::null()).stderr(log);
        let mut pooler = Self {
            child: command.spawn().map_err(text)?,
            port,
            folder,
        };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = pooler.child.try_wait().map_err(text)?;
            if ended.is_some() || started.elapsed() > START_TIMEOUT {
                let log = std::fs::read_to_string(pooler.folder.path().join("log"));
                return Err(format!(
                    "pgbouncer does not start: {}",
                    log.unwrap_or_default()
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(pooler)
    }

    /// The URL of a database, through the pooler.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://owner@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Pgbouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
