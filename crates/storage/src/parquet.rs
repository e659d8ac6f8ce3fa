//! Reads the number of rows from the footer of a Parquet file, without reading data pages.
//!
//! A footer is one struct in Thrift's compact protocol. Its third field is the number of rows; the fields before it are skipped.

/// The bytes at the start and the end of a file.
const MAGIC: &[u8] = b"PAR1";
/// The field of the footer with the number of rows.
const ROWS: i16 = 3;
/// The deepest nesting of structs. A footer has fewer than ten levels.
const DEPTH_MAX: usize = 32;

/// The number of rows; `None` if the bytes are not a complete Parquet file, or its footer is encrypted.
pub(crate) fn rows(file: &[u8]) -> Option<u64> {
    let inner = file.strip_prefix(MAGIC)?.strip_suffix(MAGIC)?;
    let (inner, length) = inner.split_last_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let footer = &inner[inner.len().checked_sub(length)?..];
    let mut reader = Reader { rest: footer };
    let mut last = 0;
    while let Some((id, kind)) = reader.field(last)? {
        if id == ROWS && kind == Kind::I64 {
            return u64::try_from(reader.integer()?).ok();
        }
        reader.skip(kind, DEPTH_MAX)?;
        last = id;
    }
    None
}

/// The kind of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The header of a field contains its value; in a list it takes one byte.
    Bool,
    Byte,
    /// 16 and 32 bits.
    Integer,
    I64,
    Double,
    Binary,
    List,
    Map,
    Struct,
    Uuid,
}

impl Kind {
    fn of(code: u8) -> Option<Self> {
        Some(match code {
            1 | 2 => Self::Bool,
            3 => Self::Byte,
            4 | 5 => Self::Integer,
            6 => Self::I64,
            7 => Self::Double,
            8 => Self::Binary,
            // Sets have the same form as lists.
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            13 => Self::Uuid,
            _ => return None,
        })
    }
}

/// Reads from the front. Every method returns `None` if the bytes end too early.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn pass(&mut self, count: usize) -> Option<()> {
        self.rest = self.rest.get(count..)?;
        Some(())
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn integer(&mut self) -> Option<i64> {
        let zigzag = self.unsigned()?;
        let half = i64::try_from(zigzag >> 1).ok()?;
        Some(if zigzag & 1 == 0 { half } else { !half })
    }

    /// The next field of a struct: its id and its kind; `Some(None)` at the end of the struct.
    fn field(&mut self, last: i16) -> Option<Option<(i16, Kind)>> {
        let header = self.byte()?;
        if header == 0 {
            return Some(None);
        }
        let kind = Kind::of(header & 0x0f)?;
        let id = match header >> 4 {
            0 => i16::try_from(self.integer()?).ok()?,
            more => last.checked_add(i16::from(more))?,
        };
        Some(Some((id, kind)))
    }

    /// Skips the value of a field.
    fn skip(&mut self, kind: Kind, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            Kind::Bool => Some(()),
            Kind::List => {
                let header = self.byte()?;
                let kind = Kind::of(header & 0x0f)?;
                let count = match header >> 4 {
                    15 => self.unsigned()?,
                    count => u64::from(count),
                };
                (0..count).try_for_each(|_| self.skip_element(kind, depth))
            }
            Kind::Map => {
                let count = self.unsigned()?;
                if count == 0 {
                    return Some(());
                }
                let kinds = self.byte()?;
                let (key, value) = (Kind::of(kinds >> 4)?, Kind::of(kinds & 0x0f)?);
                (0..count).try_for_each(|_| {
                    self.skip_element(key, depth)?;
                    self.skip_element(value, depth)
                })
            }
            Kind::Struct => {
                let mut last = 0;
                while let Some((id, kind)) = self.field(last)? {
                    self.skip(kind, depth)?;
                    last = id;
                }
                Some(())
            }
            Kind::Byte => self.pass(1),
            Kind::Integer | Kind::I64 => self.unsigned().map(|_| ()),
            Kind::Double => self.pass(8),
            Kind::Binary => {
                let length = usize::try_from(self.unsigned()?).ok()?;
                self.pass(length)
            }
            Kind::Uuid => self.pass(16),
        }
    }

    /// Skips an element of a list or a map. Each takes at least one byte, so a wrong count ends with the bytes.
    fn skip_element(&mut self, kind: Kind, depth: usize) -> Option<()> {
        match kind {
            Kind::Bool => self.pass(1),
            other => self.skip(other, depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rows;
    use proptest::prelude::*;

    /// The files that DuckDB 1.5.6 and pyarrow 21 write for three rows of `a INTEGER, b VARCHAR`, and DuckDB's for 70,000.
    const FILES: [(&[u8], u64); 3] = [
        (include_bytes!("parquet/duckdb.parquet"), 3),
        (include_bytes!("parquet/pyarrow.parquet"), 3),
        (include_bytes!("parquet/many.parquet"), 70_000),
    ];

    #[test]
    fn the_footer_tells_the_rows() {
        for (file, expected) in FILES {
            assert_eq!(rows(file), Some(expected));
        }
    }

    #[test]
    fn what_is_cut_or_none_has_no_rows() {
        for (file, _) in FILES {
            for length in (0..file.len()).step_by(1 + file.len() / 500) {
                assert_eq!(rows(&file[..length]), None, "{length}");
            }
        }
        assert_eq!(rows(b"PAR1\x00\x00\x00\x00PAR1"), None);
        assert_eq!(rows(b"PAR1\xff\xff\xff\xffPAR1"), None);
        assert_eq!(rows(b"PAR1"), None);
        assert_eq!(rows(b"a,b\n1,2\n"), None);
    }

    proptest! {
        #[test]
        fn no_footer_takes_long_or_panics(footer in prop::collection::vec(any::<u8>(), 0..300)) {
            let length = u32::try_from(footer.len()).expect("a few bytes");
            let file = [b"PAR1", &footer[..], &length.to_le_bytes(), b"PAR1"].concat();
            let _ = rows(&file);
        }
    }
}
