//! Verifies the signatures of SNS notifications (Amazon SNS developer guide, "Verifying the signatures of Amazon SNS messages") (docs/design/sns-sqs.md, "Signature").

use crate::{Error, ErrorKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pudato_protocol::Envelope;
use ring::signature::{
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
    UnparsedPublicKey,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use x509_cert::Certificate;
use x509_cert::der::DecodePem;

/// The timeout for fetching a certificate. After that, the message waits.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of a certificate. SNS's have about 2 KB.
const CERTIFICATE_BYTES_MAX: u64 = 64 * 1024;
/// The most certificates to cache. SNS uses one at a time in each region.
const CERTIFICATES_MAX: usize = 16;

/// The oldest signature version to accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldestSignature {
    /// Versions 1 (SHA-1, SNS's default) and 2.
    Sha1,
    /// Version 2 only.
    Sha256,
}

/// Fetches the text at a URL.
pub type Fetch = Arc<dyn Fn(&str) -> Result<String, Error> + Send + Sync>;

/// Verifies envelopes. Certificates are fetched once and cached.
#[derive(Clone)]
pub struct Signatures {
    oldest: OldestSignature,
    fetch: Fetch,
    certificates: Arc<Mutex<BTreeMap<String, Arc<Certificate>>>>,
}

impl Signatures {
    /// Accepts signatures from `oldest` on, with certificates from SNS over HTTPS.
    pub fn new(oldest: OldestSignature) -> Self {
        Self::with_fetch(oldest, Arc::new(fetch))
    }

    /// As [`Signatures::new`], with certificates from `fetch`, which may block.
    pub fn with_fetch(oldest: OldestSignature, fetch: Fetch) -> Self {
        Self {
            oldest,
            fetch,
            certificates: Arc::default(),
        }
    }

    /// Verifies that SNS created the envelope and nobody changed it.
    ///
    /// # Errors
    /// `Invalid`: the signature is wrong; the text says why. `Unavailable`: the certificate cannot be fetched now.
    pub async fn verify(&self, envelope: &Envelope, now: SystemTime) -> Result<(), Error> {
        let algorithm = self.algorithm(&envelope.signature_version)?;
        let signature = STANDARD
            .decode(&envelope.signature)
            .map_err(|_| invalid("Signature", "expected base64"))?;
        check_url(&envelope.certificate_url, &envelope.topic)?;
        let certificate = self.certificate(&envelope.certificate_url).await?;
        let body = &certificate.tbs_certificate;
        let (from, until) = (body.validity.not_before, body.validity.not_after);
        if now < from.to_system_time() || now > until.to_system_time() {
            return Err(invalid(
                "SigningCertURL",
                "its certificate is not valid now",
            ));
        }
        let key = body.subject_public_key_info.subject_public_key.raw_bytes();
        let key = UnparsedPublicKey::new(algorithm, key);
        key.verify(signed(envelope).as_bytes(), &signature)
            .map_err(|_| invalid("Signature", "it is not SNS's for this message"))
    }

    fn algorithm(&self, version: &str) -> Result<&'static RsaParameters, Error> {
        match (version, self.oldest) {
            ("1", OldestSignature::Sha1) => Ok(&RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
            ("2", _) => Ok(&RSA_PKCS1_2048_8192_SHA256),
            ("1", OldestSignature::Sha256) => Err(invalid(
                "SignatureVersion",
                "expected 2, found 1; set the topic's attribute SignatureVersion to 2",
            )),
            (other, _) => {
                let expected = format!("expected 1 or 2, found {other:?}");
                Err(invalid("SignatureVersion", &expected))
            }
        }
    }

    async fn certificate(&self, url: &str) -> Result<Arc<Certificate>, Error> {
        let known = self.lock().get(url).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let (fetch, place) = (Arc::clone(&self.fetch), url.to_owned());
        let fetched = tokio::task::spawn_blocking(move || fetch(&place)).await;
        let text = fetched.map_err(|error| unavailable(url).with_source(error))??;
        let certificate = Certificate::from_pem(text.as_bytes())
            .map_err(|_| invalid("SigningCertURL", "expected a certificate in PEM there"))?;
        let certificate = Arc::new(certificate);
        let mut all = self.lock();
        if all.len() >= CERTIFICATES_MAX {
            all.clear();
        }
        all.insert(url.to_owned(), Arc::clone(&certificate));
        Ok(certificate)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Certificate>>> {
        let all = self.certificates.lock();
        all.unwrap_or_else(PoisonError::into_inner)
    }
}

fn invalid(field: &str, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{field}: {why}"))
}

fn unavailable(url: &str) -> Error {
    let context = format!("the certificate of SNS at {url}");
    Error::new(ErrorKind::Unavailable, context)
}

/// The text that SNS signs: these fields in this order, names and values on a line each, without a missing Subject.
fn signed(envelope: &Envelope) -> String {
    let mut text = String::new();
    let fields = [
        ("Message", Some(&envelope.message)),
        ("MessageId", Some(&envelope.message_id)),
        ("Subject", envelope.subject.as_ref()),
        ("Timestamp", Some(&envelope.timestamp)),
        ("TopicArn", Some(&envelope.topic)),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            let _ = write!(text, "{name}\n{value}\n");
        }
    }
    text.push_str("Type\nNotification\n");
    text
}

/// Checks that the certificate comes from SNS in the topic's own region: a forger could name a server of their own.
fn check_url(url: &str, topic: &str) -> Result<(), Error> {
    let mut parts = topic.split(':').skip(1);
    let (partition, region) = (parts.next(), parts.nth(1));
    let suffix = match partition {
        Some("aws-cn") => "amazonaws.com.cn",
        _ => "amazonaws.com",
    };
    let region = region.filter(|region| {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !region.is_empty() && region.chars().all(is_plain)
    });
    let Some(region) = region else {
        return Err(invalid("TopicArn", "expected the ARN of a topic"));
    };
    let place = format!("https://sns.{region}.{suffix}/");
    match url.strip_prefix(&place) {
        Some(path) if path.ends_with(".pem") && !path.contains(['/', '?', '#', '\\']) => Ok(()),
        _ => {
            let expected = format!("expected {place}NAME.pem, found {url:?}");
            Err(invalid("SigningCertURL", &expected))
        }
    }
}

fn fetch(url: &str) -> Result<String, Error> {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(FETCH_TIMEOUT))
        .https_only(true)
        // A redirect could lead to a server that was not checked.
        .max_redirects(0)
        .build()
        .new_agent();
    let mut answer = agent.get(url).call().map_err(|error| match error {
        // A forger can name a certificate that does not exist, and must not delay other messages.
        ureq::Error::StatusCode(400..500) => invalid("SigningCertURL", "there is nothing"),
        error => unavailable(url).with_source(error),
    })?;
    let body = answer.body_mut().with_config().limit(CERTIFICATE_BYTES_MAX);
    body.read_to_string()
        .map_err(|error| unavailable(url).with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = include_str!("../../../../fixtures/sns/certificate.pem");
    const NOTIFICATIONS: &str = include_str!("../../../../fixtures/sns/notifications.jsonl");

    fn notifications() -> Vec<Envelope> {
        let read = |line: &str| pudato_protocol::envelopes(line.as_bytes()).remove(0);
        NOTIFICATIONS.lines().map(read).collect()
    }

    fn signatures(oldest: OldestSignature) -> Signatures {
        Signatures::with_fetch(oldest, Arc::new(|_| Ok(CERTIFICATE.to_owned())))
    }

    fn noon() -> SystemTime {
        // Within the hundred years of the certificate's validity.
        SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000)
    }

    #[tokio::test]
    async fn both_versions_verify_and_the_older_can_be_refused() {
        let all = notifications();
        assert_eq!(all.len(), 4);
        for envelope in &all {
            let both = signatures(OldestSignature::Sha1);
            both.verify(envelope, noon()).await.expect("it is SNS's");
            let newest = signatures(OldestSignature::Sha256);
            let verified = newest.verify(envelope, noon()).await;
            match envelope.signature_version.as_str() {
                "2" => verified.expect("it is SNS's"),
                _ => {
                    let error = verified.expect_err("refused");
                    assert!(error.to_string().starts_with("SignatureVersion"), "{error}");
                }
            }
        }
    }

    #[tokio::test]
    async fn what_was_changed_after_it_was_signed_is_refused() {
        let signatures = signatures(OldestSignature::Sha1);
        let changes: [fn(&mut Envelope); 10] = [
            |one| one.message.push(' '),
            |one| one.message_id.push('0'),
            |one| one.subject = Some("another".into()),
            |one| one.timestamp = "2026-11-25T12:00:00.001Z".into(),
            |one| one.topic.push('s'),
            |one| one.signature_version = "3".into(),
            |one| one.signature_version.clear(),
            |one| one.signature.clear(),
            |one| one.signature = "not base64!".into(),
            |one| one.signature = STANDARD.encode([7; 256]),
        ];
        for envelope in notifications() {
            for (n, change) in changes.iter().enumerate() {
                let mut changed = envelope.clone();
                change(&mut changed);
                let error = signatures.verify(&changed, noon()).await;
                let error = error.expect_err(&format!("change {n}"));
                assert_eq!(error.kind, ErrorKind::Invalid, "change {n}: {error}");
            }
            let other_version = if envelope.signature_version == "1" {
                "2"
            } else {
                "1"
            };
            let mut changed = envelope.clone();
            changed.signature_version = other_version.into();
            signatures
                .verify(&changed, noon())
                .await
                .expect_err("another digest");
        }
    }

    #[tokio::test]
    async fn certificates_come_from_sns_of_the_topics_region_alone() {
        let nobody = Signatures::with_fetch(
            OldestSignature::Sha1,
            Arc::new(|url| panic!("{url} was fetched")),
        );
        let envelope = notifications().remove(3);
        for url in [
            "http://sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.org/x.pem",
            "https://evil.org/sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.us-east-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com@evil.org/x.pem",
            "https://sns.eu-west-1.amazonaws.com:444/x.pem",
            "https://sns.eu-west-1.amazonaws.com/../x.pem",
            "https://sns.eu-west-1.amazonaws.com/x.pem?y",
            "https://sns.eu-west-1.amazonaws.com/x.html",
            "",
        ] {
            let mut forged = envelope.clone();
            forged.certificate_url = url.into();
            let error = nobody.verify(&forged, noon()).await.expect_err(url);
            assert!(
                error.to_string().starts_with("SigningCertURL"),
                "{url}: {error}"
            );
        }
        let mut nowhere = envelope.clone();
        nowhere.topic = "arn:aws:sns".into();
        nobody
            .verify(&nowhere, noon())
            .await
            .expect_err("no region");
        let url = "https://sns.cn-north-1.amazonaws.com.cn/x.pem";
        check_url(url, "arn:aws-cn:sns:cn-north-1:1:t").expect("China");
    }

    #[tokio::test]
    async fn a_certificate_is_kept_is_valid_now_and_is_waited_for() {
        let fetched = Arc::new(Mutex::new(0));
        let count = Arc::clone(&fetched);
        let counted = move |url: &str| {
            let mut count = count.lock().expect("no panic");
            *count += 1;
            match *count {
                1 => Err(unavailable(url)),
                _ => Ok(CERTIFICATE.to_owned()),
            }
        };
        let signatures = Signatures::with_fetch(OldestSignature::Sha256, Arc::new(counted));
        let envelope = notifications().remove(2);
        let error = signatures
            .verify(&envelope, noon())
            .await
            .expect_err("no network");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        for _ in 0..3 {
            signatures
                .verify(&envelope, noon())
                .await
                .expect("it is SNS's");
        }
        assert_eq!(*fetched.lock().expect("no panic"), 2);
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let error = signatures
            .verify(&envelope, long_ago)
            .await
            .expect_err("not yet");
        assert_eq!(error.kind, ErrorKind::Invalid);
        let none = Signatures::with_fetch(OldestSignature::Sha1, Arc::new(|_| Ok("<html>".into())));
        let error = none
            .verify(&envelope, noon())
            .await
            .expect_err("no certificate");
        assert!(error.to_string().contains("PEM"), "{error}");
    }
}
