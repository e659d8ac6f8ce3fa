//! Counts calls: on AWS they are the bill.

use aws_sdk_sqs::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_sqs::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sqs::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The name under which receives are counted that found nothing: they are among the receives as well.
pub const EMPTY_RECEIVES: &str = "empty receives";

/// What follows the name of a verb under which its requests are counted beyond its calls: AWS bills every 64 KB of a call as a request.
pub const BEYOND_64_KB: &str = " beyond 64 KB";
/// What one request may carry (<https://aws.amazon.com/sqs/pricing/>, <https://aws.amazon.com/sns/pricing/>).
const REQUEST_BYTES: usize = 64 << 10;

/// How often each verb was called, by `SQS ReceiveMessage` and the like; a call that is tried again counts again.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls(Arc<Mutex<BTreeMap<String, u64>>>);

impl Calls {
    /// A receive found nothing.
    pub(super) fn empty_receive(&self) {
        self.add(EMPTY_RECEIVES.into());
    }

    /// A call carried `bytes`.
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
