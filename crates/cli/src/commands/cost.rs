//! `pudato cost`.

use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use pudato_runtime::admin::usage::{Spent, spent};
use pudato_runtime::messaging::aws::{BEYOND_64_KB, EMPTY_RECEIVES};
use serde_json::{Value, json};

/// Prices in dollars per million requests beyond the free ones, in us-east-1, from <https://aws.amazon.com/sns/pricing/>,
/// <https://aws.amazon.com/sqs/pricing/> and <https://aws.amazon.com/s3/pricing/> (Standard), by the beginning of the verb. The first match
/// counts. Every 64 KB of a call of SNS or SQS are one request. SNS delivers to SQS for free.
const PRICES: [(&str, f64); 7] = [
    ("SNS", 0.50),
    ("SQS", 0.40),
    ("S3 Get", 0.40),
    ("S3 Head", 0.40),
    ("S3 Delete", 0.0),
    ("S3 Abort", 0.0),
    ("S3", 5.00),
];

/// Show how many calls of SNS, SQS and S3 a command takes and what they cost, as the programs on this data folder have counted.
#[derive(clap::Args)]
#[command(after_help = "Example:
  pudato cost")]
pub struct Cost {}

struct Line<'a> {
    verb: &'a str,
    per_1000: f64,
    /// Dollars per million commands.
    dollars: f64,
}

impl Cost {
    pub fn run(&self, context: &Context) -> Result<(), Failure> {
        let spent = spent(&context.settings.data_dir)?;
        if spent.commands == 0 {
            let what = "no program on this data folder has counted a command on AWS yet; a program that serves writes its counts every 10 s and when it ends";
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
            "{} commands since {since}; list prices of us-east-1, without free requests and without the registry",
            spent.commands
        ))
    }
}

fn lines(spent: &Spent) -> Vec<Line<'_>> {
    let commands = spent.commands as f64;
    let is_verb = |verb: &str| verb != EMPTY_RECEIVES && !verb.ends_with(BEYOND_64_KB);
    let verbs = spent.calls.iter().filter(|(verb, _)| is_verb(verb));
    verbs
        .map(|(verb, count)| {
            let price = PRICES.iter().find(|(begin, _)| verb.starts_with(begin));
            let beyond = spent.calls.get(&format!("{verb}{BEYOND_64_KB}"));
            let requests = count + beyond.copied().unwrap_or(0);
            Line {
                verb,
                per_1000: *count as f64 / commands * 1_000.0,
                // Per million commands, with prices per million requests.
                dollars: requests as f64 / commands * price.map_or(0.0, |(_, dollars)| *dollars),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_64_kb_of_a_call_is_paid_and_verbs_of_s3_have_their_own_prices() {
        let calls = [
            ("SNS PublishBatch", 100),
            ("SNS PublishBatch beyond 64 KB", 300),
            ("SQS ReceiveMessage", 100),
            ("S3 PutObject", 1_000),
            ("S3 GetObject", 1_000),
            ("S3 DeleteObject", 1_000),
            (EMPTY_RECEIVES, 50),
        ];
        let spent = Spent {
            since: None,
            commands: 1_000,
            calls: calls.map(|(name, count)| (name.to_owned(), count)).into(),
        };
        let lines = lines(&spent);
        let dollars: BTreeMap<&str, (f64, f64)> = lines
            .iter()
            .map(|line| {
                (
                    line.verb,
                    (line.per_1000, (line.dollars * 1e6).round() / 1e6),
                )
            })
            .collect();
        assert_eq!(dollars.len(), 5);
        assert_eq!(dollars["SNS PublishBatch"], (100.0, 0.2));
        assert_eq!(dollars["SQS ReceiveMessage"], (100.0, 0.04));
        assert_eq!(dollars["S3 PutObject"], (1_000.0, 5.0));
        assert_eq!(dollars["S3 GetObject"], (1_000.0, 0.4));
        assert_eq!(dollars["S3 DeleteObject"], (1_000.0, 0.0));
    }
}
