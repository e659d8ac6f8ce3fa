//! Replaces the module `warehouse` in a build without DuckDB, where no service needs one.

use super::OpenError;
use super::places::Places;
use crate::settings::Settings;
use pudato_handler::Handler;
use pudato_storage::Objects;
use std::sync::Arc;

#[expect(
    clippy::unnecessary_wraps,
    reason = "a build with DuckDB may fail here"
)]
pub(super) fn handlers(
    _: &Settings,
    _: &Places,
    _: Objects,
) -> Result<Vec<Arc<dyn Handler>>, OpenError> {
    Ok(Vec::new())
}
