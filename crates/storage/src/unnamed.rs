//! Entries of a container that no command can name: a key with `//`, the marker `raw/` that the S3 console creates for a folder, a
//! link. A listing must not fail because of them, nor show them under a wrong name. The stores encode such a name below a folder that cannot
//! contain objects, and [`of`] decodes it again.

use crate::folder::STAGED;
use crate::key;
use object_store::path::Path;
use serde_json::json;

/// The most names in a note.
const NAMED_MAX: usize = 3;

fn folder() -> String {
    format!("{STAGED}unnamed/")
}

/// The encoded form of a name, which the object store can carry.
pub(crate) fn carried(name: &[u8]) -> String {
    let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    folder() + &hex
}

/// Decodes a name; `None` if it is that of an object.
pub(crate) fn of(location: &Path) -> Option<Vec<u8>> {
    let hex = location.as_ref().strip_prefix(&folder())?;
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    };
    hex.as_bytes().chunks(2).map(byte).collect()
}

/// The entries that a listing left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// The number of entries.
    pub count: u64,
    /// The first entries, each with the reason.
    pub first: Vec<String>,
}

impl Skipped {
    pub(crate) fn add(&mut self, name: &str) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first
                .push(format!("{} ({})", json!(name), reason(name)));
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.count += other.count;
        let room = NAMED_MAX - self.first.len();
        self.first.extend(other.first.into_iter().take(room));
    }

    /// A note for people about what the listing left out; `None` if it left out nothing.
    pub(crate) fn note(&self) -> Option<String> {
        let more = match self.count - self.first.len() as u64 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let names = self.first.join(", ");
        (self.count > 0).then(|| {
            format!(
                "left out {} that no command can name: {names}{more}",
                self.count
            )
        })
    }
}

fn reason(name: &str) -> String {
    match name.strip_suffix('/') {
        Some(folder) if key::check(folder).is_ok() => "a folder marker".into(),
        _ if name.contains(char::REPLACEMENT_CHARACTER) => "its name is not UTF-8".into(),
        _ => key::check(name)
            .err()
            .unwrap_or_else(|| "it is not a regular file".into()),
    }
}

/// The body of an S3 listing, with every key that is not a valid object name replaced by its encoded form. The object store would refuse
/// the whole listing because of one such key, and would report the marker `raw/` as an object `raw`.
#[cfg(feature = "s3")]
pub(crate) fn carry(body: &str) -> String {
    const KEY: (&str, &str) = ("<Key>", "</Key>");
    let mut carry = String::with_capacity(body.len());
    let mut rest = body;
    while let Some((before, after)) = rest.split_once(KEY.0) {
        let Some((key, after)) = after.split_once(KEY.1) else {
            break;
        };
        carry += before;
        carry += KEY.0;
        match quick_xml::escape::unescape(key) {
            Ok(name) if key::check(&name).is_ok() => carry += key,
            Ok(name) => carry += &carried(name.as_bytes()),
            Err(_) => carry += &carried(key.as_bytes()),
        }
        carry += KEY.1;
        rest = after;
    }
    carry + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_carried_and_found_again() {
        for name in [&b"a//b"[..], b"raw/", b"\xff\x00", b"../x"] {
            let carried = carried(name);
            let path = Path::parse(&carried).expect("a path");
            assert_eq!(path.as_ref(), carried);
            assert!(key::check(&carried).is_err(), "no object is called so");
            assert_eq!(of(&path).as_deref(), Some(name));
        }
        assert_eq!(of(&Path::from("raw/a")), None);
    }

    #[test]
    fn what_is_left_out_is_told_with_what_is_in_the_way() {
        let mut skipped = Skipped::default();
        assert_eq!(skipped.note(), None);
        for name in ["raw/", "a\tb", "x\u{fffd}", "pipe", "//"] {
            skipped.add(name);
        }
        let note = skipped.note().expect("a note");
        assert!(
            note.starts_with("left out 5 that no command can name: \"raw/\" (a folder marker), \"a\\tb\" (backslashes"),
            "{note}"
        );
        assert!(note.ends_with(" and 2 more"), "{note}");
    }

    #[cfg(feature = "s3")]
    #[test]
    fn only_keys_that_are_no_names_are_replaced() {
        let body = "<A><Contents><Key>a&amp;b</Key><Size>1</Size></Contents>\
                    <Contents><Key>a&#x9;b</Key></Contents><Contents><Key>raw/</Key></Contents></A>";
        let expected = format!(
            "<A><Contents><Key>a&amp;b</Key><Size>1</Size></Contents>\
             <Contents><Key>{}</Key></Contents><Contents><Key>{}</Key></Contents></A>",
            carried(b"a\tb"),
            carried(b"raw/")
        );
        assert_eq!(carry(body), expected);
    }
}
