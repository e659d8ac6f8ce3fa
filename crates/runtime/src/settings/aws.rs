//! Settings of the AWS fabric.

use super::reader::Reader;
use super::services::{queue_variable, queues, topic_variable, topics};
use std::collections::BTreeMap;

/// The topics and queues on AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsSettings {
    /// The ARNs of topics, by their messages: a service, `results` or `events`.
    pub topic_arns: BTreeMap<&'static str, String>,
    /// The URLs of queues, by their readers: a service, `results` or `history`.
    pub queue_urls: BTreeMap<&'static str, String>,
    /// The required signatures of notifications.
    pub signatures: SignaturePolicy,
}

/// The required signatures of SNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignaturePolicy {
    /// Signatures are not verified.
    Off,
    /// Version 1 (SHA-1) or later.
    Sha1,
    /// Version 2 (SHA-256).
    Sha256,
}

impl AwsSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let (mut topic_arns, mut queue_urls) = (BTreeMap::new(), BTreeMap::new());
        for name in topics() {
            let variable = topic_variable(name);
            let Some(arn) = reader.optional(&variable) else {
                continue;
            };
            if !arn.starts_with("arn:") || arn.split(':').count() != 6 {
                reader.wrong(&variable, &"arn:aws:sns:REGION:ACCOUNT:TOPIC", arn);
            }
            topic_arns.insert(name, arn.to_owned());
        }
        for name in queues() {
            let variable = queue_variable(name);
            let Some(url) = reader.optional(&variable) else {
                continue;
            };
            if !url.starts_with("http") {
                reader.wrong(&variable, &"the URL of a queue", url);
            }
            queue_urls.insert(name, url.to_owned());
        }
        let policies = [
            ("off", SignaturePolicy::Off),
            ("v1", SignaturePolicy::Sha1),
            ("v2", SignaturePolicy::Sha256),
        ];
        Self {
            topic_arns,
            queue_urls,
            signatures: reader.choice("PUDATO_SNS_SIGNATURES", &policies),
        }
    }
}
