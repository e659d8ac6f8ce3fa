//! A handler that fails in every way in which a handler can.

use async_trait::async_trait;
use pudato_engine::Jitter;
use pudato_handler::{Action, Answer, Effect, Failure, Handler, Request};
use pudato_messaging::Clock;
use pudato_protocol::Object;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub struct Unreliable {
    pub jitter: Arc<Jitter>,
    pub clock: Arc<dyn Clock>,
    pub faults: Arc<AtomicBool>,
}

const ACTIONS: &[Action] = &[
    Action::new("read", Effect::Read),
    Action::new("once", Effect::Once).lease_max(Duration::from_secs(120)),
];

#[async_trait]
impl Handler for Unreliable {
    fn service(&self) -> &str {
        "test"
    }

    fn actions(&self) -> &[Action] {
        ACTIONS
    }

    async fn handle(&self, _: Request<'_>) -> Result<Answer, Failure> {
        let is_faulty = self.faults.load(Ordering::Relaxed);
        let takes_ms = match self.jitter.up_to(9) {
            // Longer than its lease, so that it is renewed; or forever, so that it is cancelled.
            0 => 45_000,
            1 if is_faulty => 10_000_000,
            _ => self.jitter.up_to(2_000),
        };
        self.clock.sleep_until(self.clock.now_ms() + takes_ms).await;
        match self.jitter.up_to(if is_faulty { 9 } else { 99 }) {
            0 | 1 => Err(Failure::Retry {
                why: "bad luck".into(),
                after: None,
            }),
            2 => Err(Failure::Unavailable {
                why: "the backend is down".into(),
            }),
            3 => Err(Failure::bad("payload.n: it is a bad one")),
            4 if is_faulty => panic!("a handler's bug"),
            _ => Ok(Answer::new(Object::new()).event("test.done", Object::new())),
        }
    }
}
