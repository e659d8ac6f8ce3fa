//! The hostile sender's claims about steps of others, and about the time.

use super::attempts::{Attempt, Ends, Sends, Topic, sends_raw};
use super::hostile::{Hostile, object};
use pudato_runtime::protocol::{
    DataReference, ExecutionRecord, Result as Reply, Timestamp, encode,
};
use serde_json::json;

/// A time that no clock shows.
const FUTURE: &str = "2999-01-01T00:00:00Z";

impl Hostile<'_> {
    /// A sender's time decides nothing.
    pub(super) fn future_command(&mut self) -> Attempt {
        let mut attempt = self.put(
            "a command from the future",
            "future.csv",
            "n\n1\n",
            Ends::Done,
        );
        let step = self.new_id();
        if let (Sends::Command(command), Ok(time)) = (&mut attempt.sends, Timestamp::parse(FUTURE))
        {
            command.timestamp = time;
            command.job_id = Some(format!("{step}-job"));
            command.step_id = Some(step);
        }
        attempt
    }

    /// Names another sender's step as its own.
    pub(super) fn foreign_step(&mut self) -> Attempt {
        let Some(target) = self.seen.some(&mut self.random, |_| true) else {
            return self.odd_path();
        };
        let is_sql = self.random.percent(50);
        let mut attempt = match (is_sql, self.random.percent(50)) {
            (true, true) => self.sql(
                "a failure under a foreign step",
                "SELEC 1".into(),
                Ends::Claimed,
            ),
            (true, false) => self.odd_table(),
            _ => self.odd_path(),
        };
        if let Sends::Command(command) = &mut attempt.sends {
            // Half of them leave out the job.
            command.job_id = self.random.percent(50).then_some(target.job);
            command.step_id = Some(target.step);
            attempt.ends = Ends::Claimed;
            attempt.what = "a command under a foreign step";
        }
        attempt
    }

    /// Names another sender's step and correlation id, with another action.
    pub(super) fn foreign_id(&mut self) -> Attempt {
        let payload = json!({"container": self.container(), "path": "first.csv"});
        let mut attempt = self.command(
            "a command under a foreign step and correlation id",
            "storage",
            "head_object",
            payload,
            Ends::Claimed,
        );
        // A sender that still waits under its correlation id would take this for its answer.
        let target = self
            .seen
            .some(&mut self.random, |target| target.is_finished);
        match (&mut attempt.sends, target) {
            (Sends::Command(command), Some(target)) => {
                command.correlation_id = target.correlation_id;
                (command.job_id, command.step_id) = (Some(target.job), Some(target.step));
            }
            _ => attempt.ends = Ends::Done,
        }
        attempt
    }

    /// A Result about another sender's step: it failed, long from now, or before it began.
    pub(super) fn forged_result(&mut self) -> Attempt {
        let Some(target) = self.seen.some(&mut self.random, |_| true) else {
            return self.odd_path();
        };
        let id = self.new_id();
        let mut result = Reply::error(id.as_str(), ["flipped"]);
        // A Result that comes before all others of an undeclared step defines the step, so that is left out.
        let is_early = target.is_declared && self.random.percent(50);
        let time = if is_early {
            "1999-01-01T00:00:00Z"
        } else {
            FUTURE
        };
        if let Ok(time) = Timestamp::parse(time) {
            result.timestamp = time;
        }
        (result.job_id, result.step_id) = (Some(target.job), Some(target.step));
        result.handler = Some(target.service);
        let details = object(json!({"action": target.action}));
        result.executions = vec![ExecutionRecord::new("command", details)];
        result.outputs = vec![DataReference::new("file", "file:///foreign/output.csv")];
        let what = "a forged Result about a foreign step";
        sends_raw(what, id, Topic::Results, encode(&result), Ends::Claimed)
    }
}
