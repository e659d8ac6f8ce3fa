//! Opens the text of a source: uncompressed, and in UTF-8.

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8};
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read};
use std::path::Path;

/// The number of bytes to read at once.
const PART_BYTES: usize = 1 << 16;

/// The text of a file.
pub(super) struct Opened {
    pub(super) text: Box<dyn Read>,
    /// Whether the file has an encoding other than UTF-8.
    pub(super) is_decoded: bool,
}

/// Opens a file, which is compressed if its extension says so; `encoding` is a name from the WHATWG's list.
///
/// # Errors
/// The file cannot be read.
pub(super) fn open(file: &Path, encoding: Option<&str>) -> io::Result<Opened> {
    let plain = BufReader::with_capacity(PART_BYTES, File::open(file)?);
    let name = file.to_str().unwrap_or_default();
    let mut unpacked: Box<dyn Read> = match crate::format::compression(name) {
        Some(".gz") => Box::new(MultiGzDecoder::new(plain)),
        Some(_) => Box::new(Frames::new(plain)),
        None => Box::new(plain),
    };
    let mut mark = Vec::new();
    unpacked.by_ref().take(3).read_to_end(&mut mark)?;
    let marked = Encoding::for_bom(&mark);
    let encoding = match (encoding, marked) {
        (Some(name), _) => Encoding::for_label(name.as_bytes()).unwrap_or(UTF_8),
        (None, Some((marked, _))) => marked,
        (None, None) => UTF_8,
    };
    let whole = Cursor::new(mark).chain(unpacked);
    if encoding == UTF_8 {
        return Ok(Opened {
            text: Box::new(without_mark(whole)?),
            is_decoded: false,
        });
    }
    Ok(Opened {
        text: Box::new(Decoded {
            from: Box::new(whole),
            decoder: encoding.new_decoder(),
            bytes: Vec::new(),
            text: Vec::new(),
            at: 0,
            is_over: false,
        }),
        is_decoded: true,
    })
}

type Whole = Chain<Cursor<Vec<u8>>, Box<dyn Read>>;

fn without_mark(mut whole: Whole) -> io::Result<Whole> {
    let (mark, _) = whole.get_mut();
    if mark.get_ref().as_slice() == b"\xef\xbb\xbf" {
        mark.set_position(3);
    }
    Ok(whole)
}

/// Reads the frames of a Zstandard file one after the other.
struct Frames {
    decoder: Option<StreamingDecoder<BufReader<File>, ruzstd::decoding::FrameDecoder>>,
    rest: Option<BufReader<File>>,
}

impl Frames {
    fn new(file: BufReader<File>) -> Self {
        Self {
            decoder: None,
            rest: Some(file),
        }
    }
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::io::BufRead;
        loop {
            if let Some(decoder) = &mut self.decoder {
                let length = decoder.read(buffer)?;
                if length > 0 || buffer.is_empty() {
                    return Ok(length);
                }
                self.rest = self.decoder.take().map(StreamingDecoder::into_inner);
            }
            let Some(mut rest) = self.rest.take() else {
                return Ok(0);
            };
            if rest.fill_buf()?.is_empty() {
                return Ok(0);
            }
            let decoder = StreamingDecoder::new(rest);
            self.decoder = Some(decoder.map_err(io::Error::other)?);
        }
    }
}

/// Decodes a text in another encoding.
struct Decoded {
    from: Box<dyn Read>,
    decoder: Decoder,
    bytes: Vec<u8>,
    text: Vec<u8>,
    at: usize,
    is_over: bool,
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text.len() {
            if self.is_over {
                return Ok(0);
            }
            self.bytes.resize(PART_BYTES, 0);
            let length = self.from.read(&mut self.bytes)?;
            self.is_over = length == 0;
            self.decode(length)?;
        }
        let length = buffer.len().min(self.text.len() - self.at);
        buffer[..length].copy_from_slice(&self.text[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

impl Decoded {
    fn decode(&mut self, length: usize) -> io::Result<()> {
        let room = self.decoder.max_utf8_buffer_length(length);
        self.text.resize(room.unwrap_or(PART_BYTES * 4), 0);
        let (bytes, last) = (&self.bytes[..length], self.is_over);
        let (result, _, written, had_errors) =
            self.decoder.decode_to_utf8(bytes, &mut self.text, last);
        if had_errors || result == CoderResult::OutputFull {
            let name = self.decoder.encoding().name();
            let what = format!("the file is not entirely in {name}; set another `encoding`");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        self.text.truncate(written);
        self.at = 0;
        Ok(())
    }
}
