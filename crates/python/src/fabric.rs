//! Receiving and deleting messages.

use crate::errors;
use crate::waiting::wait;
use pudato_messaging::{Consumer as Port, Lease, Receive, claims};
use pudato_runtime::Installation as Opened;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A topic or queue, by the name under which the fabric knows it.
pub(crate) struct Place {
    pub(crate) name: String,
}

impl Place {
    /// A topic by its ARN, which ends in `:NAME`, or by its name.
    pub(crate) fn topic(place: &str) -> Self {
        let name = place.rsplit(':').next().unwrap_or(place).to_owned();
        Self { name }
    }

    /// A queue by its URL, which ends in `/NAME`, by its ARN or by its name.
    pub(crate) fn queue(place: &str) -> Self {
        let name = place.rsplit(['/', ':']).next().unwrap_or(place).to_owned();
        Self { name }
    }
}

/// Reads one queue.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Consumer {
    port: Arc<dyn Port>,
    opened: Arc<Opened>,
}

/// A received message. Its receipt deletes it.
#[pyclass(frozen, get_all, module = "pudato._core")]
pub(crate) struct Received {
    message_id: String,
    body: String,
    attributes: BTreeMap<String, String>,
    attempt: Option<u32>,
    receipt_handle: String,
}

impl Consumer {
    pub(crate) fn new(port: Arc<dyn Port>, opened: Arc<Opened>) -> Self {
        Self { port, opened }
    }
}

#[pymethods]
impl Consumer {
    /// Waits up to `wait_ms` milliseconds for messages, and returns at most `max`. A body that was stored as a claim is fetched.
    fn receive(&self, py: Python<'_>, max: usize, wait_ms: u64) -> PyResult<Vec<Received>> {
        let (port, opened) = (Arc::clone(&self.port), Arc::clone(&self.opened));
        let receive = Receive {
            max,
            wait: Duration::from_millis(wait_ms),
        };
        let received = wait(py, async move {
            let mut received = Vec::new();
            for delivery in port.receive(receive).await? {
                let store = &*opened.outbox.claims;
                let resolved = claims::resolve(&delivery.body, &delivery.attributes, store).await?;
                received.push(Received {
                    message_id: delivery.message_id,
                    body: String::from_utf8_lossy(&resolved.body).into_owned(),
                    attributes: delivery.attributes,
                    attempt: delivery.attempt,
                    receipt_handle: delivery.lease.receipt,
                });
            }
            Ok(received)
        })?;
        received.map_err(|error| errors::port(&error))
    }

    /// Deletes messages by their receipts.
    fn delete(&self, py: Python<'_>, receipts: Vec<String>) -> PyResult<()> {
        let port = Arc::clone(&self.port);
        let leases = receipts.into_iter().map(|receipt| Lease {
            receipt,
            deadline_ms: 0,
        });
        let leases: Vec<Lease> = leases.collect();
        let deleted = wait(py, async move { port.delete(leases).await })?;
        for one in deleted {
            one.map_err(|error| errors::port(&error))?;
        }
        Ok(())
    }
}
