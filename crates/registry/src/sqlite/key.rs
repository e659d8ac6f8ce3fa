//! Short keys for long random texts, which keep their indexes small. Two texts may share a key, so queries also compare the text.

/// FNV-1a, 64 bits.
pub(super) fn key(text: &str) -> i64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash.cast_signed()
}
