//! How AWS is reached.

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sqs::config::SharedHttpClient;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::collections::BTreeMap;
use std::time::Duration;

/// One attempt of a call may take so long: more than the longest long poll (20 s), and short enough that a connection that hangs is
/// noticed within 90 s.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(28);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where topics and queues are.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// ARNs of topics, by the names that pudato calls them.
    pub topics: BTreeMap<String, String>,
    /// URLs of queues, likewise; one that is not here is asked for by its name.
    pub queues: BTreeMap<String, String>,
}

/// Credentials, region, profile and endpoint by the SDK's own chain; `endpoint` is an emulator instead of AWS.
pub async fn sdk_config(endpoint: Option<&str>) -> SdkConfig {
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
    loader.load().await
}

/// How calls travel: TLS by rustls, with ring.
pub fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}
