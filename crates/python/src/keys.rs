//! The keys of objects as Python's texts. The same keys come again in most messages, and a text that is kept needs no new memory and no new
//! hash.

use pyo3::prelude::*;
use pyo3::types::PyString;
use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard};

/// The power of two that says how many keys are kept, in 32 bytes each: enough for a message of 1,000 keys.
const BITS: u32 = 13;
/// The longest key that is kept, in bytes.
const LENGTH_MAX: usize = 22;

struct Kept {
    text: Py<PyString>,
    length: u8,
    bytes: [u8; LENGTH_MAX],
}

static KEPT: Mutex<Vec<Option<Kept>>> = Mutex::new(Vec::new());

/// The kept keys. They are the property of one reader at a time; another one, which runs because the first made Python collect its garbage,
/// makes all keys anew.
pub(crate) struct KeptKeys(RefCell<Option<MutexGuard<'static, Vec<Option<Kept>>>>>);

impl KeptKeys {
    pub(crate) fn take() -> Self {
        let mut kept = KEPT.try_lock().ok();
        if let Some(kept) = kept.as_mut().filter(|kept| kept.is_empty()) {
            kept.resize_with(1 << BITS, || None);
        }
        Self(RefCell::new(kept))
    }

    /// A key as Python's text.
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

/// Where a key is kept. Two keys with one place only displace each other.
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
