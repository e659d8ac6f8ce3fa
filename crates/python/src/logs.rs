//! Logs to stderr, as the command does, or to Python's `logging`.
//!
//! Log lines go into a bounded channel, and one thread passes them to Python. So code that logs never waits for the GIL.

use crate::errors::ConfigurationError;
use crate::settings::Settings;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

/// The maximum number of lines that wait for Python. Further lines are dropped and counted.
const WAITING_MAX: usize = 1_024;
/// The maximum number of lines to pass on each time the GIL is acquired.
const BATCH_MAX: usize = 256;

/// Starts logging to stderr, as the command does, once per process.
#[pyfunction]
pub(crate) fn start_logs(settings: &Settings) -> PyResult<()> {
    pudato_runtime::logs::start(&settings.loaded).map_err(ConfigurationError::new_err)
}

/// Sends logs to `logging.getLogger("pudato....")`, once per process and unless they already go to stderr.
#[pyfunction]
pub(crate) fn forward_logs(settings: &Settings) -> PyResult<()> {
    let filter = EnvFilter::try_new(&settings.loaded.log)
        .map_err(|error| ConfigurationError::new_err(format!("PUDATO_LOG: {error}")))?;
    let (lines, waiting) = sync_channel(WAITING_MAX);
    let forward = Forward {
        lines,
        dropped: AtomicU64::new(0),
    };
    let started = Registry::default().with(filter).with(forward).try_init();
    if started.is_ok() {
        let thread = std::thread::Builder::new().name("pudato-logs".into());
        thread.spawn(move || hand_over(&waiting))?;
    }
    Ok(())
}

/// Masks what looks like a secret in a text.
#[pyfunction]
pub(crate) fn redact(text: &str) -> String {
    pudato_handler::redact(text).into_owned()
}

/// The ids in a log line.
#[derive(Debug, Clone, Default)]
struct Ids {
    correlation_id: Option<String>,
    job_id: Option<String>,
    step_id: Option<String>,
    attempt: Option<u64>,
}

/// A log line for Python.
struct Line {
    target: &'static str,
    level: u8,
    message: String,
    ids: Ids,
    /// The number of lines dropped before this one.
    dropped: u64,
}

struct Forward {
    lines: SyncSender<Line>,
    dropped: AtomicU64,
}

/// Collects the ids of a span.
impl Visit for Ids {
    fn record_str(&mut self, field: &Field, value: &str) {
        let place = match field.name() {
            "correlation_id" => &mut self.correlation_id,
            "job_id" => &mut self.job_id,
            "step_id" => &mut self.step_id,
            _ => return,
        };
        *place = Some(value.to_owned());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "attempt" {
            self.attempt = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// Collects the text of an event: its message, then its fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Forward {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut ids = Ids::default();
            attributes.record(&mut ids);
            span.extensions_mut().insert(ids);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut text = Text::default();
        event.record(&mut text);
        let spans = context.event_scope(event).into_iter().flatten();
        let ids = spans.into_iter().find_map(|span| {
            let ids = span.extensions().get::<Ids>().cloned();
            ids.filter(|ids| ids.correlation_id.is_some())
        });
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let line = Line {
            target: metadata.target(),
            level: level(*metadata.level()),
            message: text.message + &text.fields,
            ids: ids.unwrap_or_default(),
            dropped,
        };
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
        }
    }
}

/// The level as a number of Python's `logging`.
fn level(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

/// Passes lines to Python until all senders are gone or the interpreter shuts down.
fn hand_over(waiting: &Receiver<Line>) {
    while let Ok(first) = waiting.recv() {
        let more = waiting.try_iter().take(BATCH_MAX);
        let lines: Vec<Line> = std::iter::once(first).chain(more).collect();
        let handed = Python::try_attach(|py| {
            for line in lines {
                // A failing `logging` handler must not stop further logs.
                let _ = hand(py, &line);
            }
        });
        if handed.is_none() {
            return;
        }
    }
}

fn hand(py: Python<'_>, line: &Line) -> PyResult<()> {
    let name = line
        .target
        .replace("::", ".")
        .replacen("pudato_", "pudato.", 1);
    let logger = py.import("logging")?.call_method1("getLogger", (name,))?;
    let extra = PyDict::new(py);
    extra.set_item("correlation_id", &line.ids.correlation_id)?;
    extra.set_item("job_id", &line.ids.job_id)?;
    extra.set_item("step_id", &line.ids.step_id)?;
    extra.set_item("attempt", line.ids.attempt)?;
    let keywords = PyDict::new(py);
    keywords.set_item("extra", extra)?;
    if line.dropped > 0 {
        let what = format!(
            "{} log lines were dropped because Python did not read them in time",
            line.dropped
        );
        logger.call_method("log", (30, "%s", what), Some(&keywords))?;
    }
    logger.call_method("log", (line.level, "%s", &line.message), Some(&keywords))?;
    Ok(())
}
