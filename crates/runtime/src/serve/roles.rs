//! The loops of an installation, each with its ports.

use crate::installation::{Installation, OpenError};
use crate::openlineage::TransportClient;
use crate::settings::services;
use pudato_engine::{
    DeadLetterWatch, Jitter, Kind, OpenLineageExporter, Processor, ProgressReporter,
    ResultsConsumer, TokioTasks, Worker,
};
use pudato_handler::Progress;
use pudato_messaging::Consumer;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Installation {
    pub(super) async fn worker(&self, service: &str) -> Result<Worker, OpenError> {
        let processor = self.processor(service)?;
        let queue = self.names.queue(service);
        let settings = self.settings();
        Ok(Worker {
            processor: Arc::new(processor),
            consumer: self.fabric.consumers.consumer(&queue).await?,
            outbox: self.outbox.clone(),
            results_topic: self.names.results(),
            events_topic: self.names.events(),
            jitter: Arc::new(Jitter::new()),
            spawn: Arc::new(TokioTasks),
            concurrency: settings.concurrency,
            visibility: settings.visibility,
            grace: settings.drain,
            board: self.board.clone(),
        })
    }

    /// The processor for the messages of `service`.
    pub(crate) fn processor(&self, service: &str) -> Result<Processor, OpenError> {
        let owner = Jitter::new().up_to(u64::MAX);
        Ok(Processor {
            handler: Arc::clone(self.handler(service)?),
            envelopes: self.fabric.envelopes.clone(),
            claims: Arc::clone(&self.outbox.claims),
            progress: self.progress_reporter(service),
            idempotency: Arc::clone(&self.fabric.idempotency),
            clock: Arc::clone(&self.clock),
            owner: format!("{}-{owner:016x}", std::process::id()),
            lease: self.settings().visibility,
            settles_at_once: self.fabric.settles_atomically,
            deliveries: Arc::clone(&self.deliveries),
        })
    }

    fn progress_reporter(&self, service: &str) -> Arc<dyn Progress> {
        let (topic, clock) = (self.names.results(), Arc::clone(&self.clock));
        let (reporter, work) = ProgressReporter::new(service, self.outbox.clone(), topic, clock);
        tokio::spawn(work);
        Arc::new(reporter)
    }

    /// The results consumer that writes the messages of `consumer` to the registry.
    pub(crate) fn results_consumer(
        &self,
        consumer: Arc<dyn Consumer>,
        kind: Kind,
    ) -> ResultsConsumer {
        ResultsConsumer {
            consumer,
            envelopes: self.fabric.envelopes.clone(),
            registry: Arc::clone(&self.registry),
            claims: Arc::clone(&self.outbox.claims),
            clock: Arc::clone(&self.clock),
            jitter: Arc::new(Jitter::new()),
            kind,
            visibility: self.settings().visibility,
            left_alone: None,
            board: self.board.clone(),
        }
    }

    pub(super) fn openlineage_exporter(&self) -> Option<OpenLineageExporter> {
        let transport = TransportClient::new(self.settings().openlineage.clone()?);
        Some(OpenLineageExporter {
            registry: Arc::clone(&self.registry),
            transport: Arc::new(transport),
            clock: Arc::clone(&self.clock),
            jitter: Arc::new(Jitter::new()),
        })
    }

    pub(crate) fn dead_letter_watch(&self) -> DeadLetterWatch {
        DeadLetterWatch {
            operations: Arc::clone(&self.fabric.operations),
            queues: self.watched(),
            outbox: self.outbox.clone(),
            results_topic: self.names.results(),
            every: self.fabric.profile.watch_every,
            clock: Arc::clone(&self.clock),
        }
    }

    /// The dead-letter queues of commands: those of the services with a handler here and of all services whose queue the settings name,
    /// since other programs may run their handlers.
    fn watched(&self) -> Vec<String> {
        let here = self.handlers.keys().filter(|name| self.has_queue(name));
        let mut services: BTreeSet<&str> = here.map(String::as_str).collect();
        if let Some(known) = &self.fabric.known_queues {
            let named = services::SERVICES.iter().map(|service| service.name);
            services.extend(named.filter(|name| known.contains(name)));
        }
        let services = services.into_iter();
        services.map(|name| self.names.dead_letters(name)).collect()
    }
}
