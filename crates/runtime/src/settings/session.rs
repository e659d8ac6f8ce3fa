//! Who a program is on AWS, if it does not leave that to the SDK's chain of environment, profiles and metadata.

use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Who a program is on AWS. What is `None` is left to the SDK.
#[derive(Clone, Default)]
pub struct AwsSession {
    /// The region.
    pub region: Option<String>,
    /// Where credentials come from.
    pub credentials: Option<Arc<dyn CredentialsSource>>,
}

/// Credentials.
pub struct AwsCredentials {
    /// The access key's id.
    pub access_key: String,
    /// The secret.
    pub secret_key: String,
    /// The token of temporary credentials.
    pub token: Option<String>,
}

/// Gives credentials.
#[async_trait]
pub trait CredentialsSource: Send + Sync {
    /// The credentials of now.
    ///
    /// # Errors
    /// There are none; the text says why.
    async fn credentials(self: Arc<Self>) -> Result<AwsCredentials, String>;

    /// When to ask again; `None` if the credentials do not end. Those that were given must be good for twice as long at least.
    fn ask_again_after(&self) -> Option<Duration>;
}

/// Credentials are not for logs.
impl fmt::Debug for AwsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsSession")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}
