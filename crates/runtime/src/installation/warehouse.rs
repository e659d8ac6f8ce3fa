//! DuckDB and its services: query, and transform, which shares the warehouse with it.

use super::OpenError;
use super::places::Places;
use crate::adapters::ObjectFiles;
use crate::settings::Settings;
use pudato_handler::Handler;
use pudato_query::duckdb::process::Program;
use pudato_query::duckdb::{DuckDb, Isolation, Options};
use pudato_query::{EngineError, Limits, QueryHandler};
use pudato_storage::Objects;
use std::path::Path;
use std::sync::Arc;

pub(super) fn handlers(
    settings: &Settings,
    places: &Places,
    objects: Objects,
) -> Result<Vec<Arc<dyn Handler>>, OpenError> {
    let engine = Arc::new(engine(settings, &places.data_dir)?);
    let query = query(settings, Arc::clone(&engine), objects);
    let handlers: Vec<Arc<dyn Handler>> = vec![
        Arc::new(query),
        #[cfg(feature = "dbt")]
        Arc::new(transform(settings, &places.data_dir, engine)),
    ];
    Ok(handlers)
}

/// Opens DuckDB on the warehouse.
fn engine(settings: &Settings, data_dir: &Path) -> Result<DuckDb, OpenError> {
    let query = &settings.query;
    let isolation = match (query.has_own_process, Program::own()) {
        (false, _) => Isolation::InProcess,
        (true, Some(program)) => Isolation::Process(program),
        (true, None) => {
            tracing::warn!(
                "DuckDB runs inside this program, which does not call pudato_runtime::query_process(); \
                 set PUDATO_QUERY_ISOLATION=none if that is intended"
            );
            Isolation::InProcess
        }
    };
    let options = Options {
        scratch: data_dir.join("scratch"),
        memory_bytes: query.memory_bytes,
        spill_bytes: query.spill_bytes,
        threads: query.threads,
        isolation,
    };
    match &query.file {
        Some(file) => DuckDb::file(file, options).map_err(|error| {
            let what = format!("DUCKDB_PATH: {error}");
            match error {
                EngineError::Invalid(_) => OpenError::Settings(what),
                _ => OpenError::Unavailable(what),
            }
        }),
        None => Ok(DuckDb::in_memory(options)),
    }
}

/// The query handler, on DuckDB.
fn query(settings: &Settings, engine: Arc<DuckDb>, objects: Objects) -> QueryHandler {
    let query = &settings.query;
    let limits = Limits {
        deadline: query.deadline,
        source_bytes_max: query.source_bytes_max,
        answer_bytes_max: query.answer_bytes_max,
        scripts: query.scripts,
    };
    let files = ObjectFiles(objects);
    QueryHandler::new(engine, Arc::new(files), limits)
}

/// The transform handler, on dbt. It shares the warehouse with the queries.
#[cfg(feature = "dbt")]
fn transform(
    settings: &Settings,
    data_dir: &Path,
    engine: Arc<DuckDb>,
) -> pudato_transform::TransformHandler {
    let own = settings.transform_in(data_dir);
    let warehouse = Arc::new(crate::adapters::SharedWarehouse(engine));
    pudato_transform::TransformHandler::new(own, warehouse)
}
