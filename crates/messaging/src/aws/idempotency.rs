//! Records of requests in a table of DynamoDB, for installations without a database that all workers reach.
//!
//! The table has one key, `id`, a text. Its items carry `expires`, in seconds since the Unix epoch, for its time to live.

use super::error::failed;
use crate::{
    BeginOutcome, ClaimStore, Clock, Error, ErrorKind, IdempotencyRecord, IdempotencyStore, Key,
    RunningRequest,
};
use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue as Attribute;
use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// An answer is kept longer than its message can come again: 7 days on the queue and 14 on its dead-letter queue.
const KEEP_SECONDS: u64 = 30 * 86_400;
/// Longest answer that lies in the item itself; an item has at most 400 KB (DynamoDB's developer guide, "Quotas").
const INLINE_BYTES_MAX: usize = 300_000;

/// An [`IdempotencyStore`] on a table of DynamoDB.
pub struct DynamoIdempotencyStore {
    client: Client,
    table: String,
    claims: Arc<dyn ClaimStore>,
    clock: Arc<dyn Clock>,
}

impl DynamoIdempotencyStore {
    /// On `table`; answers that are too large for an item lie in `claims`.
    pub fn new(
        config: &SdkConfig,
        table: impl Into<String>,
        claims: Arc<dyn ClaimStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            client: Client::new(config),
            table: table.into(),
            claims,
            clock,
        }
    }

    fn what(&self) -> String {
        format!("table {}", self.table)
    }

    fn expires(&self) -> Attribute {
        number(self.clock.now_ms() / 1_000 + KEEP_SECONDS)
    }

    async fn read(&self, id: &str) -> Result<Option<HashMap<String, Attribute>>, Error> {
        let asked = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("id", text(id))
            .consistent_read(true);
        let found = asked.send().await;
        let found = found.map_err(|error| failed(&self.what(), error))?;
        Ok(found.item)
    }
}

/// One text for both parts. It begins with the service, so that a role can be held to the answers of its own
/// (`dynamodb:LeadingKeys`).
fn id(key: &Key) -> String {
    let mut hash = Sha256::new();
    hash.update(key.service.len().to_le_bytes());
    hash.update(&key.service);
    hash.update(&key.key);
    format!("{}:{}", key.service, crate::claims::hex(&hash.finalize()))
}

fn text(value: impl Into<String>) -> Attribute {
    Attribute::S(value.into())
}

fn number(value: u64) -> Attribute {
    Attribute::N(value.to_string())
}

/// Whether a write failed because its condition did not hold.
fn is_refused(error: &Error) -> bool {
    error.aws_code() == Some("ConditionalCheckFailedException")
}

#[async_trait]
impl IdempotencyStore for DynamoIdempotencyStore {
    async fn begin(
        &self,
        key: &Key,
        fingerprint: &str,
        owner: &str,
        lease: Duration,
    ) -> Result<BeginOutcome, Error> {
        let now_ms = self.clock.now_ms();
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        // A number of DynamoDB has 38 digits, so nothing is cut.
        let until_ms = now_ms.saturating_add(lease_ms);
        let id = id(key);
        let taken = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", text(&id))
            .update_expression(
                "SET fingerprint = :fingerprint, #owner = :owner, busy_until_ms = :until, #expires = :expires",
            )
            .condition_expression(
                "attribute_not_exists(id) OR (attribute_not_exists(answer) AND attribute_not_exists(claim) \
                 AND fingerprint = :fingerprint AND (#owner = :owner OR busy_until_ms <= :now))",
            )
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#expires", "expires")
            .expression_attribute_values(":fingerprint", text(fingerprint))
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":until", number(until_ms))
            .expression_attribute_values(":now", number(now_ms))
            .expression_attribute_values(":expires", self.expires())
            .send()
            .await;
        match taken.map_err(|error| failed(&self.what(), error)) {
            Ok(_) => return Ok(BeginOutcome::New),
            Err(error) if is_refused(&error) => {}
            Err(error) => return Err(error),
        }
        let standing = self.read(&id).await?.ok_or_else(|| {
            let what = format!("{}: the request was just forgotten", self.what());
            Error::new(ErrorKind::Unavailable, what)
        })?;
        let get = |name: &str| standing.get(name).and_then(|value| value.as_s().ok());
        if get("fingerprint").is_none_or(|own| own != fingerprint) {
            return Ok(BeginOutcome::Mismatch);
        }
        if let Some(answer) = get("answer") {
            let answer = answer.clone();
            return Ok(BeginOutcome::Done { answer });
        }
        if let Some(claim) = get("claim") {
            let bytes = self.claims.get(claim).await?;
            let answer = String::from_utf8(bytes).map_err(|error| {
                let what = format!("{}: {error}", self.what());
                Error::new(ErrorKind::Corrupt, what).with_source(error)
            })?;
            return Ok(BeginOutcome::Done { answer });
        }
        let until = standing
            .get("busy_until_ms")
            .and_then(|value| value.as_n().ok())
            .and_then(|text| text.parse().ok());
        Ok(BeginOutcome::Busy {
            until_ms: until.unwrap_or(now_ms),
        })
    }

    async fn finish(&self, answered: IdempotencyRecord) -> Result<bool, Error> {
        let IdempotencyRecord {
            key,
            owner,
            fingerprint,
            answer,
        } = answered;
        let (name, value) = if answer.len() <= INLINE_BYTES_MAX {
            ("answer", answer)
        } else {
            let claim = format!("answers/{}", uuid::Uuid::new_v4());
            self.claims.put(&claim, answer.into_bytes()).await?;
            ("claim", claim)
        };
        let keep = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", text(id(&key)));
        let keep = match fingerprint {
            None => keep
                .update_expression("SET #answer = :answer, #expires = :expires")
                .condition_expression(
                    "#owner = :owner AND attribute_not_exists(answer) AND attribute_not_exists(claim)",
                ),
            Some(fingerprint) => keep
                .update_expression(
                    "SET #answer = :answer, #expires = :expires, #owner = :owner, fingerprint = :fingerprint",
                )
                .condition_expression(
                    "attribute_not_exists(id) OR (#owner = :owner AND attribute_not_exists(answer) \
                     AND attribute_not_exists(claim))",
                )
                .expression_attribute_values(":fingerprint", text(fingerprint)),
        };
        let kept = keep
            .expression_attribute_names("#answer", name)
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#expires", "expires")
            .expression_attribute_values(":answer", text(value))
            .expression_attribute_values(":owner", text(owner.clone()))
            .expression_attribute_values(":expires", self.expires())
            .send()
            .await;
        match kept.map_err(|error| failed(&self.what(), error)) {
            Ok(_) => Ok(true),
            // The first answer stands, and who lost the request keeps none.
            Err(error) if is_refused(&error) => {
                let standing = self.read(&id(&key)).await?;
                let own = standing.and_then(|mut standing| standing.remove("owner"));
                Ok(own == Some(text(owner)))
            }
            Err(error) => Err(error),
        }
    }

    /// DynamoDB has transactions, at twice the price: here they go side by side.
    async fn finish_all(&self, answered: Vec<IdempotencyRecord>) -> Vec<Result<bool, Error>> {
        join_all(answered.into_iter().map(|one| self.finish(one))).await
    }

    /// Side by side, as the answers.
    async fn renew_all(
        &self,
        running: &[RunningRequest],
        lease: Duration,
    ) -> Vec<Result<bool, Error>> {
        let renewals = running.iter().map(|one| async move {
            let begun = self.begin(&one.key, &one.fingerprint, &one.owner, lease);
            begun.await.map(|begun| begun == BeginOutcome::New)
        });
        join_all(renewals).await
    }

    async fn abandon(&self, key: &Key, owner: &str) -> Result<(), Error> {
        let forgotten = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("id", text(id(key)))
            .condition_expression(
                "#owner = :owner AND attribute_not_exists(answer) AND attribute_not_exists(claim)",
            )
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(owner))
            .send()
            .await;
        match forgotten.map_err(|error| failed(&self.what(), error)) {
            Err(error) if !is_refused(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// The table's time to live does it.
    async fn forget(&self, _before_ms: u64) -> Result<Option<u64>, Error> {
        Ok(None)
    }
}
