//! An emulator of AWS of one's own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long it may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// [ministack](https://pypi.org/project/ministack/), as `cargo xtask test` installs it. Each access key of 12 digits is an account of
/// its own.
pub struct Ministack {
    port: u16,
    folder: PathBuf,
    _running: Mutex<(Child, ChildStdin)>,
}

fn program() -> Result<PathBuf, String> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/ministack");
    let what = "there is no ministack; `cargo xtask test` installs one";
    Some(program)
        .filter(|program| program.exists())
        .ok_or_else(|| what.into())
}

impl Ministack {
    /// The emulator of this process, which all its tests share.
    ///
    /// # Errors
    /// It is not installed.
    ///
    /// # Panics
    /// It is, and does not start.
    pub fn shared() -> Result<&'static Self, String> {
        static SHARED: OnceLock<Result<Ministack, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            program()?;
            Ok(Self::start().expect("an emulator"))
        });
        shared.as_ref().map_err(Clone::clone)
    }

    /// An emulator of its own.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start() -> Result<Self, String> {
        let program = program()?;
        let text = |error: std::io::Error| error.to_string();
        let folder = tempfile::tempdir().map_err(text)?.keep();
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.map_err(text)?.port();
        // As with PostgreSQL: it ends with whoever holds the other end of the pipe, and its folder with it.
        let script = "\"$0\" </dev/null & server=$!; cat >/dev/null; kill $server 2>/dev/null; wait $server; rm -rf -- \"$1\"";
        let log = std::fs::File::create(folder.join("log")).map_err(text)?;
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(program).arg(&folder);
        shell
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1");
        shell.env("TMPDIR", &folder).current_dir(&folder);
        shell.stdin(Stdio::piped());
        shell.stdout(log.try_clone().map_err(text)?).stderr(log);
        let mut child = shell.spawn().map_err(text)?;
        let pipe = child.stdin.take().ok_or("no pipe")?;
        let emulator = Self {
            port,
            folder,
            _running: Mutex::new((child, pipe)),
        };
        let started = Instant::now();
        while !emulator.is_ready() {
            if started.elapsed() > START_TIMEOUT {
                return Err(format!("ministack does not start: {}", emulator.log()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(emulator)
    }

    fn is_ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let request =
            "GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let mut answer = [0; 12];
        stream.write_all(request.as_bytes()).is_ok() && stream.read_exact(&mut answer).is_ok()
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}
