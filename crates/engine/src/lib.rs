//! The loops of pudato, on ports alone: no backend, no environment, no settings.
//!
//! [`Processor`] decides what happens to a message. A [`Worker`] (and, in the runtime, a Lambda function) receives messages and carries
//! that [`Decision`] out. The [`ResultsConsumer`] writes Results and Events to the registry, the [`DeadLetterWatch`] notifies the senders
//! of commands that the broker gave up, and the [`OpenLineageExporter`] exports what was recorded.
//!
//! To write a handler, you only need to read `process`.

pub mod board;
mod dead_letters;
mod envelope;
mod identity;
mod leases;
mod openlineage;
mod outbox;
pub mod pace;
mod process;
mod progress;
mod receive;
mod results;
pub mod settle;
mod spawn;
mod worker;

pub use dead_letters::DeadLetterWatch;
pub use envelope::{EnvelopePolicy, SignatureVerifier};
pub use identity::sha256_hex;
pub use openlineage::{Exported, OpenLineageExporter, PRODUCER, Transport};
pub use outbox::{Outbox, publish_command};
pub use pace::{Backoff, Jitter};
pub use process::{Decision, Incoming, Outcome, Processor, Read};
pub use progress::ProgressReporter;
pub use results::{HISTORY, Kind, RESULTS, ResultsConsumer, Tally};
pub use spawn::{Spawn, Task, TokioTasks};
pub use tokio_util::sync::CancellationToken;
pub use worker::{Worker, span};
