//! How the worker carries out each decision.

use crate::support::{NoClaims, Tasks, settle_down};
use async_trait::async_trait;
use pudato_engine::board::Board;
use pudato_engine::{
    CancellationToken, Jitter, Outbox, Processor, Spawn, Task, Worker, publish_command,
};
use pudato_handler::{Action, Answer, Effect, Failure, Handler, Progress, Request};
use pudato_messaging::claims::ClaimStore;
use pudato_messaging::memory::MemoryFabric;
use pudato_messaging::{
    Clock, Consumer, Counts, Error, ErrorKind, ManualClock, Operations, QueueConfig, Receive,
    Subscription, Topology,
};
use pudato_protocol::{Command, Object, Result as Reply, Status, decode};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A handler that follows a script, and answers once the script has ended.
struct Scripted {
    script: Mutex<VecDeque<Act>>,
    clock: ManualClock,
    is_down: Arc<AtomicBool>,
}

pub enum Act {
    /// Waits for something that another command holds before it answers.
    WaitFor(&'static str, Duration),
    Panic,
    Unavailable,
    Retry,
    Take(Duration),
    Answer(usize),
}

#[async_trait]
impl Handler for Scripted {
    fn service(&self) -> &str {
        "test"
    }
    fn actions(&self) -> &[Action] {
        const ACTIONS: &[Action] = &[
            Action::new("act", Effect::Read).lease_max(Duration::from_secs(600)),
            Action::new("once", Effect::Once).lease_max(Duration::from_secs(600)),
        ];
        ACTIONS
    }
    async fn handle(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let is_down = self.is_down.load(Ordering::SeqCst);
        if is_down || request.command.payload.contains_key("poison") {
            return Err(Failure::Unavailable {
                why: "the backend is down".into(),
            });
        }
        let act = self.script.lock().expect("no panic").pop_front();
        match act {
            Some(Act::Panic) => panic!("a handler's bug"),
            Some(Act::Unavailable) => Err(Failure::Unavailable {
                why: "the backend is down".into(),
            }),
            Some(Act::Retry) => Err(Failure::Retry {
                why: "bad luck".into(),
                after: Some(Duration::from_secs(1)),
            }),
            Some(Act::WaitFor(what, time)) => {
                let _wait = request.waits_for(what);
                let time_ms = u64::try_from(time.as_millis()).expect("a short time");
                self.clock.sleep_until(self.clock.now_ms() + time_ms).await;
                Ok(Answer::new(Object::new()))
            }
            Some(Act::Take(time)) => {
                let time_ms = u64::try_from(time.as_millis()).expect("a short time");
                self.clock.sleep_until(self.clock.now_ms() + time_ms).await;
                Ok(Answer::new(Object::new()))
            }
            Some(Act::Answer(bytes)) => {
                let mut data = Object::new();
                data.insert("data".into(), "x".repeat(bytes).into());
                let read = pudato_protocol::DataReference::new("file", "file:///a.csv");
                Ok(Answer::new(data).input(read))
            }
            None => Ok(Answer::new(Object::new())),
        }
    }
}

pub struct Bench {
    pub fabric: MemoryFabric,
    pub clock: ManualClock,
    pub board: Board,
    /// The progress reports of Commands.
    pub told: Arc<Told>,
    drain: CancellationToken,
    outbox: Outbox,
    /// Whether the backend is down for every command.
    pub is_down: Arc<AtomicBool>,
    _worker: Tasks,
}

/// Records reports.
#[derive(Default)]
pub struct Told(pub Mutex<Vec<Object>>);

impl Progress for Told {
    fn report(&self, _: &Command, data: Object) {
        self.0.lock().expect("no panic").push(data);
    }
}

/// A claim store that refuses a number of claims, and then accepts and drops all.
struct Claims {
    refused: AtomicU32,
}

#[async_trait]
impl ClaimStore for Claims {
    fn container(&self) -> &str {
        "claims"
    }
    async fn put(&self, _: &str, _: Vec<u8>) -> Result<(), Error> {
        let left = self
            .refused
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match left {
            Ok(_) => Err(Error::new(ErrorKind::Unavailable, "the bucket is down")),
            Err(_) => Ok(()),
        }
    }
    async fn get(&self, _: &str) -> Result<Vec<u8>, Error> {
        Err(Error::new(ErrorKind::NotFound, "nothing is kept"))
    }
}

/// A claim store that takes a while.
struct SlowClaims {
    clock: ManualClock,
    time: Duration,
}

#[async_trait]
impl ClaimStore for SlowClaims {
    fn container(&self) -> &str {
        "claims"
    }
    async fn put(&self, _: &str, _: Vec<u8>) -> Result<(), Error> {
        let time_ms = u64::try_from(self.time.as_millis()).expect("short");
        self.clock.sleep_until(self.clock.now_ms() + time_ms).await;
        Ok(())
    }
    async fn get(&self, _: &str) -> Result<Vec<u8>, Error> {
        Err(Error::new(ErrorKind::NotFound, "nothing is kept"))
    }
}

pub async fn bench(script: Vec<Act>) -> Bench {
    bench_with(script, |_| Arc::new(NoClaims)).await
}

async fn bench_with(
    script: Vec<Act>,
    claims: impl FnOnce(&ManualClock) -> Arc<dyn ClaimStore>,
) -> Bench {
    let tasks = Tasks::default();
    bench_of(script, claims, tasks.clone(), Arc::new(tasks)).await
}

/// A machine that is so busy that separate tasks never get their turn.
struct Busy(Tasks);

impl Spawn for Busy {
    fn spawn(&self, task: Task) {
        self.0.spawn(task);
    }

    fn spawn_apart(&self, _: &str, _: Task) {}
}

async fn bench_of(
    script: Vec<Act>,
    claims: impl FnOnce(&ManualClock) -> Arc<dyn ClaimStore>,
    tasks: Tasks,
    spawn: Arc<dyn Spawn>,
) -> Bench {
    // A panic of a handler is part of the tests; its text is not printed.
    std::panic::set_hook(Box::new(|panic| {
        if !panic.to_string().contains("a handler's bug") {
            eprintln!("{panic}");
        }
    }));
    let clock = ManualClock::at(1_795_392_000_000);
    let claims = claims(&clock);
    let is_down = Arc::new(AtomicBool::new(false));
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let fabric = MemoryFabric::new(Arc::clone(&shared));
    let visibility = Duration::from_secs(60);
    let topology = Topology {
        topics: ["commands", "results", "events"]
            .map(str::to_owned)
            .to_vec(),
        queues: vec![
            QueueConfig::new("work").redrive(3, "dead"),
            QueueConfig::new("dead"),
            QueueConfig::new("answers"),
        ],
        subscriptions: vec![
            Subscription::new("commands", "work"),
            Subscription::new("results", "answers"),
        ],
    };
    fabric.declare(topology).await.expect("declared");
    let outbox = Outbox {
        publisher: Arc::new(fabric.clone()),
        claims: Arc::clone(&claims),
        clock: Arc::clone(&shared),
    };
    let board = Board::new(Arc::clone(&shared));
    let told = Arc::new(Told::default());
    let processor = Processor {
        progress: Arc::clone(&told) as _,
        envelopes: Default::default(),
        handler: Arc::new(Scripted {
            script: Mutex::new(script.into()),
            clock: clock.clone(),
            is_down: Arc::clone(&is_down),
        }),
        claims,
        idempotency: Arc::new(fabric.clone()),
        clock: shared,
        owner: "worker".into(),
        lease: visibility,
        settles_at_once: true,
        deliveries: Default::default(),
    };
    let worker = Worker {
        processor: Arc::new(processor),
        consumer: Arc::new(fabric.consumer("work").await.expect("declared")),
        outbox: outbox.clone(),
        results_topic: "results".into(),
        events_topic: "events".into(),
        jitter: Arc::new(Jitter::seeded(1)),
        spawn,
        concurrency: 2,
        visibility,
        grace: Duration::from_secs(5),
        board: board.clone(),
    };
    let drain = CancellationToken::new();
    let stop = drain.clone();
    tasks.spawn(Box::pin(async move {
        let _ = worker.run(stop).await;
    }));
    Bench {
        fabric,
        clock,
        board,
        told,
        drain,
        outbox,
        is_down,
        _worker: tasks,
    }
}

impl Bench {
    pub async fn send(&self) {
        self.send_with(Object::new()).await;
    }

    /// Sends a command whose backend is down at every attempt.
    pub async fn send_poison(&self) {
        let mut payload = Object::new();
        payload.insert("poison".into(), true.into());
        self.send_with(payload).await;
    }

    async fn send_with(&self, payload: Object) {
        let mut command = Command::new("test", "act", payload);
        command.step_id = Some("step-1".into());
        let sent = publish_command(&self.outbox, "commands", &command).await;
        sent.expect("published");
        settle_down().await;
    }

    /// Sends a command that must not run twice, several times, like a publisher that did not get the answer.
    pub async fn send_once(&self, times: usize) {
        let command = Command::new("test", "once", Object::new());
        for _ in 0..times {
            let sent = publish_command(&self.outbox, "commands", &command).await;
            sent.expect("published");
        }
        settle_down().await;
    }

    pub async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            settle_down().await;
        }
    }

    pub async fn counts(&self, queue: &str) -> Counts {
        self.fabric.counts(queue).await.expect("declared")
    }

    /// All Results so far, without receiving them.
    pub async fn results(&self) -> Vec<Reply> {
        let answers = self.fabric.browse("answers", 1_000).await;
        let bodies = answers.expect("declared").into_iter().map(|one| one.body);
        bodies
            .map(|body| decode(&body).expect("a Result"))
            .collect()
    }

    /// The Results so far, and the attempt at which each was given.
    pub async fn answers(&self) -> Vec<(Status, u64, Vec<String>)> {
        let consumer = self.fabric.consumer("answers").await.expect("declared");
        let receive = Receive {
            max: 10,
            wait: Duration::ZERO,
        };
        let received = consumer.receive(receive).await.expect("received");
        let read = received.into_iter().map(|delivery| {
            let result: Reply = decode(&delivery.body).expect("a Result");
            let attempt = result
                .executions
                .first()
                .and_then(|record| record.details.get("attempt"));
            (
                result.status,
                attempt.and_then(serde_json::Value::as_u64).unwrap_or(0),
                result.errors,
            )
        });
        read.collect()
    }
}

#[tokio::test]
async fn a_panic_is_a_retry_and_the_worker_survives() {
    let bench = bench(vec![Act::Panic]).await;
    bench.send().await;
    assert!(bench.answers().await.is_empty());
    bench.pass(10).await;
    let answers = bench.answers().await;
    assert_eq!((answers[0].0, answers[0].1), (Status::Success, 2));
}

#[tokio::test]
async fn a_backend_that_is_down_costs_no_attempt_and_stops_receiving() {
    let downs = (0..5).map(|_| Act::Unavailable).collect();
    let bench = bench(downs).await;
    bench.send().await;
    bench.send().await;
    bench.send().await;
    let waiting = bench.counts("work").await;
    assert!(
        waiting.visible >= 1,
        "messages that no worker received stay visible: {waiting:?}"
    );
    bench.pass(120).await;
    let answers = bench.answers().await;
    assert_eq!(answers.len(), 3);
    assert!(
        answers
            .iter()
            .all(|(status, attempt, _)| (*status, *attempt) == (Status::Success, 1)),
        "{answers:?}"
    );
}

#[tokio::test]
async fn the_last_attempt_ends_in_the_dead_letter_queue_and_its_sender_is_notified() {
    let bench = bench(vec![Act::Retry, Act::Retry, Act::Retry]).await;
    bench.send().await;
    bench.pass(10).await;
    assert_eq!(bench.counts("dead").await.visible, 1);
    let dead = bench
        .fabric
        .browse("dead", 1)
        .await
        .expect("declared")
        .remove(0);
    let reason = dead
        .dead_letter
        .and_then(|dead| dead.reason)
        .expect("a reason");
    assert_eq!(reason, "gave up after 3 attempts: bad luck");
    let answers = bench.answers().await;
    assert_eq!(
        (answers[0].0, &answers[0].2),
        (Status::Error, &vec![reason])
    );
}

#[tokio::test]
async fn a_handler_that_takes_longer_than_its_lease_is_not_run_twice() {
    let bench = bench(vec![Act::Take(Duration::from_secs(200))]).await;
    bench.send().await;
    bench.pass(210).await;
    let answers = bench.answers().await;
    assert_eq!((answers.len(), answers[0].1), (1, 1));
    assert_eq!(bench.counts("work").await, Counts::default());
}

#[tokio::test]
async fn a_message_redelivered_to_its_busy_worker_is_handled_once_and_spends_no_attempt() {
    // More leases end than the queue allows attempts.
    let script = vec![Act::Take(Duration::from_secs(500))];
    let tasks = Tasks::default();
    let busy = Arc::new(Busy(tasks.clone()));
    let bench = bench_of(script, |_| Arc::new(NoClaims), tasks, busy).await;
    bench.send().await;
    bench.pass(490).await;
    let held = bench.fabric.browse("work", 1).await.expect("declared");
    assert!(held[0].receive_count > 3, "no lease was renewed");
    bench.pass(20).await;
    let answers = bench.answers().await;
    assert_eq!(answers.len(), 1, "the handler ran once");
    assert_eq!((answers[0].0, answers[0].1), (Status::Success, 1));
    assert_eq!(bench.counts("work").await, Counts::default());
    assert_eq!(bench.counts("dead").await, Counts::default());
}

#[tokio::test]
async fn a_handler_over_its_time_limit_is_cancelled_and_its_message_is_redelivered() {
    let bench = bench(vec![Act::Take(Duration::from_secs(5_000))]).await;
    bench.send().await;
    bench.pass(700).await;
    let answers = bench.answers().await;
    assert_eq!((answers[0].0, answers[0].1), (Status::Success, 2));
}

#[tokio::test]
async fn a_drain_finishes_what_it_can_and_releases_the_rest() {
    let bench = bench(vec![
        Act::Take(Duration::from_secs(3)),
        Act::Take(Duration::from_secs(300)),
    ])
    .await;
    bench.send().await;
    bench.send().await;
    bench.drain.cancel();
    settle_down().await;
    bench.send().await;
    bench.pass(10).await;
    assert_eq!(bench.answers().await.len(), 1, "the short command");
    let left = bench.counts("work").await;
    assert_eq!(
        (left.visible, left.in_flight),
        (2, 0),
        "the long command, and the one that arrived too late"
    );
}

#[tokio::test]
async fn a_result_that_no_message_and_no_claim_can_carry_becomes_a_small_error() {
    // The claim store of this bench refuses everything.
    let bench = bench(vec![Act::Answer(2_000_000)]).await;
    bench.send().await;
    let answers = bench.answers().await;
    assert_eq!(answers[0].0, Status::Error);
    assert!(
        answers[0].2[0].contains("the Result cannot be published"),
        "{answers:?}"
    );
    assert_eq!(bench.counts("work").await, Counts::default());
}

#[tokio::test]
async fn a_message_that_is_gone_while_a_backend_is_down_does_not_stop_the_worker_forever() {
    // Longer than it takes to notice that the message is gone.
    let bench = bench((0..9).map(|_| Act::Unavailable).collect()).await;
    bench.send().await;
    let purged = bench.fabric.purge("work", None).await;
    assert_eq!(purged.expect("declared"), 1);
    bench.pass(200).await;
    bench.send().await;
    bench.pass(300).await;
    let answers = bench.answers().await;
    assert_eq!(answers.len(), 1, "the second message is handled");
    assert_eq!(answers[0].0, Status::Success);
}

#[tokio::test]
async fn the_same_request_sent_twice_waits_for_the_first_and_spends_no_attempts() {
    // Longer than all attempts of the second would last.
    let bench = bench(vec![Act::Take(Duration::from_secs(500))]).await;
    bench.send_once(2).await;
    bench.pass(600).await;
    let answers = bench.answers().await;
    assert_eq!(answers.len(), 2, "both are answered");
    for (status, attempt, _) in answers {
        assert_eq!((status, attempt), (Status::Success, 1));
    }
    assert_eq!(bench.counts("dead").await, Counts::default());
    assert_eq!(bench.counts("work").await, Counts::default());
}

#[tokio::test]
async fn an_answer_whose_claim_cannot_be_stored_yet_is_held_and_nothing_runs_twice() {
    let refused = AtomicU32::new(5);
    let script = vec![Act::Answer(2_000_000)];
    let bench = bench_with(script, |_| Arc::new(Claims { refused })).await;
    bench.send_once(1).await;
    assert_eq!(
        bench.counts("work").await.in_flight,
        1,
        "the message is held"
    );
    bench.pass(120).await;
    assert_eq!(bench.counts("work").await, Counts::default());
    assert_eq!(bench.counts("dead").await, Counts::default());
    let answers = bench.fabric.browse("answers", 10).await.expect("declared");
    assert_eq!(answers.len(), 1);
    let body = String::from_utf8_lossy(&answers[0].body);
    assert!(
        body.contains("PayloadS3Pointer"),
        "the answer of the first run: {body}"
    );
}

#[tokio::test]
async fn a_message_is_held_while_the_claim_of_its_answer_is_stored() {
    // Longer than three leases.
    let time = Duration::from_secs(200);
    let claims = |clock: &ManualClock| -> Arc<dyn ClaimStore> {
        let clock = clock.clone();
        Arc::new(SlowClaims { clock, time })
    };
    let bench = bench_with(vec![Act::Answer(2_000_000)], claims).await;
    bench.send_once(1).await;
    bench.pass(190).await;
    let held = bench.fabric.browse("work", 1).await.expect("declared");
    assert_eq!(
        held[0].receive_count, 1,
        "no other consumer has received it"
    );
    bench.pass(60).await;
    assert_eq!(bench.counts("work").await, Counts::default());
    let answers = bench.fabric.browse("answers", 10).await;
    assert_eq!(answers.expect("declared").len(), 1);
}
