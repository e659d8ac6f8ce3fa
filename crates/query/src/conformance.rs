//! The promises that every engine is tested against.
