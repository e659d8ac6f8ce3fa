//! The frames between the two processes: a byte for the kind, four for the length, and the content.

use crate::engine::EngineError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// To the engine, JSON: its settings ([`super::supervisor::Setup`]).
    Setup = 1,
    /// From the engine, JSON: it is ready ([`super::supervisor::Ready`]).
    Ready = 2,
    /// To the engine, empty: close the warehouse, which no work uses.
    Close = 3,
    /// From the engine, empty: the warehouse is closed.
    Closed = 4,
    /// To the engine, empty, together with a socket for the frames of one work.
    Socket = 5,
    /// To the engine, JSON: a work to run.
    Work = 10,
    /// From the engine, JSON: whether the work only reads.
    Begun = 11,
    /// From the engine, JSON: the columns of the answer ([`super::batches::Columns`]). Earlier rows are void.
    Columns = 12,
    /// From the engine: rows, as part of a stream in Arrow's IPC format.
    Rows = 13,
    /// From the engine, JSON: the work ran; its outcome without the rows.
    Ran = 14,
    /// From the engine, text: the stored answer to the same request.
    Answered = 15,
    /// From the engine, JSON: an [`EngineError`].
    Failed = 16,
    /// To the engine, text: commit, and store this answer.
    Commit = 17,
    /// From the engine, empty: the commit is durable.
    Committed = 18,
    /// To the engine, JSON: count the rows of these tables. From the engine, JSON: the counts.
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

/// The most bytes of a frame. Rows are sent in far smaller parts, so this program did not write a larger frame.
pub(super) const BYTES_MAX: usize = 1 << 30;

/// The first allocation for a frame. Memory grows as its bytes arrive.
const FIRST_BYTES_MAX: usize = 1 << 20;

const HEAD: usize = 5;

/// Writes a frame.
///
/// # Errors
/// The other side has closed the connection, or the frame is too large.
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

/// Reads a frame; `None` if the other side closed the connection between two frames.
///
/// # Errors
/// The connection was closed within a frame, or the frame is malformed.
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

/// Parses the JSON of a frame.
///
/// # Errors
/// The content is not valid JSON of this type.
pub(super) fn json<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(io::Error::from)
}

/// Reads the text of a frame.
///
/// # Errors
/// The content is not UTF-8.
pub(super) fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// An error of the engine, in its form on the wire.
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
