//! What a caller is told while it waits and nobody is there who would answer.

use crate::output;
use pudato_runtime::{Installation, View};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

/// An answer that comes sooner leaves nothing to say.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// How often it is looked again: who was there may be gone.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Says on stderr, after a second, who of `services` and of what writes Results is not there; each once, and again where it was there
/// meanwhile. Never ends.
pub async fn say(pudato: &Installation, services: &BTreeSet<&str>, json: bool) -> Infallible {
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
