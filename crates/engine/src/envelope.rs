//! Which enveloped messages are read: those from a topic of this installation and, if the settings ask for it, signed by SNS.

use async_trait::async_trait;
use pudato_messaging::{Error, ErrorKind};
use pudato_protocol::Envelope;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Verifies the signatures of envelopes.
#[async_trait]
pub trait SignatureVerifier: Send + Sync {
    /// Verifies one envelope at the time `now`.
    ///
    /// # Errors
    /// `Invalid`: SNS did not sign it. `Unavailable`: it cannot be verified now, for example because the certificate cannot be fetched.
    async fn verify(&self, envelope: &Envelope, now: SystemTime) -> Result<(), Error>;
}

/// Which envelopes are accepted. The default accepts all, for fabrics that use none.
#[derive(Clone, Default)]
pub struct EnvelopePolicy {
    topics: Option<BTreeSet<String>>,
    verifier: Option<Arc<dyn SignatureVerifier>>,
}

impl EnvelopePolicy {
    /// Accepts the envelopes of these topics only, by their ARNs.
    pub fn only(arns: impl IntoIterator<Item = String>) -> Self {
        Self {
            topics: Some(arns.into_iter().collect()),
            verifier: None,
        }
    }

    /// Verifies every envelope with `verifier` as well.
    #[must_use]
    pub fn with_verifier(mut self, verifier: Option<Arc<dyn SignatureVerifier>>) -> Self {
        self.verifier = verifier;
        self
    }

    /// Checks every envelope of a body. Anyone who can write to a queue can write an envelope. An envelope that names a foreign topic was
    /// sent by that topic or is forged (docs/security.md).
    ///
    /// # Errors
    /// `Invalid`: the first envelope that is not accepted, and why. `Unavailable`: a signature cannot be verified now.
    pub(crate) async fn check(&self, body: &[u8], now_ms: u64) -> Result<(), Error> {
        let Some(topics) = &self.topics else {
            return Ok(());
        };
        for envelope in pudato_protocol::envelopes(body) {
            let topic = &envelope.topic;
            if !topics.contains(topic) {
                let why = format!(
                    "TopicArn: expected a topic of this system, found {topic:?}; its message is not executed"
                );
                return Err(Error::new(ErrorKind::Invalid, why));
            }
            if let Some(verifier) = &self.verifier {
                let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms);
                verifier.verify(&envelope, now).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(topic: &str, message: &str) -> String {
        serde_json::json!({"Type": "Notification", "TopicArn": topic, "Message": message})
            .to_string()
    }

    const RAW: &str = r#"{"type": "storage", "payload": {"TopicArn": "arn:foreign"}}"#;

    #[tokio::test]
    async fn an_envelope_of_a_foreign_topic_is_refused_even_inside_another() {
        let trust = EnvelopePolicy::only(["arn:own".to_owned()]);
        for body in [
            RAW.to_owned(),
            wrap("arn:own", RAW),
            wrap("arn:own", &wrap("arn:own", RAW)),
        ] {
            trust.check(body.as_bytes(), 0).await.expect(&body);
            let all = EnvelopePolicy::default();
            all.check(body.as_bytes(), 0).await.expect(&body);
        }
        for body in [
            wrap("arn:foreign", RAW),
            wrap("arn:own", &wrap("arn:foreign", RAW)),
        ] {
            let refused = trust.check(body.as_bytes(), 0).await.expect_err(&body);
            assert!(refused.to_string().contains("arn:foreign"), "{refused}");
            let all = EnvelopePolicy::default();
            all.check(body.as_bytes(), 0).await.expect(&body);
        }
    }

    /// Refuses the message "forged" and is unavailable for "later".
    struct Knows;

    #[async_trait]
    impl SignatureVerifier for Knows {
        async fn verify(&self, envelope: &Envelope, _now: SystemTime) -> Result<(), Error> {
            match envelope.message.as_str() {
                "forged" => Err(Error::new(ErrorKind::Invalid, "Signature: no")),
                "later" => Err(Error::new(ErrorKind::Unavailable, "no network")),
                _ => Ok(()),
            }
        }
    }

    #[tokio::test]
    async fn every_envelope_is_verified_if_signatures_are_checked() {
        let trust =
            EnvelopePolicy::only(["arn:own".to_owned()]).with_verifier(Some(Arc::new(Knows)));
        let kind = async |body: &str| trust.check(body.as_bytes(), 0).await.map_err(|e| e.kind);
        assert_eq!(kind(RAW).await, Ok(()));
        assert_eq!(kind(&wrap("arn:own", RAW)).await, Ok(()));
        let forged = wrap("arn:own", "forged");
        assert_eq!(kind(&forged).await, Err(ErrorKind::Invalid));
        let inner = wrap("arn:own", &forged);
        assert_eq!(kind(&inner).await, Err(ErrorKind::Invalid));
        let later = wrap("arn:own", "later");
        assert_eq!(kind(&later).await, Err(ErrorKind::Unavailable));
    }
}
