//! Warns a waiting caller if no program is running that would answer.

use crate::output;
use pudato_runtime::{Installation, View};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

/// If the answer arrives within this time, there is no warning.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// The time between two checks: a program may stop meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// After a second, warns on stderr if no program runs the worker of one of `services`, or the results consumer. Each warning is printed
/// once, and again if such a program ran and stopped meanwhile. Never returns.
pub async fn warn(pudato: &Installation, services: &BTreeSet<&str>, json: bool) -> Infallible {
    let mut said: BTreeSet<&str> = BTreeSet::new();
    let mut wait = LOOK_AFTER;
    loop {
        tokio::time::sleep(wait).await;
        wait = LOOK_EVERY;
        let view = View::of(pudato);
        for service in services.iter().copied().chain(["results"]) {
            match view.nobody_runs(service) {
                Some(text) if said.insert(service) => tell(&text, json),
                Some(_) => {}
                None => {
                    said.remove(service);
                }
            }
        }
    }
}

fn tell(text: &str, json: bool) {
    if json {
        eprintln!("{}", serde_json::json!({"waiting": text}));
    } else {
        eprintln!("pudato: {}; waiting", output::told(text));
    }
}
