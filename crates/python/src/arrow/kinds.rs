//! The types of columns, parsed from DuckDB's notation.

use super::cells::{self, Cells};
use super::nested::{Lists, Maps, Structs};
use arrow_schema::TimeUnit;

/// The Arrow type of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Integer {
        bits: u8,
        is_signed: bool,
    },
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Date,
    Time(TimeUnit),
    Timestamp {
        unit: TimeUnit,
        has_zone: bool,
    },
    Blob,
    List(Box<Kind>),
    Array(Box<Kind>, i32),
    Struct(Vec<(String, Kind)>),
    Map(Box<Kind>, Box<Kind>),
    /// Strings. Not exact if the DuckDB type is one that Arrow or its readers do not have.
    Text {
        is_exact: bool,
    },
}

impl Kind {
    /// The kind of a type, by its name in an answer. Unknown types become strings.
    pub(super) fn of(name: &str) -> Self {
        let mut reader = Reader { rest: name };
        match reader.kind() {
            Some(kind) if reader.rest.is_empty() => kind,
            _ => Self::Text { is_exact: false },
        }
    }

    /// Whether Arrow can represent the type, so that no value becomes a string.
    pub(super) fn is_exact(&self) -> bool {
        match self {
            Self::Text { is_exact } => *is_exact,
            Self::List(item) | Self::Array(item, _) => item.is_exact(),
            Self::Struct(members) => members.iter().all(|(_, kind)| kind.is_exact()),
            Self::Map(key, value) => key.is_exact() && value.is_exact(),
            _ => true,
        }
    }

    /// Reserves room for `count` values.
    pub(super) fn cells(&self, count: usize) -> Box<dyn Cells> {
        match self {
            Self::Null => Box::new(cells::Nulls::default()),
            Self::Boolean => cells::booleans(count),
            Self::Integer { bits, is_signed } => cells::integers(*bits, *is_signed, count),
            Self::Float => cells::floats(count),
            Self::Double => cells::doubles(count),
            Self::Decimal { precision, scale } => cells::decimals(*precision, *scale, count),
            Self::Date => cells::dates(count),
            Self::Time(unit) => cells::times(*unit, count),
            Self::Timestamp { unit, has_zone } => cells::timestamps(*unit, *has_zone, count),
            Self::Blob => cells::blobs(count),
            Self::List(item) => Box::new(Lists::new(item.cells(count), None)),
            Self::Array(item, length) => Box::new(Lists::new(item.cells(count), Some(*length))),
            Self::Struct(members) => {
                let members = members.iter();
                let members = members.map(|(name, kind)| (name.clone(), kind.cells(count)));
                Box::new(Structs::new(members.collect()))
            }
            Self::Map(key, value) => Box::new(Maps::new(key.cells(count), value.cells(count))),
            Self::Text { .. } => cells::texts(count),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn kind(&mut self) -> Option<Kind> {
        let mut kind = self.base()?;
        while self.take("[") {
            let end = self.rest.find(']')?;
            let length = &self.rest[..end];
            kind = match length {
                "" => Kind::List(Box::new(kind)),
                length => Kind::Array(Box::new(kind), length.parse().ok()?),
            };
            self.rest = &self.rest[end + 1..];
        }
        Some(kind)
    }

    fn base(&mut self) -> Option<Kind> {
        let end = self.rest.find(['(', ')', '[', ',']);
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        let integer = |bits, is_signed| Kind::Integer { bits, is_signed };
        let timestamp = |unit, has_zone| Kind::Timestamp { unit, has_zone };
        Some(match name {
            "NULL" => Kind::Null,
            "BOOLEAN" => Kind::Boolean,
            "TINYINT" => integer(8, true),
            "SMALLINT" => integer(16, true),
            "INTEGER" => integer(32, true),
            "BIGINT" => integer(64, true),
            "UTINYINT" => integer(8, false),
            "USMALLINT" => integer(16, false),
            "UINTEGER" => integer(32, false),
            "UBIGINT" => integer(64, false),
            // The widest integer that readers of Arrow know; wider ones become strings.
            "HUGEINT" => Kind::Decimal {
                precision: 38,
                scale: 0,
            },
            "FLOAT" => Kind::Float,
            "DOUBLE" => Kind::Double,
            "DATE" => Kind::Date,
            "TIME" => Kind::Time(TimeUnit::Microsecond),
            "TIME_NS" => Kind::Time(TimeUnit::Nanosecond),
            "TIMESTAMP" => timestamp(TimeUnit::Microsecond, false),
            "TIMESTAMP_S" => timestamp(TimeUnit::Second, false),
            "TIMESTAMP_MS" => timestamp(TimeUnit::Millisecond, false),
            "TIMESTAMP_NS" => timestamp(TimeUnit::Nanosecond, false),
            "TIMESTAMP WITH TIME ZONE" => timestamp(TimeUnit::Microsecond, true),
            "BLOB" => Kind::Blob,
            "VARCHAR" | "JSON" | "UUID" | "ENUM" => Kind::Text { is_exact: true },
            "DECIMAL" => {
                let (precision, scale) = self.inside()?.split_once(',')?;
                Kind::Decimal {
                    precision: precision.trim().parse().ok()?,
                    scale: scale.trim().parse().ok()?,
                }
            }
            "STRUCT" => Kind::Struct(self.members()?),
            "MAP" => {
                let (open, key) = (self.take("("), self.kind()?);
                let (comma, value) = (self.take(", "), self.kind()?);
                if !(open && comma && self.take(")")) {
                    return None;
                }
                Kind::Map(Box::new(key), Box::new(value))
            }
            "UNION" => {
                self.members()?;
                Kind::Text { is_exact: false }
            }
            // INTERVAL, TIMETZ, UHUGEINT, BIT, BIGNUM, GEOMETRY, and user-defined types.
            _ => Kind::Text { is_exact: false },
        })
    }

    fn take(&mut self, begin: &str) -> bool {
        let rest = self.rest.strip_prefix(begin);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Returns the text between parentheses, without nested ones.
    fn inside(&mut self) -> Option<&'a str> {
        let (inside, rest) = self.rest.strip_prefix('(')?.split_once(')')?;
        self.rest = rest;
        Some(inside)
    }

    /// `(name TYPE, "another name" TYPE)`.
    fn members(&mut self) -> Option<Vec<(String, Kind)>> {
        if !self.take("(") {
            return None;
        }
        let mut members = Vec::new();
        loop {
            let name = self.name()?;
            if !self.take(" ") {
                return None;
            }
            members.push((name, self.kind()?));
            if self.take(")") {
                return Some(members);
            }
            if !self.take(", ") {
                return None;
            }
        }
    }

    fn name(&mut self) -> Option<String> {
        if !self.take("\"") {
            let (name, _) = self.rest.split_once(' ')?;
            self.rest = &self.rest[name.len()..];
            return Some(name.to_owned());
        }
        let mut name = String::new();
        loop {
            let (part, rest) = self.rest.split_once('"')?;
            name.push_str(part);
            self.rest = rest;
            if !self.take("\"") {
                return Some(name);
            }
            name.push('"');
        }
    }
}
