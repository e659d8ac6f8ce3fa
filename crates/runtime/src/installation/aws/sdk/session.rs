//! Credentials that a program brings itself, for the SDK.

use crate::settings::{AwsCredentials, AwsSession, CredentialsSource};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use pudato_messaging::aws::Identity;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex as AsyncMutex;

/// After credentials could not be had, they are asked for again after this time.
const RETRY: Duration = Duration::from_secs(5);

/// The identity for the SDK.
pub(super) fn identity(session: Option<&AwsSession>) -> Identity {
    let Some(session) = session else {
        return Identity::default();
    };
    let source = session.credentials.clone();
    Identity {
        region: session.region.clone(),
        credentials: source.map(|source| SharedCredentialsProvider::new(Provider::new(source))),
    }
}

/// Gives what was asked for last. A task of its own asks again, so that no call to AWS ever waits for the source but the first.
struct Provider {
    kept: Arc<Kept>,
    /// Only one of several first calls asks.
    first: AsyncMutex<()>,
}

struct Kept {
    source: Arc<dyn CredentialsSource>,
    last: Mutex<Option<Credentials>>,
}

impl Provider {
    fn new(source: Arc<dyn CredentialsSource>) -> Self {
        let last = Mutex::default();
        Self {
            kept: Arc::new(Kept { source, last }),
            first: AsyncMutex::default(),
        }
    }

    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        if let Some(last) = self.kept.last() {
            return Ok(last);
        }
        let _first = self.first.lock().await;
        if let Some(last) = self.kept.last() {
            return Ok(last);
        }
        let asked = self.kept.ask().await;
        let first = asked.map_err(|why| CredentialsError::provider_error(Refused(why)))?;
        if let Some(every) = self.kept.source.ask_again_after() {
            tokio::spawn(ask_again(Arc::downgrade(&self.kept), every));
        }
        Ok(first)
    }
}

impl Kept {
    fn last(&self) -> Option<Credentials> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }

    async fn ask(&self) -> Result<Credentials, String> {
        let AwsCredentials {
            access_key,
            secret_key,
            token,
        } = Arc::clone(&self.source).credentials().await?;
        // The SDK then looks for newer ones this often.
        let until = self.source.ask_again_after();
        let until = until.and_then(|until| SystemTime::now().checked_add(2 * until));
        let asked = Credentials::new(access_key, secret_key, token, until, "session");
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(asked.clone());
        Ok(asked)
    }
}

/// Asks again and again, until the provider is dropped.
async fn ask_again(kept: Weak<Kept>, every: Duration) {
    let mut after = every;
    loop {
        tokio::time::sleep(after).await;
        let Some(kept) = kept.upgrade() else {
            return;
        };
        after = match kept.ask().await {
            Ok(_) => every,
            Err(error) => {
                tracing::warn!(
                    error,
                    "the session gave no credentials; pudato goes on with the last ones and asks again"
                );
                RETRY.min(every)
            }
        };
    }
}

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

/// Why a session gave no credentials.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the session gave no credentials: {}", self.0)
    }
}

impl std::error::Error for Refused {}
