//! What a Lambda costs at its start: the packages of `cargo xtask lambda`, beside the Runtime API of `cargo lambda`.

use crate::Outcome;
use crate::figures::{Figures, percentile};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `cargo lambda` knows functions by the programs of the workspace.
const FUNCTION: &str = "pudato-lambda";
const STARTS: usize = 15;
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Settings of a Lambda; nothing of them is called before its first message.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("PUDATO_FABRIC", "aws"),
    (
        "PUDATO_RESULTS_TOPIC_ARN",
        "arn:aws:sns:us-east-1:000000000000:pudato-results",
    ),
    (
        "PUDATO_EVENTS_TOPIC_ARN",
        "arn:aws:sns:us-east-1:000000000000:pudato-events",
    ),
    (
        "REGISTRY_DATABASE_URL",
        "postgres://pudato@127.0.0.1:1/pudato",
    ),
    ("PUDATO_CONTAINERS", "lake=s3://lake"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
];

pub fn measure(figures: &mut Figures) -> Outcome<()> {
    let folder = packages()?;
    let api = Api::start()?;
    let zip = std::fs::metadata(folder.join("core.zip"))?;
    figures.figure("lambda.zip_mb", zip.len() as f64 / 1e6, "MB");
    let zip = std::fs::metadata(folder.join("query.zip"))?;
    figures.figure("lambda.query_zip_mb", zip.len() as f64 / 1e6, "MB");
    let (init, rss) = starts(&folder.join("core"), "storage", &api)?;
    figures.figure("lambda.init_ms", init, "ms");
    figures.figure("lambda.rss_mb", rss, "MB");
    let (init, rss) = starts(&folder.join("query"), "query", &api)?;
    figures.figure("lambda.query_init_ms", init, "ms");
    figures.figure("lambda.query_rss_mb", rss, "MB");
    Ok(())
}

/// Where `cargo xtask lambda` put them: beside the release that this belongs to.
fn packages() -> Outcome<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or("no target folder")?;
    Ok(target.join("packages"))
}

/// The medians of time from the program's start to its first question for an event, in milliseconds, and of the memory that it
/// holds after it answered one, in MB.
fn starts(package: &Path, kind: &str, api: &Api) -> Outcome<(f64, f64)> {
    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let mut program = Command::new(package.join("bootstrap"));
        for name in ["HOME", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_ENDPOINT_URL"] {
            program.env_remove(name);
        }
        program.envs(ENVIRONMENT).env("HANDLER_TYPE", kind);
        program.env(
            "AWS_LAMBDA_RUNTIME_API",
            format!("http://127.0.0.1:{}/.rt/{FUNCTION}", api.port),
        );
        for (name, value) in [
            ("AWS_LAMBDA_FUNCTION_NAME", FUNCTION),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "log"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "log"),
        ] {
            program.env(name, value);
        }
        // Lambda's loader looks beside the program as well (its developer guide, "Defined runtime environment variables").
        program.env("LD_LIBRARY_PATH", package);
        if kind == "query" {
            let library = std::env::current_exe()?.with_file_name("libduckdb.so");
            let beside = package.join("libduckdb.so");
            if !beside.exists() {
                std::fs::copy(library, beside)?;
            }
        }
        let started = Instant::now();
        let running = Running(
            program
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?,
        );
        // It has asked for its first event when it waits on a connection to the API.
        let pid = running.0.id();
        wait(|| is_connected(pid, api.port))?;
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
        invoke(api, kind)?;
        sizes.push(crate::idle::resident_mb(pid)?);
    }
    Ok((percentile(&mut times, 0.5), percentile(&mut sizes, 0.5)))
}

/// An event without messages; the program has done everything but its handler's work then.
fn invoke(api: &Api, kind: &str) -> Outcome<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", api.port))?;
    let request = format!(
        "POST /2015-03-31/functions/{FUNCTION}/invocations HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    // There is no queue here, so the function says that it cannot ask it; by then it has loaded all that it calls AWS with.
    match answer.contains("-queue: ") {
        true => Ok(()),
        false => Err(format!("{kind} answers: {answer}").into()),
    }
}

/// Whether the process has a connection to the port: among the sockets of its network (proc(5), `net/tcp`) one of its own.
fn is_connected(pid: u32, port: u16) -> bool {
    let Ok(table) = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")) else {
        return false;
    };
    let suffix = format!(":{port:04X}");
    let inodes: Vec<&str> = table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_ours = fields.get(2)?.ends_with(&suffix) && fields.get(3) == Some(&"01");
            is_ours.then(|| fields.get(9).copied()).flatten()
        })
        .collect();
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        let link = std::fs::read_link(file.path()).unwrap_or_default();
        let link = link.to_string_lossy();
        inodes
            .iter()
            .any(|inode| link == format!("socket:[{inode}]"))
    })
}

fn wait(is_so: impl Fn() -> bool) -> Outcome<()> {
    let started = Instant::now();
    while !is_so() {
        if started.elapsed() > WAIT_MAX {
            return Err("the function does not start".into());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The Runtime API alone.
struct Api {
    port: u16,
    _running: Running,
}

impl Api {
    fn start() -> Outcome<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut watch = Command::new(root.join(".venv/bin/cargo-lambda"));
        watch.args(["lambda", "watch", "--only-lambda-apis"]);
        watch.args([
            "--invoke-address",
            "127.0.0.1",
            "--invoke-port",
            &port.to_string(),
        ]);
        watch.current_dir(root.join("crates/runtime"));
        let running = watch.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let running = running
            .map_err(|error| format!("cargo-lambda: {error}; `cargo xtask test` installs it"))?;
        let api = Self {
            port,
            _running: Running(running),
        };
        wait(|| TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(api)
    }
}
