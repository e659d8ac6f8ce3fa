//! `pudato._core`: the core of pudato as a Python extension module. Only the package in `python/pudato` calls it, and wraps it
//! with public names, types and documentation; nothing here is public.

mod answer;
mod arrow;
mod cli;
mod client;
mod codec;
mod encode;
#[cfg(feature = "duckdb")]
mod engine_process;
mod errors;
mod fabric;
mod handler;
mod hosting;
mod installation;
mod keys;
mod lambda;
mod lineage;
mod logs;
mod models;
mod objects;
mod pipeline;
mod place;
mod publish;
mod reading;
mod registry;
mod service;
mod serving;
mod session;
mod settings;
mod task;
mod waiting;
mod worker;
mod writing;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::answer::Answer;
    #[pymodule_export]
    use crate::cli::cli;
    #[pymodule_export]
    use crate::codec::{decode, fields, timestamp};
    #[pymodule_export]
    use crate::encode::{dumps, encode, escaped, plain};
    #[cfg(feature = "duckdb")]
    #[pymodule_export]
    use crate::engine_process::engine_process;
    #[pymodule_export]
    use crate::errors::{
        CallTimeout, ConfigurationError, MessageError, PudatoError, RefusedError, UnavailableError,
    };
    #[pymodule_export]
    use crate::fabric::{Consumer, Received};
    #[pymodule_export]
    use crate::handler::OwnHandler;
    #[pymodule_export]
    use crate::installation::Installation;
    #[pymodule_export]
    use crate::lambda::{Function, lambda_defaults};
    #[pymodule_export]
    use crate::lineage::Graph;
    #[pymodule_export]
    use crate::logs::{forward_logs, redact, start_logs};
    #[pymodule_export]
    use crate::models::{new_id, now};
    #[pymodule_export]
    use crate::service::{Registry, Service};
    #[pymodule_export]
    use crate::serving::Serving;
    #[pymodule_export]
    use crate::session::Session;
    #[pymodule_export]
    use crate::settings::{Settings, instead_of, variables};
    #[pymodule_export]
    use crate::task::{Bell, Task, finish, running};
    #[cfg(debug_assertions)]
    #[pymodule_export]
    use crate::waiting::panic_in_a_call;
    #[pymodule_export]
    use crate::worker::{Pool, Taken};

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        #[cfg(feature = "duckdb")]
        crate::engine_process::name(module)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
