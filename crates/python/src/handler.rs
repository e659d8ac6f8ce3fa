//! A handler whose actions are Python functions. It never acquires the GIL: it queues the commands, and Python threads take them.

use crate::worker::{Job, Pool, Queue, Said};
use async_trait::async_trait;
use pudato_handler::{Action, Answer, Effect, Failure, Handler, Request};
use pudato_protocol::{Event, FieldError, Result as Reply, Status, decode_claim, encode};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// An action: its name, its aliases, its effect, the longest run in seconds, its fields, and whether it is a coroutine.
type Described = (String, Vec<String>, String, f64, Option<Vec<String>>, bool);

/// A service whose handler is Python code.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct OwnHandler {
    pub(crate) handler: Arc<dyn Handler>,
}

#[pymethods]
impl OwnHandler {
    /// Makes a handler of `service` whose commands run on the threads and the event loop of `pool`.
    #[new]
    fn new(service: &str, actions: Vec<Described>, pool: &Pool) -> PyResult<Self> {
        if service.is_empty() {
            return Err(PyValueError::new_err(
                "service: expected a name, found an empty string",
            ));
        }
        let mut coroutines = BTreeSet::new();
        let mut known = Vec::with_capacity(actions.len());
        for (name, aliases, effect, lease_max, fields, is_coroutine) in actions {
            let name = kept(&name);
            let aliases = aliases.iter().map(|alias| kept(alias)).collect();
            let fields = fields.map(|all| kept_list(all.iter().map(|field| kept(field)).collect()));
            known.push(Action {
                name,
                aliases: kept_list(aliases),
                effect: effect_of(&effect, name)?,
                lease_max: seconds(lease_max, name)?,
                fields,
            });
            if is_coroutine {
                coroutines.insert(name);
            }
        }
        if known.is_empty() {
            let what = format!("{service}: it has no actions; register one with @.action(NAME)");
            return Err(PyValueError::new_err(what));
        }
        Ok(Self {
            handler: Arc::new(PythonHandler {
                service: service.into(),
                actions: known,
                coroutines,
                threads: Arc::clone(&pool.threads),
                tasks: Arc::clone(&pool.tasks),
            }),
        })
    }

    /// A handler in Rust whose action `noop` does nothing, for measurements.
    #[staticmethod]
    fn idle(service: String) -> Self {
        Self {
            handler: Arc::new(Idle { service }),
        }
    }
}

/// Does nothing, to measure the overhead of Python.
struct Idle {
    service: String,
}

#[async_trait]
impl Handler for Idle {
    fn service(&self) -> &str {
        &self.service
    }

    fn actions(&self) -> &[Action] {
        const ACTIONS: &[Action] = &[Action::new("noop", Effect::Read)];
        ACTIONS
    }

    async fn handle(&self, _: Request<'_>) -> Result<Answer, Failure> {
        Ok(Answer::default())
    }
}

fn effect_of(name: &str, action: &str) -> PyResult<Effect> {
    match name {
        "read" => Ok(Effect::Read),
        "keyed" => Ok(Effect::Keyed),
        "once" => Ok(Effect::Once),
        other => Err(PyValueError::new_err(format!(
            "{action}: effect: expected \"read\", \"keyed\" or \"once\", found {other:?}"
        ))),
    }
}

fn seconds(given: f64, action: &str) -> PyResult<Duration> {
    let duration = Duration::try_from_secs_f64(given).ok();
    let duration = duration.filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| {
        PyValueError::new_err(format!(
            "{action}: lease_max: expected seconds, more than 0, found {given}"
        ))
    })
}

/// Interns a name for the rest of the process. Action names of Rust handlers are constants; those of Python handlers are known only at run
/// time, so each name is kept once, however often its handler is registered.
fn kept(text: &str) -> &'static str {
    static TEXTS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.get(text) {
        return known;
    }
    let text: &'static str = Box::leak(text.into());
    texts.insert(text);
    text
}

fn kept_list(list: Vec<&'static str>) -> &'static [&'static str] {
    static LISTS: Mutex<BTreeSet<&'static [&'static str]>> = Mutex::new(BTreeSet::new());
    let mut lists = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lists.get(list.as_slice()) {
        return known;
    }
    let list: &'static [&'static str] = Box::leak(list.into_boxed_slice());
    lists.insert(list);
    list
}

pub(crate) struct PythonHandler {
    service: Arc<str>,
    actions: Vec<Action>,
    /// The actions that run on the event loop.
    coroutines: BTreeSet<&'static str>,
    threads: Arc<Queue>,
    tasks: Arc<Queue>,
}

/// The id of the next command. Ids are global because all handlers of a pool share its queues.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Tells Python that nobody needs the answer to a command any more, unless it has answered.
struct Guard<'a> {
    queue: &'a Queue,
    id: u64,
    cancelled: Arc<AtomicBool>,
    is_answered: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.cancelled.store(true, Ordering::Relaxed);
            self.queue.cancel(self.id);
        }
    }
}

#[async_trait]
impl Handler for PythonHandler {
    fn service(&self) -> &str {
        &self.service
    }

    fn actions(&self) -> &[Action] {
        &self.actions
    }

    async fn handle(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let action = self.actions.iter().find(|one| one.name == request.action);
        let lease_max = action.map_or(Duration::MAX, |action| action.lease_max);
        let queue = match self.coroutines.contains(request.action) {
            true => &*self.tasks,
            false => &*self.threads,
        };
        let (says, mut said) = mpsc::unbounded_channel();
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut guard = Guard {
            queue,
            id,
            cancelled: Arc::default(),
            is_answered: false,
        };
        let job = Job {
            id,
            service: Arc::clone(&self.service),
            action: request.action,
            command: encode(request.command),
            attempt: request.attempt(),
            deadline: after(lease_max),
            cancelled: Arc::clone(&guard.cancelled),
            says,
            wait: queue
                .is_full()
                .then(|| request.waits_for("a thread for its Python handler: all are busy")),
        };
        if !queue.push(job) {
            return Err(Failure::Unavailable {
                why: "the program's Python handlers have stopped".into(),
            });
        }
        while let Some(said) = said.recv().await {
            let outcome = match said {
                Said::Progress(result) => {
                    match decode_claim::<Reply>(result.as_bytes()) {
                        Ok(result) => request.report(result.data.unwrap_or_default()),
                        Err(error) => tracing::warn!(%error, "a progress report is invalid"),
                    }
                    continue;
                }
                Said::Answer(result, events) => answer(&result, &events),
                Said::Retry { why, after } => Err(Failure::Retry { why, after }),
                Said::Unavailable(why) => Err(Failure::Unavailable { why }),
            };
            guard.is_answered = true;
            return outcome;
        }
        Err(Failure::Retry {
            why: "the thread of its Python handler ended without answering".into(),
            after: None,
        })
    }
}

/// The instant after `duration`, in seconds since the Unix epoch.
fn after(duration: Duration) -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64() + duration.as_secs_f64()
}

/// Reads the answer from a Result. An invalid Result is a final error, because running the action again would return the same one.
fn answer(result: &str, events: &[String]) -> Result<Answer, Failure> {
    let wrong = |error: FieldError| Failure::bad(format!("the handler's answer: {error}"));
    let result: Reply = decode_claim(result.as_bytes()).map_err(wrong)?;
    let mut answer = Answer {
        data: result.data.unwrap_or_default(),
        inputs: result.inputs,
        outputs: result.outputs,
        executions: result.executions,
        pending: result.status == Status::Pending,
        ..Answer::default()
    };
    for event in events {
        let event: Event = decode_claim(event.as_bytes()).map_err(wrong)?;
        answer = answer.event(event.r#type, event.payload);
    }
    match result.status {
        Status::Success | Status::Pending => Ok(answer),
        Status::Error => Err(Failure::Final {
            errors: result.errors,
            done: Box::new(answer),
        }),
    }
}
