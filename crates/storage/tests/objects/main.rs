//! The storage handler: one suite, on a folder and on a bucket.

mod beneath;
mod folder;
mod names;
#[cfg(feature = "s3")]
mod s3;
mod suite;
mod support;
