//! What the two processes say to each other: a byte that tells what it is, four that tell how long it is, and the bytes.

use crate::engine::EngineError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// To the engine, as JSON: what it may use ([`super::supervisor::Setup`]).
    Setup = 1,
    /// From it, as JSON: it is ready ([`super::supervisor::Ready`]).
    Ready = 2,
    /// To it, nothing: close the warehouse, which nobody uses.
    Close = 3,
    /// From it, nothing: the warehouse is closed.
    Closed = 4,
    /// To it, nothing, with a socket beside it on which one work is talked about.
    Socket = 5,
    /// To it, as JSON: a work that is to be run.
    Work = 10,
    /// From it, as JSON: whether the work only reads.
    Begun = 11,
    /// From it, as JSON: the columns of the answer ([`super::batches::Columns`]). Rows that came before are void.
    Columns = 12,
    /// From it: rows, as a part of a stream in Arrow's IPC format.
    Rows = 13,
    /// From it, as JSON: the work was run; all but the rows of its outcome.
    Ran = 14,
    /// From it, text: the same request was answered before, with this.
    Answered = 15,
    /// From it, as JSON: an [`EngineError`].
    Failed = 16,
    /// To it, text: commit, and keep this answer.
    Commit = 17,
    /// From it, nothing: it is durable.
    Committed = 18,
    /// To it, as JSON: count the rows of these tables. From it, as JSON: the counts.
    Counts = 19,
}

impl Kind {
    const ALL: [Self; 15] = [
        Self::Setup,
        Self::Ready,
        Self::Close,
        Self::Closed,
        Self::Socket,
        Self::Work,
        Self::Begun,
        Self::Columns,
        Self::Rows,
        Self::Ran,
        Self::Answered,
        Self::Failed,
        Self::Commit,
        Self::Committed,
        Self::Counts,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Most bytes of a frame. Rows are sent in parts of far less; what is larger was not written by this program.
pub(super) const BYTES_MAX: usize = 1 << 30;

/// Memory is taken for a frame as its bytes arrive, so much at first.
const FIRST_BYTES_MAX: usize = 1 << 20;

const HEAD: usize = 5;

/// Writes a frame.
///
/// # Errors
/// Nobody reads any more, or the frame is too large.
pub(super) fn write(to: &mut impl Write, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).ok();
    let length = length.filter(|_| bytes.len() <= BYTES_MAX);
    let length = length.ok_or_else(|| invalid("a frame is too large"))?;
    let mut head = [0; HEAD];
    head[0] = kind as u8;
    head[1..].copy_from_slice(&length.to_le_bytes());
    if bytes.len() <= 4_096 {
        let mut whole = Vec::with_capacity(HEAD + bytes.len());
        whole.extend_from_slice(&head);
        whole.extend_from_slice(bytes);
        return to.write_all(&whole);
    }
    to.write_all(&head)?;
    to.write_all(bytes)
}

/// Writes a frame of JSON.
///
/// # Errors
/// As [`write`].
pub(super) fn write_json(
    to: &mut impl Write,
    kind: Kind,
    value: &impl Serialize,
) -> io::Result<()> {
    write(to, kind, &serde_json::to_vec(value)?)
}

/// Reads a frame; `None` where the other side has ended between two.
///
/// # Errors
/// It ended within one, or what it sent is none.
pub(super) fn read(from: &mut impl Read) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut head = [0; HEAD];
    let mut have = 0;
    while have < HEAD {
        match from.read(&mut head[have..]) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => have += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let kind = Kind::of(head[0]).ok_or_else(|| invalid("a frame of an unknown kind"))?;
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    let length = usize::try_from(length).map_err(|_| invalid("a frame is too large"))?;
    if length > BYTES_MAX {
        return Err(invalid("a frame is too large"));
    }
    let mut bytes = Vec::with_capacity(length.min(FIRST_BYTES_MAX));
    from.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((kind, bytes)))
}

/// The JSON of a frame.
///
/// # Errors
/// It is none.
pub(super) fn json<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(io::Error::from)
}

/// The text of a frame.
///
/// # Errors
/// It is none.
pub(super) fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// An error of the engine, as it is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failed(pub(super) EngineError);

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_are_read_as_they_were_written(
            frames in proptest::collection::vec((0..Kind::ALL.len(), proptest::collection::vec(any::<u8>(), 0..9_000)), 0..6)
        ) {
            let mut wire = Vec::new();
            for (kind, bytes) in &frames {
                write(&mut wire, Kind::ALL[*kind], bytes).expect("memory takes all");
            }
            let mut from = &wire[..];
            for (kind, bytes) in frames {
                prop_assert_eq!(read(&mut from).expect("a frame"), Some((Kind::ALL[kind], bytes)));
            }
            prop_assert!(read(&mut from).expect("an end").is_none());
        }

        #[test]
        fn whatever_is_read_is_a_frame_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut from = &bytes[..];
            while let Ok(Some(_)) = read(&mut from) {}
        }
    }

    #[test]
    fn a_frame_that_is_cut_off_is_an_error() {
        let mut wire = Vec::new();
        write(&mut wire, Kind::Commit, b"an answer").expect("memory takes all");
        for length in 1..wire.len() {
            assert!(read(&mut &wire[..length]).is_err(), "{length}");
        }
    }
}
