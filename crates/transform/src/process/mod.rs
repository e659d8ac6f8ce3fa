//! Child programs: their process group, memory, environment and folders.

pub(crate) mod child;
pub(crate) mod environment;
pub(crate) mod group;
pub(crate) mod memory;
pub(crate) mod private;
pub(crate) mod scratch;
