//! Logs on stderr: text for people, JSON lines for programs.

use crate::settings::Settings;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging, once for the process.
///
/// # Errors
/// `PUDATO_LOG` cannot be parsed; the text says where.
pub fn start(settings: &Settings) -> Result<(), String> {
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| format!("PUDATO_LOG: expected e.g. info or pudato=debug: {error}"))?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Starting it again in the same process, as tests do, changes nothing.
    let _ = if settings.log_json.unwrap_or(!terminal) {
        builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .try_init()
    } else {
        builder.with_ansi(terminal).compact().try_init()
    };
    Ok(())
}
