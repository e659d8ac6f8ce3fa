//! The world of the simulation: fabric, workers, faults.

mod faulty;
mod handler;

use faulty::Faulty;
use handler::Unreliable;
use pudato_engine::{
    CancellationToken, DeadLetterWatch, Jitter, Kind, Outbox, Processor, ResultsConsumer, Spawn,
    Task, Worker, publish_command,
};
use pudato_messaging::claims::ClaimStore;
use pudato_messaging::memory::MemoryFabric;
use pudato_messaging::{
    Clock, Consumer, Error, ErrorKind, ManualClock, Operations, QueueConfig, Subscription, Topology,
};
use pudato_protocol::Command;
use pudato_registry::{RegistryStore, SqliteRegistry};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const COMMANDS: &str = "pudato-test-commands";
const QUEUE: &str = "pudato-test-queue";
const DEAD: &str = "pudato-test-dlq";
const RESULTS: &str = "pudato-results";
const EVENTS: &str = "pudato-events";
const RESULTS_QUEUE: &str = "pudato-results-queue";
const RESULTS_DEAD: &str = "pudato-results-dlq";
const VISIBILITY: Duration = Duration::from_secs(30);

pub struct World {
    pub fabric: MemoryFabric,
    pub registry: SqliteRegistry,
    clock: ManualClock,
    jitter: Arc<Jitter>,
    faults: Arc<AtomicBool>,
}

/// Tasks that can be stopped all at once, as by a crash.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Mutex<Vec<tokio::task::AbortHandle>>>);

impl Spawn for Tasks {
    fn spawn(&self, task: Task) {
        let handle = tokio::spawn(task).abort_handle();
        self.0.lock().expect("no panic").push(handle);
    }
}

impl Tasks {
    pub fn crash(&mut self) {
        for task in self.0.lock().expect("no panic").drain(..) {
            task.abort();
        }
    }
}

impl World {
    pub async fn new(seed: u64, jitter: Arc<Jitter>) -> Self {
        // A panic of a handler is part of the simulation; its text is not printed.
        std::panic::set_hook(Box::new(|panic| {
            if !panic.to_string().contains("a handler's bug") {
                eprintln!("{panic}");
            }
        }));
        let clock = ManualClock::at(1_795_392_000_000 + seed);
        let fabric = MemoryFabric::new(Arc::new(clock.clone()));
        let queue = |name: &str, receives, dead: &str| {
            let mut queue = QueueConfig::new(name).redrive(receives, dead);
            queue.visibility = VISIBILITY;
            queue
        };
        let topology = Topology {
            topics: [COMMANDS, RESULTS, EVENTS].map(str::to_owned).to_vec(),
            queues: vec![
                queue(QUEUE, 6, DEAD),
                QueueConfig::new(DEAD),
                queue(RESULTS_QUEUE, 100, RESULTS_DEAD),
                QueueConfig::new(RESULTS_DEAD),
            ],
            subscriptions: vec![
                Subscription::new(COMMANDS, QUEUE),
                Subscription::new(RESULTS, RESULTS_QUEUE),
            ],
        };
        fabric.declare(topology).await.expect("declared");
        Self {
            fabric,
            registry: SqliteRegistry::in_memory().expect("memory"),
            clock,
            jitter,
            faults: Arc::new(AtomicBool::new(true)),
        }
    }

    fn outbox(&self) -> Outbox {
        Outbox {
            publisher: Arc::new(self.fabric.clone()),
            claims: Arc::new(NoClaims),
            clock: Arc::new(self.clock.clone()),
        }
    }

    async fn consumer(&self, queue: &str) -> Arc<dyn Consumer> {
        Arc::new(Faulty {
            inner: self.fabric.consumer(queue).await.expect("declared"),
            jitter: Arc::clone(&self.jitter),
            faults: Arc::clone(&self.faults),
        })
    }

    pub async fn worker(&self, n: usize, drain: &CancellationToken) -> Tasks {
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let processor = Processor {
            envelopes: Default::default(),
            progress: Arc::new(()),
            handler: Arc::new(Unreliable {
                jitter: Arc::clone(&self.jitter),
                clock: Arc::clone(&clock),
                faults: Arc::clone(&self.faults),
            }),
            claims: Arc::new(NoClaims),
            idempotency: Arc::new(self.fabric.clone()),
            clock,
            owner: format!("worker-{n}"),
            lease: VISIBILITY,
            settles_at_once: true,
            deliveries: Default::default(),
        };
        let tasks = Tasks::default();
        let worker = Worker {
            processor: Arc::new(processor),
            consumer: self.consumer(QUEUE).await,
            outbox: self.outbox(),
            results_topic: RESULTS.into(),
            events_topic: EVENTS.into(),
            jitter: Arc::clone(&self.jitter),
            spawn: Arc::new(tasks.clone()),
            concurrency: 3,
            visibility: VISIBILITY,
            grace: Duration::from_secs(1),
            board: Default::default(),
        };
        let drain = drain.clone();
        tasks.spawn(Box::pin(async move {
            let _ = worker.run(drain).await;
        }));
        tasks
    }

    pub async fn results_consumer(&self, drain: &CancellationToken) -> Tasks {
        let tasks = Tasks::default();
        let consumer = ResultsConsumer {
            envelopes: Default::default(),
            consumer: self.consumer(RESULTS_QUEUE).await,
            registry: Arc::new(self.registry.clone()),
            claims: Arc::new(NoClaims),
            clock: Arc::new(self.clock.clone()),
            jitter: Arc::clone(&self.jitter),
            kind: Kind::Results,
            visibility: VISIBILITY,
            left_alone: None,
            board: Default::default(),
        };
        let watch = DeadLetterWatch {
            operations: Arc::new(self.fabric.clone()),
            queues: vec![DEAD.into()],
            outbox: self.outbox(),
            results_topic: RESULTS.into(),
            every: Duration::from_secs(5),
            clock: Arc::new(self.clock.clone()),
        };
        let (one, two) = (drain.clone(), drain.clone());
        tasks.spawn(Box::pin(async move {
            let _ = consumer.run(one).await;
        }));
        tasks.spawn(Box::pin(async move { watch.run(two).await }));
        tasks
    }

    /// Publishes a command, sometimes twice, like a publisher that did not get the answer.
    pub async fn publish(&self, command: &Command) -> bool {
        let outbox = self.outbox();
        let publish = || publish_command(&outbox, COMMANDS, command);
        let published = publish().await.is_ok();
        if published && self.jitter.up_to(5) == 0 {
            let _ = publish().await;
        }
        published
    }

    /// Checks that the command is somewhere: at no moment may it be nowhere.
    pub async fn assert_somewhere(&self, seed: u64, command: &Command) {
        let id = command.correlation_id.as_str();
        let waiting = self
            .fabric
            .find("correlation_id", id)
            .await
            .expect("in memory");
        let recorded = self.registry.results_of(id).await.expect("in memory");
        assert!(
            !waiting.is_empty() || !recorded.is_empty(),
            "seed {seed}: {id} is lost"
        );
    }

    pub fn advance_up_to_ms(&self, ms: u64) {
        self.clock
            .advance(Duration::from_millis(self.jitter.up_to(ms)));
    }

    pub fn stop_faults(&self) {
        self.faults.store(false, Ordering::Relaxed);
    }

    /// Whether no message waits and every dead letter is explained.
    pub async fn is_quiet(&self) -> bool {
        for queue in [QUEUE, RESULTS_QUEUE] {
            let counts = self.fabric.counts(queue).await.expect("declared");
            if counts.visible + counts.in_flight + counts.delayed > 0 {
                return false;
            }
        }
        let dead = self.fabric.browse(DEAD, 100).await.expect("declared");
        dead.iter().all(|stored| {
            let dead = stored.dead_letter.as_ref();
            dead.is_some_and(|dead| dead.reason.is_some())
        })
    }
}

/// Lets every task run until it waits.
pub async fn settle_down() {
    for _ in 0..40 {
        tokio::task::yield_now().await;
    }
}

/// No claims: the messages of the simulation are small.
pub struct NoClaims;

#[async_trait::async_trait]
impl ClaimStore for NoClaims {
    fn container(&self) -> &str {
        "claims"
    }
    async fn put(&self, _: &str, _: Vec<u8>) -> Result<(), Error> {
        Err(Error::new(ErrorKind::TooLarge, "no claims here"))
    }
    async fn get(&self, _: &str) -> Result<Vec<u8>, Error> {
        Err(Error::new(ErrorKind::NotFound, "no claims here"))
    }
}
