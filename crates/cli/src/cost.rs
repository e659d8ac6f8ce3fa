//! `pudato cost`.

use crate::Context;
use crate::exit::Failure;
use crate::output;
use pudato_runtime::calls::{Spent, spent};
use pudato_runtime::messaging::aws::EMPTY_RECEIVES;
use serde_json::{Value, json};

/// Dollars for a million requests beyond the free ones, in us-east-1, as <https://aws.amazon.com/sns/pricing/> and
/// <https://aws.amazon.com/sqs/pricing/> list them; every 64 KB of a call are a request. SNS delivers to SQS for nothing.
const PRICES: [(&str, f64); 2] = [("SNS", 0.50), ("SQS", 0.40)];

/// Show how many calls of SNS and SQS a command cost, by verb, and what that is in money: as the programs on this data folder counted
/// them.
#[derive(clap::Args)]
#[command(after_help = "Example:
  pudato cost")]
pub struct Cost {}

struct Line<'a> {
    verb: &'a str,
    per_1000: f64,
    /// Dollars for a million commands.
    dollars: f64,
}

impl Cost {
    pub fn run(&self, context: &Context) -> Result<(), Failure> {
        let spent = spent(&context.settings.data_dir)?;
        if spent.commands == 0 {
            let what = "no command was handled on AWS by a program on this data folder yet; run `pudato up` there, and this again";
            return Err(Failure::failed(what));
        }
        let lines = lines(&spent);
        let calls: f64 = lines.iter().map(|line| line.per_1000).sum();
        let dollars: f64 = lines.iter().map(|line| line.dollars).sum();
        let since = spent.since.as_ref().map(|since| since.as_str().to_owned());
        if context.json {
            let verbs: Vec<Value> = lines
                .iter()
                .map(|line| {
                    json!({
                        "verb": line.verb, "calls_per_1000_commands": line.per_1000,
                        "dollars_per_1000000_commands": line.dollars,
                    })
                })
                .collect();
            return output::json(&json!({
                "since": since, "commands": spent.commands, "verbs": verbs, "calls_per_1000_commands": calls,
                "dollars_per_1000000_commands": dollars,
                "empty_receives": spent.calls.get(EMPTY_RECEIVES).copied().unwrap_or(0),
            }));
        }
        let row = |verb: &str, calls: f64, dollars: f64| {
            vec![
                verb.to_owned(),
                format!("{calls:.1}"),
                format!("{dollars:.4}"),
            ]
        };
        let mut rows: Vec<Vec<String>> = lines
            .iter()
            .map(|line| row(line.verb, line.per_1000, line.dollars))
            .collect();
        rows.push(row("all", calls, dollars));
        let head = [
            "VERB",
            "CALLS PER 1,000 COMMANDS",
            "$ PER 1,000,000 COMMANDS",
        ];
        output::table(&head, &rows)?;
        let since = since.unwrap_or_default();
        output::line(&format!(
            "{} commands since {since}; prices of us-east-1 beyond the free requests, S3 and the registry not counted",
            spent.commands
        ))
    }
}

fn lines(spent: &Spent) -> Vec<Line<'_>> {
    let commands = spent.commands as f64;
    let verbs = spent
        .calls
        .iter()
        .filter(|(verb, _)| *verb != EMPTY_RECEIVES);
    verbs
        .map(|(verb, count)| {
            let price = PRICES.iter().find(|(service, _)| verb.starts_with(service));
            let each = *count as f64 / commands;
            Line {
                verb,
                per_1000: each * 1_000.0,
                // A million commands, and a price for a million calls.
                dollars: each * price.map_or(0.0, |(_, dollars)| *dollars),
            }
        })
        .collect()
}
