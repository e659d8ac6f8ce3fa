//! An emulator of AWS of one's own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long it may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Which emulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Ministack,
    LocalStack,
}

/// An emulator of AWS, as `cargo xtask test` installs it: [ministack](https://pypi.org/project/ministack/), or
/// [LocalStack](https://pypi.org/project/localstack-core/). Each access key of 12 digits is an account of its own.
pub struct Emulator {
    program: Program,
    port: u16,
    folder: PathBuf,
    /// Nobody drops it, so its folder goes when the process that holds it ends.
    is_shared: bool,
    /// Whether objects are kept over a stop as well, which costs a file for each.
    keeps_objects: bool,
    running: Mutex<Option<(Child, ChildStdin)>>,
}

fn python(program: Program) -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (python, module) = match program {
        Program::Ministack => (root.join(".venv/bin/python"), ".venv/bin/ministack"),
        Program::LocalStack => (
            root.join(".venv-localstack/bin/python"),
            ".venv-localstack/installed-requirements-localstack.txt",
        ),
    };
    let what = format!("there is no {program:?}; `cargo xtask test` installs it");
    let is_there = python.exists() && root.join(module).exists();
    Some(python).filter(|_| is_there).ok_or(what)
}

impl Emulator {
    /// The ministack of this process, which all its tests share.
    ///
    /// # Errors
    /// It is not installed.
    ///
    /// # Panics
    /// It is, and does not start.
    pub fn shared() -> Result<&'static Self, String> {
        static SHARED: OnceLock<Result<Emulator, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            python(Program::Ministack)?;
            Ok(Self::start(Program::Ministack, true, false).expect("an emulator"))
        });
        shared.as_ref().map_err(Clone::clone)
    }

    /// A ministack of its own. It keeps what it holds over [`Emulator::stop`], but for objects.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn ministack() -> Result<Self, String> {
        Self::start(Program::Ministack, false, false)
    }

    /// A ministack of its own that keeps objects as well.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn ministack_with_disk() -> Result<Self, String> {
        Self::start(Program::Ministack, false, true)
    }

    /// A LocalStack of its own, with SNS, SQS, S3 and STS.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn localstack() -> Result<Self, String> {
        Self::start(Program::LocalStack, false, false)
    }

    fn start(program: Program, is_shared: bool, is_kept: bool) -> Result<Self, String> {
        python(program)?;
        let text = |error: std::io::Error| error.to_string();
        let folder = tempfile::tempdir().map_err(text)?.keep();
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let emulator = Self {
            program,
            port: port.map_err(text)?.port(),
            folder,
            is_shared,
            keeps_objects: is_kept,
            running: Mutex::default(),
        };
        emulator.run()?;
        Ok(emulator)
    }

    /// Starts it again, where it was before.
    ///
    /// # Errors
    /// It does not start.
    pub fn run(&self) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let address = format!("127.0.0.1:{}", self.port);
        // It ends with whoever holds the other end of the pipe.
        let script = "\"$0\" \"$@\" </dev/null & server=$!; cat >/dev/null; kill $server 2>/dev/null; wait $server; \
                      [ -z \"$REMOVE\" ] || rm -rf -- \"$REMOVE\"";
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script])
            .arg(python(self.program)?)
            .arg("-m");
        match self.program {
            Program::Ministack => {
                shell.args(["hypercorn", "ministack.app:app", "--bind", &address]);
                shell.args(["--keep-alive", "75", "--access-logfile"]);
                shell.arg(self.folder.join("access"));
                // Method, path, status; SQS's verb, and what the client says of itself.
                let format = "%(m)s %(U)s %(s)s %({x-amz-target}i)s %({user-agent}i)s";
                shell.args(["--access-logformat", format]);
                shell.env("GATEWAY_PORT", self.port.to_string());
                shell.env("PERSIST_STATE", "1");
                shell.env("STATE_DIR", self.folder.join("state"));
                if self.keeps_objects {
                    shell.env("S3_PERSIST", "1");
                    shell.env("S3_DATA_DIR", self.folder.join("objects"));
                }
            }
            Program::LocalStack => {
                shell.arg("localstack.runtime.main");
                shell.env("GATEWAY_LISTEN", &address);
                shell.env("SERVICES", "sns,sqs,s3,sts");
                shell
                    .env("DISABLE_EVENTS", "1")
                    .env("SKIP_SSL_CERT_DOWNLOAD", "1");
                shell.env("FILESYSTEM_ROOT", &self.folder);
            }
        }
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .map_err(text)?;
        if self.is_shared {
            shell.env("REMOVE", &self.folder);
        }
        shell.env("TMPDIR", &self.folder).current_dir(&self.folder);
        shell.stdin(Stdio::piped());
        shell.stdout(log.try_clone().map_err(text)?).stderr(log);
        let mut child = shell.spawn().map_err(text)?;
        let pipe = child.stdin.take().ok_or("no pipe")?;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some((child, pipe));
        let started = Instant::now();
        while !self.is_ready() {
            if started.elapsed() > START_TIMEOUT {
                let program = self.program;
                return Err(format!("{program:?} does not start: {}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Stops it with SIGTERM, and waits until it is gone.
    pub fn stop(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((mut child, pipe)) = running.take() {
            drop(pipe);
            let _ = child.wait();
        }
    }

    fn is_ready(&self) -> bool {
        let path = match self.program {
            Program::Ministack => "GET /_ministack/health",
            Program::LocalStack => "GET /_localstack/health",
        };
        self.request(path, "", "")
            .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Makes a bucket of `us-east-1`, in the account of who says nothing else.
    ///
    /// # Errors
    /// The emulator refuses it.
    pub fn create_bucket(&self, name: &str) -> Result<(), String> {
        let answer = self.request(&format!("PUT /{name}"), "", "")?;
        match answer.starts_with("HTTP/1.1 200") {
            true => Ok(()),
            false => Err(format!("bucket {name}: {answer}")),
        }
    }

    /// Puts an object under any key, also one that clients would write otherwise on its way, such as `a/../b`.
    ///
    /// # Errors
    /// The emulator refuses it.
    pub fn put_object(&self, bucket: &str, key: &str, body: &str) -> Result<(), String> {
        let key: String = key
            .bytes()
            .map(|byte| match byte {
                b'/' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).into(),
                byte => format!("%{byte:02X}"),
            })
            .collect();
        let answer = self.request(&format!("PUT /{bucket}/{key}"), "", body)?;
        match answer.starts_with("HTTP/1.1 200") {
            true => Ok(()),
            false => Err(format!("{bucket}/{key}: {answer}")),
        }
    }

    /// What an object of such a bucket holds.
    ///
    /// # Errors
    /// There is none.
    pub fn object(&self, bucket: &str, key: &str) -> Result<String, String> {
        let answer = self.request(
            &format!("GET /{bucket}/{}", key.replace('=', "%3D")),
            "",
            "",
        )?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
            _ => Err(format!("{bucket}/{key}: {answer}")),
        }
    }

    /// What it answers to a call of SQS, with JSON in and out.
    ///
    /// # Errors
    /// It refuses the call.
    pub fn sqs(&self, verb: &str, body: &str) -> Result<String, String> {
        let headers = format!(
            "X-Amz-Target: AmazonSQS.{verb}\r\nContent-Type: application/x-amz-json-1.0\r\n"
        );
        let answer = self.request("POST /", &headers, body)?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
            _ => Err(format!("{verb}: {answer}")),
        }
    }

    /// What it answers to a request without signature, which it does not ask for.
    fn request(&self, line: &str, headers: &str, body: &str) -> Result<String, String> {
        let text = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(text)?;
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .map_err(text)?;
        let request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).map_err(text)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(text)?;
        Ok(answer)
    }

    /// Whether it is LocalStack.
    pub fn is_localstack(&self) -> bool {
        self.program == Program::LocalStack
    }

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The processes of Lambdas that it runs now, by their ids.
    pub fn functions(&self) -> Vec<u32> {
        let is_function = |pid: &u32| {
            let folder = std::fs::read_link(format!("/proc/{pid}/cwd"));
            let program = std::fs::read_link(format!("/proc/{pid}/exe"));
            folder.is_ok_and(|folder| folder.starts_with(&self.folder))
                && program.is_ok_and(|program| program.to_string_lossy().contains("bootstrap"))
        };
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(is_function).collect()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Its log of requests, of ministack: a line each, with method, path, status, SQS's verb and the client.
    pub fn requests(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join("access")).unwrap_or_default();
        // Before it stand time, process and level, in brackets.
        let line = |line: &str| {
            line.rsplit_once("[INFO] ")
                .map(|(_, request)| request.to_owned())
        };
        text.lines().filter_map(line).collect()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
