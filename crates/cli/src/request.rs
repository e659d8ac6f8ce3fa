//! A Command as arguments of the command line.

use crate::context::Context;
use crate::exit::Failure;
use crate::payload;
use pudato_runtime::protocol::Command;

/// A Command: service, action, payload and metadata.
#[derive(clap::Args)]
pub struct Request {
    /// The service: storage, query, transform, registry, or your own
    service: String,
    /// The action, e.g. put_object
    action: String,
    /// Fields of the payload: key=text, key=@file (the contents of a regular file), key:=json
    #[arg(value_name = "KEY=VALUE")]
    fields: Vec<String>,
    /// The payload as a JSON object, or @file
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// The registry job of the command
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// The registry step of the command; without a step, pudato records no lineage
    #[arg(long, value_name = "ID")]
    step: Option<String>,
    /// The id that connects all messages of this request [default: a new UUID]
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// Commands with the same key and payload take effect once. A key belongs to the job (--job), otherwise to the user or source (--metadata)
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// A field of the command's metadata
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
}

impl Request {
    pub fn command(&self, context: &Context) -> Result<Command, Failure> {
        let bytes_max = context.settings.claim_bytes_max;
        let fields = payload::read(self.payload.as_deref(), &self.fields, bytes_max)?;
        let mut command = Command::new(&self.service, &self.action, fields);
        if let Some(id) = &self.correlation_id {
            command.correlation_id.clone_from(id);
        }
        command.job_id.clone_from(&self.job);
        command.step_id.clone_from(&self.step);
        command.metadata = payload::read(None, &self.metadata, bytes_max)?;
        if let Some(key) = &self.idempotency_key {
            let key = key.as_str().into();
            command.metadata.insert("idempotency_key".into(), key);
        }
        Ok(command)
    }
}
