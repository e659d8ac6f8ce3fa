//! Which topics a wrapped message may say it came through.

use std::collections::BTreeSet;

/// The topics that are trusted; on a fabric that wraps nothing, all are.
#[derive(Debug, Clone, Default)]
pub struct TrustedTopics(Option<BTreeSet<String>>);

impl TrustedTopics {
    /// Only these, by their ARNs.
    pub fn only(arns: impl IntoIterator<Item = String>) -> Self {
        Self(Some(arns.into_iter().collect()))
    }

    /// Checks every envelope of a body. Whoever can write to a queue can write an envelope; one that names a foreign topic was sent
    /// by a foreign topic, or is forged (behaviours.md, security line 7).
    ///
    /// # Errors
    /// The first topic that is not trusted.
    pub(crate) fn check(&self, body: &[u8]) -> Result<(), String> {
        let Some(trusted) = &self.0 else {
            return Ok(());
        };
        let topics = pudato_protocol::envelope_topics(body);
        match topics.into_iter().find(|topic| !trusted.contains(topic)) {
            None => Ok(()),
            Some(topic) => Err(format!(
                "TopicArn: expected a topic of this system, found {topic:?}; its message is not executed"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_of_a_foreign_topic_is_refused_also_within_another() {
        let trusted = TrustedTopics::only(["arn:own".to_owned()]);
        let wrap = |topic: &str, message: &str| {
            serde_json::json!({"Type": "Notification", "TopicArn": topic, "Message": message})
                .to_string()
        };
        let raw = r#"{"type": "storage", "payload": {"TopicArn": "arn:foreign"}}"#;
        for body in [
            raw.to_owned(),
            wrap("arn:own", raw),
            wrap("arn:own", &wrap("arn:own", raw)),
        ] {
            trusted.check(body.as_bytes()).expect(&body);
            TrustedTopics::default()
                .check(body.as_bytes())
                .expect(&body);
        }
        for body in [
            wrap("arn:foreign", raw),
            wrap("arn:own", &wrap("arn:foreign", raw)),
        ] {
            let refused = trusted.check(body.as_bytes()).expect_err(&body);
            assert!(refused.contains("arn:foreign"), "{refused}");
            TrustedTopics::default()
                .check(body.as_bytes())
                .expect(&body);
        }
    }
}
