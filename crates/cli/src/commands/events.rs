//! `pudato events`.

use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use pudato_runtime::protocol::{Event, decode_claim};
use pudato_runtime::registry::StoredEvent;
use serde_json::Value;
use std::time::Duration;

/// The time between two queries for new Events.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The most Events of one query.
const LOOK_MAX: u64 = 1_000;

/// Show Events.
#[derive(clap::Subcommand)]
pub enum Events {
    /// Print the latest Events; with --follow, also new ones
    #[command(after_help = "Example:\n  pudato events tail --follow")]
    Tail {
        /// How many of the latest Events to print first
        #[arg(short, long, default_value_t = 10)]
        lines: u64,
        /// Keep printing new Events until Ctrl-C
        #[arg(short, long)]
        follow: bool,
    },
}

impl Events {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let Self::Tail { lines, follow } = self;
        let pudato = context.open().await?;
        let mut events = pudato.registry.events_after(None, *lines).await?;
        let mut cursor = 0;
        loop {
            for event in &events {
                cursor = event.cursor;
                print(context, event)?;
            }
            if !follow {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
            events = pudato.registry.events_after(Some(cursor), LOOK_MAX).await?;
        }
    }
}

fn print(context: &Context, stored: &StoredEvent) -> Result<(), Failure> {
    if context.json {
        return output::line(&stored.body);
    }
    let Ok(event) = decode_claim::<Event>(stored.body.as_bytes()) else {
        return output::line(&stored.body);
    };
    output::line(&format!(
        "{}  {}  {}  {}",
        output::time(event.timestamp.as_str()),
        event.r#type,
        event.correlation_id,
        Value::Object(event.payload)
    ))
}
