//! `pudato dlq`.

use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use pudato_runtime::Installation;
use pudato_runtime::messaging::Stored;
use serde_json::{Value, json};

/// The most messages of one queue that are read.
const LOOK_MAX: usize = 10_000;

/// List, show, replay or purge dead letters.
#[derive(clap::Subcommand)]
pub enum Dlq {
    /// List dead letters with their reasons
    #[command(after_help = "Example:\n  pudato dlq list\n  pudato dlq list pudato-storage-dlq")]
    List {
        /// Only this dead-letter queue
        queue: Option<String>,
    },
    /// Show one dead letter with its body
    #[command(after_help = "Example:\n  pudato dlq show MESSAGE_ID")]
    Show {
        /// The message's id
        message_id: String,
    },
    /// Send dead letters back to the queue they came from
    #[command(after_help = "Examples:
  pudato dlq replay MESSAGE_ID
  pudato dlq replay --all pudato-storage-dlq --rate 10
  pudato dlq replay --all pudato-storage-dlq --where action=put_object --where reason=timeout --dry-run")]
    Replay {
        #[command(flatten)]
        which: Which,
        /// Only messages with this attribute (with `reason`, those whose reason contains the text); if you give several, all must match
        #[arg(long = "where", value_name = "NAME=VALUE")]
        filter: Vec<String>,
        /// Maximum number of messages per second
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
        rate: Option<u32>,
        /// Only show how many would be replayed
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete dead letters permanently
    #[command(
        after_help = "Example:\n  pudato dlq purge MESSAGE_ID\n  pudato dlq purge --all pudato-storage-dlq --yes"
    )]
    Purge {
        #[command(flatten)]
        which: Which,
        /// Delete them; without this, only show how many would be deleted
        #[arg(long)]
        yes: bool,
    },
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// Ids of dead letters
    #[arg(value_name = "MESSAGE_ID")]
    message_ids: Vec<String>,
    /// All messages on this dead-letter queue
    #[arg(long, value_name = "QUEUE")]
    all: Option<String>,
}

impl Dlq {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let pudato = context.open().await?;
        match self {
            Self::List { queue } => list(context, &pudato, queue.as_deref()).await,
            Self::Show { message_id } => show(context, &pudato, message_id).await,
            Self::Replay {
                which,
                filter,
                rate,
                dry_run,
            } => {
                let filter = Filter::read(filter)?;
                if let (Some(queue), true, false) = (&which.all, filter.0.is_empty(), dry_run) {
                    queues(&pudato, Some(queue))?;
                    let to = queue.trim_end_matches("-dlq").to_owned() + "-queue";
                    let moved = pudato
                        .fabric
                        .operations
                        .replay_all(queue, &to, *rate)
                        .await?;
                    return count(context, "replayed", moved);
                }
                let found = which.find(&pudato, &filter).await?;
                if *dry_run {
                    let all: u64 = found.iter().map(|(_, ids)| ids.len() as u64).sum();
                    return count(context, "would_be_replayed", all);
                }
                count(context, "replayed", pudato.replay(&found, *rate).await?)
            }
            Self::Purge { which, yes } => {
                let found = which.find(&pudato, &Filter(Vec::new())).await?;
                if !yes {
                    let all: u64 = found.iter().map(|(_, ids)| ids.len() as u64).sum();
                    count(context, "would_be_purged", all)?;
                    return Err(Failure::usage(
                        "nothing was deleted; add --yes to delete them",
                    ));
                }
                let mut purged = 0;
                for (queue, ids) in found {
                    purged += pudato.fabric.operations.purge(&queue, Some(&ids)).await?;
                }
                count(context, "purged", purged)
            }
        }
    }
}

/// The attributes that dead letters must have: names and values.
struct Filter(Vec<(String, String)>);

impl Filter {
    fn read(texts: &[String]) -> Result<Self, Failure> {
        let read = texts.iter().map(|text| {
            let wrong = || Failure::usage(format!("--where: {text:?}: expected NAME=VALUE"));
            let (name, value) = text.split_once('=').ok_or_else(wrong)?;
            Ok::<_, Failure>((name.to_owned(), value.to_owned()))
        });
        Ok(Self(read.collect::<Result<_, Failure>>()?))
    }

    fn passes(&self, message: &Stored) -> bool {
        self.0.iter().all(|(name, value)| match name.as_str() {
            "reason" => reason(message).is_some_and(|reason| reason.contains(value.as_str())),
            name => message.attributes.get(name) == Some(value),
        })
    }
}

impl Which {
    /// The ids of the messages, by their queue.
    async fn find(
        &self,
        pudato: &Installation,
        filter: &Filter,
    ) -> Result<Vec<(String, Vec<String>)>, Failure> {
        let mut found = Vec::new();
        for queue in queues(pudato, self.all.as_deref())? {
            let messages = pudato.fabric.operations.browse(&queue, LOOK_MAX).await?;
            let messages = messages
                .into_iter()
                .filter(|message| filter.passes(message));
            let ids = messages.map(|message| message.message_id);
            let ids = ids.filter(|id| self.all.is_some() || self.message_ids.contains(id));
            let ids: Vec<String> = ids.collect();
            if !ids.is_empty() {
                found.push((queue, ids));
            }
        }
        let is_there = |id: &String| found.iter().any(|(_, ids)| ids.contains(id));
        match self.message_ids.iter().find(|id| !is_there(id)) {
            Some(missing) => Err(not_found(pudato, missing)),
            None => Ok(found),
        }
    }
}

fn queues(pudato: &Installation, one: Option<&str>) -> Result<Vec<String>, Failure> {
    let all = pudato.dead_letter_queues();
    match one {
        None => Ok(all),
        Some(one) if all.iter().any(|queue| queue == one) => Ok(vec![one.to_owned()]),
        Some(one) => Err(Failure::usage(format!(
            "{one:?} is not a dead-letter queue; expected one of {}",
            all.join(", ")
        ))),
    }
}

fn count(context: &Context, what: &str, count: u64) -> Result<(), Failure> {
    if context.json {
        return output::json(&json!({what: count}));
    }
    output::line(&format!("{}: {count}", what.replace('_', " ")))
}

async fn list(
    context: &Context,
    pudato: &Installation,
    queue: Option<&str>,
) -> Result<(), Failure> {
    let mut all = Vec::new();
    for queue in queues(pudato, queue)? {
        all.extend(pudato.fabric.operations.browse(&queue, LOOK_MAX).await?);
    }
    if context.json {
        let all: Vec<Value> = all.iter().map(described).collect();
        return output::json(&json!({"count": all.len(), "dead_letters": all}));
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|stored| {
            vec![
                stored.queue.clone(),
                stored.message_id.clone(),
                output::time_ms(stored.sent_at_ms),
                stored
                    .attempts
                    .map_or_else(|| "unknown".into(), |attempts| attempts.to_string()),
                reason(stored).unwrap_or_else(|| "received too often".into()),
            ]
        })
        .collect();
    let head = ["QUEUE", "MESSAGE", "SENT (UTC)", "ATTEMPTS", "REASON"];
    output::table(&head, &rows)
}

async fn show(context: &Context, pudato: &Installation, id: &str) -> Result<(), Failure> {
    for queue in queues(pudato, None)? {
        let messages = pudato.fabric.operations.browse(&queue, LOOK_MAX).await?;
        let Some(stored) = messages.iter().find(|stored| stored.message_id == id) else {
            continue;
        };
        let mut shown = described(stored);
        shown["body"] = String::from_utf8_lossy(&stored.body).into();
        if context.json {
            return output::json(&shown);
        }
        for (name, value) in shown.as_object().into_iter().flatten() {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            output::line(&format!("{name:>18}: {text}"))?;
        }
        return Ok(());
    }
    Err(not_found(pudato, id))
}

fn not_found(pudato: &Installation, id: &str) -> Failure {
    Failure::failed(match pudato.fabric.profile.no_dead_letter_advice {
        None => format!("no dead letter has the id {id:?}"),
        Some(advice) => format!("no visible dead letter has the id {id:?}; {advice}"),
    })
}

fn reason(stored: &Stored) -> Option<String> {
    stored
        .dead_letter
        .as_ref()
        .and_then(|dead| dead.reason.clone())
}

fn described(stored: &Stored) -> Value {
    json!({
        "queue": stored.queue, "message_id": stored.message_id, "reason": reason(stored),
        "source": stored.dead_letter.as_ref().map(|dead| dead.source.clone()),
        "attempts": stored.attempts, "sent_at": output::time_ms(stored.sent_at_ms),
        "first_received_at": stored.first_received_ms.map(output::time_ms),
        "attributes": stored.attributes,
    })
}
