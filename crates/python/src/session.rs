//! A boto3 session: its region, and its credentials, which are fetched again before they expire.

use async_trait::async_trait;
use pudato_runtime::settings::{AwsCredentials, AwsSession, CredentialsSource};
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// The AWS identity of a program, from a boto3 session.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Session {
    region: Option<String>,
    credentials: Option<Arc<Asked>>,
}

#[pymethods]
impl Session {
    /// `ask` returns the access key, the secret key and the token, which may be None. It is called immediately and, if
    /// `again_ms` is set, at that interval.
    #[new]
    #[pyo3(signature = (region=None, ask=None, again_ms=None))]
    fn new(region: Option<String>, ask: Option<Py<PyAny>>, again_ms: Option<u64>) -> Self {
        let again = again_ms.map(Duration::from_millis);
        let credentials = ask.map(|ask| Arc::new(Asked { ask, again }));
        Self {
            region,
            credentials,
        }
    }
}

impl Session {
    pub(crate) fn of_runtime(&self) -> AwsSession {
        let source = self.credentials.clone();
        AwsSession {
            region: self.region.clone(),
            credentials: source.map(|source| source as Arc<dyn CredentialsSource>),
        }
    }
}

struct Asked {
    ask: Py<PyAny>,
    again: Option<Duration>,
}

#[async_trait]
impl CredentialsSource for Asked {
    async fn credentials(self: Arc<Self>) -> Result<AwsCredentials, String> {
        // Python may call AWS for the credentials, or hold the GIL for a long time.
        let asked = tokio::task::spawn_blocking(move || Python::try_attach(|py| self.ask(py)));
        match asked.await {
            Ok(Some(credentials)) => credentials,
            Ok(None) => Err("the interpreter is shutting down".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn ask_again_after(&self) -> Option<Duration> {
        self.again
    }
}

impl Asked {
    fn ask(&self, py: Python<'_>) -> Result<AwsCredentials, String> {
        let asked = self.ask.bind(py).call0();
        let keys: PyResult<(String, String, Option<String>)> =
            asked.and_then(|keys| keys.extract());
        let (access_key, secret_key, token) = keys.map_err(|error| error.to_string())?;
        Ok(AwsCredentials {
            access_key,
            secret_key,
            token,
        })
    }
}
