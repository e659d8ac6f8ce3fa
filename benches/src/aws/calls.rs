//! Calls, counted from the emulator's own log.

use std::collections::BTreeMap;
use std::fmt;

/// How often each verb was called.
#[derive(Default)]
pub struct Calls(BTreeMap<String, usize>);

impl Calls {
    /// From lines of the log: method, path, status, SQS's verb, and what the client says of itself.
    pub fn count(lines: &[String]) -> Self {
        let mut calls = Self::default();
        for line in lines {
            let mut words = line.split(' ');
            let (method, path) = (words.next(), words.next());
            let verb = words.nth(1).unwrap_or("-");
            let name = match verb.split_once("AmazonSQS.") {
                Some((_, verb)) => format!("SQS {verb}"),
                // SNS has its verb in the body of its only path.
                None if path == Some("/") => "SNS PublishBatch".into(),
                None => format!("S3 {}", method.unwrap_or("-")),
            };
            *calls.0.entry(name).or_default() += 1;
        }
        calls
    }

    /// All of SNS and SQS.
    pub fn messaging(&self) -> usize {
        let messaging = self.0.iter().filter(|(name, _)| !name.starts_with("S3"));
        messaging.map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.0.iter().map(|(name, count)| format!("{count} {name}"));
        f.write_str(&each.collect::<Vec<_>>().join(", "))
    }
}
