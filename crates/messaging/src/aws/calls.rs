//! Counts the calls of AWS, which determine its bill.

use aws_sdk_sqs::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_sqs::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sqs::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The name under which empty receives are counted. They also count as receives.
pub const EMPTY_RECEIVES: &str = "empty receives";

/// The suffix of a counter for the requests beyond the first of each call: AWS bills every 64 KB of a call as a request.
pub const BEYOND_64_KB: &str = " beyond 64 KB";
/// The size of one billed request (<https://aws.amazon.com/sqs/pricing/>, <https://aws.amazon.com/sns/pricing/>).
const REQUEST_BYTES: usize = 64 << 10;

/// The number of calls of each operation, by names such as `SQS ReceiveMessage`. A retried call counts again.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls(Arc<Mutex<BTreeMap<String, u64>>>);

impl Calls {
    /// Counts a receive that found nothing.
    pub(super) fn empty_receive(&self) {
        self.add(EMPTY_RECEIVES.into());
    }

    /// Counts the bytes that a call carried.
    pub(super) fn carried(&self, verb: &str, bytes: usize) {
        let beyond = bytes.div_ceil(REQUEST_BYTES).saturating_sub(1);
        if beyond > 0 {
            let beyond = u64::try_from(beyond).unwrap_or(u64::MAX);
            self.add_some(format!("{verb}{BEYOND_64_KB}"), beyond);
        }
    }

    fn add(&self, name: String) {
        self.add_some(name, 1);
    }

    fn add_some(&self, name: String, some: u64) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry(name).or_default() += some;
    }

    pub(super) fn all(&self) -> BTreeMap<String, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "Calls"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(metadata) = config.load::<Metadata>() {
            self.add(format!("{} {}", metadata.service(), metadata.name()));
        }
        Ok(())
    }
}
