//! Connects to AWS.

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::{SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::collections::BTreeMap;
use std::time::Duration;

/// The timeout of one attempt of a call: more than the longest long poll (20 s), and short enough to notice a hanging connection within 90
/// s.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(28);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The addresses of topics and queues.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The ARNs of topics, by the names that pudato uses.
    pub topics: BTreeMap<String, String>,
    /// The URLs of queues, by the names that pudato uses. pudato asks SQS for a missing one by its name.
    pub queues: BTreeMap<String, String>,
}

/// Who calls AWS. The SDK's own chain finds what is `None`.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The region.
    pub region: Option<String>,
    /// Where credentials come from.
    pub credentials: Option<SharedCredentialsProvider>,
}

/// Loads credentials, region, profile and endpoint with the SDK's own chain. `endpoint` is that of an emulator.
pub async fn sdk_config(endpoint: Option<&str>) -> SdkConfig {
    sdk_config_of(endpoint, Identity::default()).await
}

/// As [`sdk_config`], but the SDK's own chain finds only what `identity` has not.
pub async fn sdk_config_of(endpoint: Option<&str>, identity: Identity) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .timeout_config(timeouts);
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(region) = identity.region {
        loader = loader.region(Region::new(region));
    }
    if let Some(credentials) = identity.credentials {
        loader = loader.credentials_provider(credentials);
    }
    loader.load().await
}

/// The HTTP client of all calls: TLS with rustls and ring.
pub fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}
