//! A consumer whose calls fail, some before their effect and some after.

use async_trait::async_trait;
use pudato_engine::Jitter;
use pudato_messaging::memory::MemoryConsumer;
use pudato_messaging::{
    Consumer, Deleted, Delivery, Error, ErrorKind, Lease, Limits, Message, Receive, Settlement,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub struct Faulty {
    pub inner: MemoryConsumer,
    pub jitter: Arc<Jitter>,
    pub faults: Arc<AtomicBool>,
}

enum Fault {
    Before,
    After,
}

impl Faulty {
    fn fault(&self) -> Option<Fault> {
        if !self.faults.load(Ordering::Relaxed) {
            return None;
        }
        match self.jitter.up_to(19) {
            0 => Some(Fault::Before),
            1 => Some(Fault::After),
            _ => None,
        }
    }
}

fn down() -> Error {
    Error::new(ErrorKind::Unavailable, "the network is down")
}

fn all<T>(count: usize) -> Vec<Result<T, Error>> {
    (0..count).map(|_| Err(down())).collect()
}

#[async_trait]
impl Consumer for Faulty {
    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn receive(&self, receive: Receive) -> Result<Vec<Delivery>, Error> {
        let fault = self.fault();
        if matches!(fault, Some(Fault::Before)) {
            return Err(down());
        }
        let mut received = self.inner.receive(receive).await?;
        if matches!(fault, Some(Fault::After)) && !received.is_empty() {
            // The answer is lost on the way: nobody has the lease until it ends.
            return Err(down());
        }
        for n in (1..received.len()).rev() {
            let other = usize::try_from(self.jitter.up_to(n as u64)).unwrap_or(0);
            received.swap(n, other);
        }
        Ok(received)
    }

    async fn delete(&self, leases: Vec<Lease>) -> Vec<Result<Deleted, Error>> {
        let count = leases.len();
        match self.fault() {
            Some(Fault::Before) => all(count),
            Some(Fault::After) => {
                self.inner.delete(leases).await;
                all(count)
            }
            None => self.inner.delete(leases).await,
        }
    }

    async fn renew(&self, leases: Vec<&mut Lease>, want: Duration) -> Vec<Result<(), Error>> {
        match self.fault() {
            Some(Fault::Before) => all(leases.len()),
            _ => self.inner.renew(leases, want).await,
        }
    }

    async fn excuse(&self, lease: &Lease) {
        if !matches!(self.fault(), Some(Fault::Before)) {
            self.inner.excuse(lease).await;
        }
    }

    async fn release(&self, lease: Lease, after: Duration) -> Result<(), Error> {
        match self.fault() {
            Some(Fault::Before) => Err(down()),
            _ => self.inner.release(lease, after).await,
        }
    }

    async fn dead_letter(
        &self,
        lease: Lease,
        reason: &str,
        publish: Vec<(String, Message)>,
    ) -> Result<(), Error> {
        match self.fault() {
            Some(Fault::Before) => Err(down()),
            _ => self.inner.dead_letter(lease, reason, publish).await,
        }
    }

    async fn schedule(
        &self,
        messages: Vec<(Duration, Message)>,
    ) -> Result<Vec<Result<String, Error>>, Error> {
        self.inner.schedule(messages).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Result<Deleted, Error>> {
        let count = settlements.len();
        match self.fault() {
            Some(Fault::Before) => all(count),
            Some(Fault::After) => {
                self.inner.settle(settlements).await;
                all(count)
            }
            None => self.inner.settle(settlements).await,
        }
    }
}
