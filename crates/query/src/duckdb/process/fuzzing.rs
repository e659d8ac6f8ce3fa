//! The conversation between the two processes, in which one of them sends arbitrary bytes.

use super::batches::ReceivedRows;
use super::frame::{self, Kind};
use super::server;
use super::supervisor::{Ready, Setup};
use super::worker_message::{WorkerMessage, read_message};
use crate::duckdb::local::Local;
use crate::duckdb::lockdown::Lockdown;
use crate::duckdb::rows::JsonRows;
use crate::duckdb::warehouse::Place;
use crate::engine::Work;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Reads frames as the worker if the first byte is even, and otherwise as the engine's process. Every input must be understood or be an
/// error, and the worker must understand the engine's answers.
///
/// # Panics
/// If this does not hold.
pub fn frames(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else {
        return;
    };
    match first & 1 {
        0 => {
            let _ = worker(&mut &bytes[..]);
        }
        _ => engine(bytes),
    }
}

/// Reads the messages of the engine's process as the worker does, and counts the batches of rows.
fn worker(from: &mut impl io::Read) -> io::Result<Option<WorkerMessage>> {
    let mut received = ReceivedRows::default();
    let mut rows = JsonRows::new(1 << 20);
    while let Some((kind, bytes)) = frame::read(from)? {
        let end = match kind {
            Kind::Ready => {
                let ready: Ready = frame::json(&bytes)?;
                let same: Ready = frame::json(&serde_json::to_vec(&ready)?)?;
                assert_eq!(format!("{ready:?}"), format!("{same:?}"));
                continue;
            }
            Kind::Counts => {
                let _: Vec<Option<u64>> = frame::json(&bytes)?;
                continue;
            }
            Kind::Committed | Kind::Closed => continue,
            _ => read_message(kind, bytes, &mut received, &mut rows)?,
        };
        match end {
            WorkerMessage::Begun(_) | WorkerMessage::Part(Ok(())) => {}
            end => return Ok(Some(end)),
        }
    }
    Ok(None)
}

struct Engine {
    local: Arc<Local>,
    runtime: Runtime,
    _folder: TempDir,
}

/// DuckDB in this process, without the sandbox.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let lockdown = Lockdown {
        scratch: folder.path().to_owned(),
        spill: folder.path().to_owned(),
        memory_bytes: 512 << 20,
        spill_bytes: 64 << 20,
        threads: 1,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build();
    Engine {
        local: Local::new(Place::Memory, "duckdb://memory".into(), lockdown),
        runtime: runtime.expect("a runtime"),
        _folder: folder,
    }
});

/// The longest wait for a work.
const WORK_MAX: Duration = Duration::from_secs(5);

/// Sends `bytes` to the engine's process.
fn engine(bytes: &[u8]) {
    if let Ok(Some((Kind::Setup, setup))) = frame::read(&mut &bytes[..]) {
        let _: io::Result<Setup> = frame::json(&setup);
        return;
    }
    let is_work = match frame::read(&mut &bytes[..]) {
        Ok(Some((Kind::Work, work))) => frame::json::<Work>(&work).is_ok(),
        Ok(Some((Kind::Counts, _))) => true,
        _ => false,
    };
    let (mut ours, theirs) = UnixStream::pair().expect("sockets");
    // More than a socket's buffer would block without a reader.
    ours.write_all(&bytes[..bytes.len().min(64 << 10)])
        .expect("said");
    if !is_work {
        ours.shutdown(Shutdown::Write).expect("the end");
    }
    ours.set_read_timeout(Some(WORK_MAX)).expect("a timeout");
    let talks = std::thread::spawn(move || {
        let _ = server::talk(theirs, &ENGINE.local, ENGINE.runtime.handle());
    });
    let said = worker(&mut ours);
    let _ = ours.shutdown(Shutdown::Both);
    assert!(talks.join().is_ok(), "the engine's thread panicked");
    match said {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            panic!("the engine's process said what the worker does not understand: {error}")
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{AnswerTo, Work};
    use crate::{Parameters, Waits};
    use std::path::Path;

    /// Records the bytes that are read.
    struct Heeded<R>(R, Vec<u8>);

    impl<R: io::Read> io::Read for Heeded<R> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(into)?;
            self.1.extend_from_slice(&into[..read]);
            Ok(read)
        }
    }

    /// The answer of the engine's process to a query with many types.
    fn said() -> Vec<u8> {
        let work = Work {
            label: "a work".into(),
            sql: "SELECT 1 AS i, 2::HUGEINT AS h, 1.5::DOUBLE AS d, 2.50 AS n, 'x' AS t, NULL AS z, DATE '2024-01-02' AS e, TIME '12:30:00' AS o, \
                  TIMESTAMPTZ '2024-01-02 03:04:05+00' AS s, INTERVAL 1 DAY AS v, 'a'::BLOB AS b, [1, NULL] AS l, {'a': [1]} AS r, MAP {'k': 1} AS m, \
                  [1, 2]::INTEGER[2] AS f, 'y'::ENUM('x', 'y') AS u, true AS c, 1::UNION(a INTEGER, b VARCHAR) AS q".into(),
            is_script: false,
            parameters: Parameters::None,
            sources: Vec::new(),
            answer_to: AnswerTo::Rows { rows_max: 10, bytes_max: 1 << 20 },
            deadline: Duration::from_secs(30),
            identity: None,
            waits: Waits::default(),
        };
        let (mut ours, theirs) = UnixStream::pair().expect("sockets");
        frame::write_json(&mut ours, Kind::Work, &work).expect("said");
        let talks = std::thread::spawn(move || {
            let _ = server::talk(theirs, &ENGINE.local, ENGINE.runtime.handle());
        });
        let mut heeded = Heeded(&ours, vec![0]);
        let end = worker(&mut heeded).expect("understood");
        assert!(
            matches!(end, Some(WorkerMessage::Ran(_))),
            "the query is answered"
        );
        let bytes = heeded.1;
        ours.shutdown(Shutdown::Both).expect("the end");
        talks.join().expect("no panic");
        bytes
    }

    /// The fuzzer starts with these rows; `PUDATO_WRITE_CORPUS=1` writes the file again.
    #[test]
    fn the_corpus_has_rows_as_the_engine_sends_them() {
        let said = said();
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/engine_protocol/rows");
        if std::env::var_os("PUDATO_WRITE_CORPUS").is_some() {
            std::fs::write(&file, &said).expect("written");
        }
        let kept = std::fs::read(&file).expect("the corpus");
        assert_eq!(kinds(&kept), kinds(&said));
        let end = worker(&mut &kept[1..]).expect("understood");
        assert!(matches!(end, Some(WorkerMessage::Ran(_))));
    }

    fn corpus() -> Vec<u8> {
        let rows =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/engine_protocol/rows");
        std::fs::read(rows).expect("the corpus")
    }

    #[test]
    fn no_byte_of_an_answer_makes_the_worker_panic() {
        let kept = corpus();
        let (mut unreadable, mut understood) = (0, 0);
        for at in 1..kept.len() {
            for byte in [0x7f, 0xff] {
                let mut changed = kept.clone();
                changed[at] = byte;
                match worker(&mut &changed[1..]) {
                    Ok(_) => understood += 1,
                    Err(error) => {
                        let text = error.to_string();
                        unreadable += u32::from(text.contains("rows that cannot be read"));
                    }
                }
            }
        }
        // Arrow does panic on some of these; many others change nothing, or only a value.
        assert!(
            unreadable > 0 && understood > 0,
            "{unreadable} {understood}"
        );
    }

    #[test]
    fn rows_that_are_cut_off_within_a_batch_are_no_answer() {
        let kept = corpus();
        let mut from = &kept[1..];
        let frames = std::iter::from_fn(|| frame::read(&mut from).expect("a frame"));
        let (mut said, mut is_cut) = (Vec::new(), false);
        for (kind, mut bytes) in frames {
            if kind == Kind::Rows {
                bytes.truncate(bytes.len() - 8);
                is_cut = true;
            }
            frame::write(&mut said, kind, &bytes).expect("memory takes all");
        }
        assert!(is_cut);
        let error = worker(&mut &said[..]).err().map(|error| error.kind());
        assert_eq!(error, Some(io::ErrorKind::InvalidData));
    }

    /// The frames have the same kinds; their bytes depend on the version of Arrow.
    fn kinds(bytes: &[u8]) -> Vec<Kind> {
        let mut from = &bytes[1..];
        let frames = std::iter::from_fn(|| frame::read(&mut from).expect("a frame"));
        frames.map(|(kind, _)| kind).collect()
    }
}
