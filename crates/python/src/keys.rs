//! A cache of object keys as Python strings. Most messages repeat the same keys, and a cached string needs no allocation and no new hash.

use pyo3::prelude::*;
use pyo3::types::PyString;
use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard};

/// The number of cached keys, as a power of two. Each takes 32 bytes, and they suffice for a message with 1,000 keys.
const BITS: u32 = 13;
/// The longest cached key, in bytes.
const LENGTH_MAX: usize = 22;

struct Kept {
    text: Py<PyString>,
    length: u8,
    bytes: [u8; LENGTH_MAX],
}

static KEPT: Mutex<Vec<Option<Kept>>> = Mutex::new(Vec::new());

/// The cached keys. One reader at a time owns them. A second reader, which can run if the first one triggers Python's garbage collection,
/// does without the cache.
pub(crate) struct KeptKeys(RefCell<Option<MutexGuard<'static, Vec<Option<Kept>>>>>);

impl KeptKeys {
    pub(crate) fn take() -> Self {
        let mut kept = KEPT.try_lock().ok();
        if let Some(kept) = kept.as_mut().filter(|kept| kept.is_empty()) {
            kept.resize_with(1 << BITS, || None);
        }
        Self(RefCell::new(kept))
    }

    /// Returns a key as a Python string.
    pub(crate) fn text<'py>(&self, py: Python<'py>, key: &str) -> Bound<'py, PyString> {
        let length = key.len();
        let mut kept = self.0.borrow_mut();
        let place = match kept.as_mut() {
            Some(kept) if length <= LENGTH_MAX => kept.get_mut(place(key.as_bytes())),
            _ => None,
        };
        let Some(place) = place else {
            return PyString::new(py, key);
        };
        if let Some(kept) = place
            && usize::from(kept.length) == length
            && kept.bytes.get(..length) == Some(key.as_bytes())
        {
            return kept.text.bind(py).clone();
        }
        let text = PyString::new(py, key);
        let mut bytes = [0; LENGTH_MAX];
        bytes[..length].copy_from_slice(key.as_bytes());
        *place = u8::try_from(length).ok().map(|length| Kept {
            text: text.clone().unbind(),
            length,
            bytes,
        });
        text
    }
}

/// The slot of a key. If two keys share a slot, each replaces the other.
fn place(key: &[u8]) -> usize {
    let (first, last) = match (key.first_chunk(), key.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => {
            let fold = |all: u64, byte: &u8| all << 8 | u64::from(*byte);
            (key.iter().fold(0, fold), 0)
        }
    };
    let mixed = (first ^ last.rotate_left(29) ^ (key.len() as u64) << 56)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> (u64::BITS - BITS)) as usize
}
