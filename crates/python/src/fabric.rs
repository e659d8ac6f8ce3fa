//! Receives messages and settles them by their receipts.

use crate::errors;
use crate::installation::Installation;
use crate::place;
use crate::waiting::{Own, wait};
use futures_util::future::join_all;
use pudato_messaging::{Consumer as Port, Deleted, Delivery, Error, Lease, Receive, claims};
use pudato_runtime::Installation as Opened;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Reads one queue.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Consumer {
    parts: Own<Parts>,
}

struct Parts {
    port: Arc<dyn Port>,
    opened: Arc<Opened>,
}

/// A received message. Use its receipt to settle it.
#[pyclass(frozen, get_all, module = "pudato._core")]
pub(crate) struct Received {
    message_id: String,
    /// The body, fetched if it was stored as a claim; `None` if the claim could not be read.
    body: Option<String>,
    /// Why the claim could not be read.
    error: Option<Py<PyAny>>,
    /// The body as it arrived on the queue.
    raw_body: String,
    attributes: BTreeMap<String, String>,
    attempt: Option<u32>,
    receipt_handle: String,
}

#[pymethods]
impl Installation {
    /// Opens a queue, given by its URL or name, for reading.
    fn consumer(&self, py: Python<'_>, queue: &str) -> PyResult<Consumer> {
        let queue = place::queue(self.opened.settings(), queue).map_err(errors::refused)?;
        let opened = Arc::clone(&self.opened);
        let port = wait(py, async move { opened.consumer(&queue).await })?;
        let parts = Parts {
            port: port.map_err(|error| errors::port(&error))?,
            opened: Arc::clone(&self.opened),
        };
        let parts = Own::new(Arc::new(parts));
        Ok(Consumer { parts })
    }
}

/// Whether a message was deleted, if the fabric reports it, or the exception.
type Deletion<'py> = (Option<bool>, Option<Bound<'py, PyAny>>);

#[pymethods]
impl Consumer {
    /// Waits up to `wait_ms` milliseconds for messages, and returns at most `max`. A body that was stored as a claim is fetched; if that
    /// fails, the message has the reason, and the other messages are unaffected.
    fn receive(&self, py: Python<'_>, max: usize, wait_ms: u64) -> PyResult<Vec<Received>> {
        let (port, opened) = (Arc::clone(&self.parts.port), Arc::clone(&self.parts.opened));
        let receive = Receive {
            max,
            wait: Duration::from_millis(wait_ms),
        };
        let received = wait(py, async move {
            let deliveries = port.receive(receive).await?;
            let claims = &*opened.outbox.claims;
            let read = deliveries.into_iter().map(|delivery| async move {
                let read = claims::resolve(&delivery.body, &delivery.attributes, claims).await;
                let read = read.map(|resolved| resolved.body.into_owned());
                (delivery, read)
            });
            Ok::<_, Error>(join_all(read).await)
        })?;
        let received = received.map_err(|error| errors::port(&error))?.into_iter();
        let received = received.map(|(delivery, read)| as_received(py, delivery, read));
        Ok(received.collect())
    }

    /// Deletes messages by their receipts. Returns for each `True`, `False` if another consumer has received it in the meantime, or `None` if
    /// the fabric does not report this; and an exception if the call failed.
    fn delete<'py>(&self, py: Python<'py>, receipts: Vec<String>) -> PyResult<Vec<Deletion<'py>>> {
        let port = Arc::clone(&self.parts.port);
        let leases: Vec<Lease> = receipts.into_iter().map(lease).collect();
        let deleted = wait(py, async move { port.delete(leases).await })?;
        let each = deleted.into_iter().map(|one| match one {
            Ok(Deleted::Deleted) => (Some(true), None),
            Ok(Deleted::LeaseLost) => (Some(false), None),
            Ok(Deleted::Unknown) => (None, None),
            Err(error) => (None, Some(errors::value(py, &error))),
        });
        Ok(each.collect())
    }

    /// Hides a message for `for_ms` milliseconds more. Returns its new receipt; the old one is no longer valid.
    fn renew(&self, py: Python<'_>, receipt: String, for_ms: u64) -> PyResult<String> {
        let port = Arc::clone(&self.parts.port);
        let renewed = wait(py, async move {
            let mut lease = lease(receipt);
            let renewed = port.renew(vec![&mut lease], Duration::from_millis(for_ms));
            renewed.await.into_iter().collect::<Result<(), Error>>()?;
            Ok::<_, Error>(lease.receipt)
        })?;
        renewed.map_err(|error| errors::port(&error))
    }

    /// Makes a message visible to consumers again after `after_ms` milliseconds.
    fn release(&self, py: Python<'_>, receipt: String, after_ms: u64) -> PyResult<()> {
        let port = Arc::clone(&self.parts.port);
        let after = Duration::from_millis(after_ms);
        let released = wait(py, async move { port.release(lease(receipt), after).await })?;
        released.map_err(|error| errors::port(&error))
    }
}

/// Makes a lease from a receipt. The fabric reads the lease's end from the receipt.
fn lease(receipt: String) -> Lease {
    Lease {
        receipt,
        deadline_ms: 0,
    }
}

fn as_received(py: Python<'_>, delivery: Delivery, read: Result<Vec<u8>, Error>) -> Received {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (body, error) = match read {
        Ok(body) => (Some(text(&body)), None),
        Err(error) => (None, Some(errors::value(py, &error).unbind())),
    };
    Received {
        raw_body: text(&delivery.body),
        message_id: delivery.message_id,
        body,
        error,
        attributes: delivery.attributes,
        attempt: delivery.attempt,
        receipt_handle: delivery.lease.receipt,
    }
}
