//! Containers in buckets of S3 or a compatible service.

use crate::containers::{Container, Place};
use crate::error::{Error, ErrorKind, store_error};
use crate::s3_calls::Calls;
use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::service_config::ServiceConfigKey;
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, CredentialProvider, ObjectStore};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The timeout of a connection, and of a silence on it. The call is then retried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(30);

/// The access to S3: the SDK's own chain of credentials, region, profile and endpoint.
#[derive(Clone)]
pub struct S3Access {
    region: String,
    endpoint: Option<String>,
    credentials: Arc<Credentials>,
    calls: Calls,
}

impl S3Access {
    /// Uses the configuration of the SDK.
    ///
    /// # Errors
    /// `Invalid`: the configuration has no region or no credentials.
    pub fn new(config: &SdkConfig) -> Result<Self, Error> {
        let missing = |what: &str| Error::new(ErrorKind::Invalid, format!("S3: {what}"));
        let region = config
            .region()
            .ok_or_else(|| missing("there is no region; set AWS_REGION"))?;
        let provider = config
            .credentials_provider()
            .ok_or_else(|| missing("there are no credentials; set them with `aws configure`"))?;
        Ok(Self {
            region: region.to_string(),
            endpoint: endpoint(config),
            credentials: Arc::new(Credentials {
                provider,
                kept: Mutex::default(),
            }),
            calls: Calls::default(),
        })
    }

    /// The number of calls of each S3 operation through this value and its clones, by names such as `S3 PutObject`.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.calls.all()
    }
}

/// Uses `AWS_ENDPOINT_URL_S3` and the like before the endpoint of all services, as the SDK's own clients do.
fn endpoint(config: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let own = config.service_config().zip(key.ok());
    let own = own.and_then(|(all, key)| all.load_config(key));
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// A bucket, or the part of it below a prefix.
pub(crate) struct Bucket {
    name: String,
    /// Empty, or ends with a slash.
    prefix: String,
    access: S3Access,
}

impl Bucket {
    /// Parses `bucket/prefix`. The text says what is wrong.
    pub(crate) fn new(text: &str, access: S3Access) -> Result<Self, String> {
        let (name, prefix) = text.split_once('/').unwrap_or((text, ""));
        crate::key::check_container(name).map_err(|what| format!("bucket: {what}"))?;
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() {
            crate::key::check(prefix).map_err(|what| format!("prefix: {what}"))?;
        }
        Ok(Self {
            name: name.to_owned(),
            prefix: match prefix {
                "" => String::new(),
                prefix => format!("{prefix}/"),
            },
            access,
        })
    }

    pub(crate) fn open(&self, container: &str) -> Result<Container, Error> {
        // The object store's client uses the crypto provider of the process. Another part may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let access = &self.access;
        // Large objects take long, so there is no timeout for a whole call; a hanging one is noticed by its silence.
        let options = ClientOptions::new()
            .with_timeout_disabled()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_read_timeout(SILENCE);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.name)
            .with_region(&access.region)
            .with_credentials(Arc::clone(&access.credentials) as _)
            .with_http_connector(access.calls.clone())
            .with_client_options(options);
        if let Some(endpoint) = &access.endpoint {
            builder = builder
                .with_endpoint(endpoint)
                .with_allow_http(endpoint.starts_with("http://"));
        }
        let doing = format!("container {container}");
        let bucket = builder
            .build()
            .map_err(|error| store_error(&doing, error))?;
        let store: Arc<dyn ObjectStore> = match self.prefix.as_str() {
            "" => Arc::new(bucket),
            // Unchanged, because locations contain it in this form; `Path::from` would encode `#` and `%`.
            prefix => {
                let prefix =
                    Path::parse(prefix).map_err(|error| store_error(&doing, error.into()))?;
                Arc::new(PrefixStore::new(bucket, prefix))
            }
        };
        Ok(Container {
            name: container.to_owned(),
            store,
            place: Place::Bucket {
                namespace: format!("s3://{}", self.name),
                prefix: self.prefix.clone(),
            },
        })
    }
}

/// How long before their expiry the credentials are refreshed.
const REFRESH_BEFORE: Duration = Duration::from_secs(300);

/// Caches the SDK's credentials, because the object store asks for them before every call.
#[derive(Debug)]
struct Credentials {
    provider: SharedCredentialsProvider,
    kept: Mutex<Option<(Option<SystemTime>, Arc<AwsCredential>)>>,
}

impl Credentials {
    fn kept(&self) -> Option<Arc<AwsCredential>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (expires, credential) = kept.as_ref()?;
        let is_fresh = expires.is_none_or(|at| SystemTime::now() + REFRESH_BEFORE < at);
        is_fresh.then(|| Arc::clone(credential))
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        if let Some(kept) = self.kept() {
            return Ok(kept);
        }
        let found = self.provider.provide_credentials().await;
        let found = found.map_err(|error| object_store::Error::Generic {
            store: "S3",
            source: Box::new(error),
        })?;
        let credential = Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some((found.expiry(), Arc::clone(&credential)));
        Ok(credential)
    }
}
