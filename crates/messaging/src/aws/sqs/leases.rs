//! Deletes messages, and renews and releases their leases.

use super::queue::{BATCH, SqsConsumer, ms, seconds};
use super::receipt;
use crate::aws::entries::BatchOutcome;
use crate::aws::error::{failed, without_namespace};
use crate::{Deleted, Error, ErrorKind, Lease};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
};
use futures_util::future::join_all;
use std::sync::PoisonError;
use std::time::Duration;

impl SqsConsumer {
    pub(super) async fn delete_batch(&self, leases: &[Lease]) -> Vec<Result<Deleted, Error>> {
        let mut answers = BatchOutcome::new("delete");
        let mut entries = Vec::new();
        for lease in leases {
            match receipt::read(&self.queue, lease) {
                Err(error) => answers.refused(error),
                Ok(receipt) => {
                    let built = DeleteMessageBatchRequestEntry::builder()
                        .id(answers.sent())
                        .receipt_handle(receipt.handle)
                        .build();
                    entries.extend(built.ok());
                }
            }
        }
        if entries.is_empty() {
            return answers.into_vec();
        }
        let call = self
            .shared
            .sqs
            .delete_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries));
        match call.send().await {
            Err(error) => answers.all_failed(&failed(&self.context(), error)),
            Ok(done) => {
                let mut handled = self
                    .recently_deleted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                for deleted in done.successful() {
                    let Some(n) = answers.place(deleted.id()) else {
                        continue;
                    };
                    answers.set(n, Ok(Deleted::Unknown));
                    if let Ok(receipt) = receipt::read(&self.queue, &leases[n]) {
                        handled.insert(receipt.message_id, self.now_ms());
                    }
                }
                for refused in done.failed() {
                    // This consumer received the message, so the receipt is not forged but old, and SQS reports nothing more. (SQS itself
                    // accepts an old receipt; ministack 1.5.33 does not.)
                    match answers.place(refused.id()) {
                        Some(n)
                            if without_namespace(refused.code()) == "ReceiptHandleIsInvalid" =>
                        {
                            answers.set(n, Ok(Deleted::Unknown));
                        }
                        _ => answers.failed(refused.id(), refused.code(), refused.message()),
                    }
                }
            }
        }
        answers.into_vec()
    }

    /// Renews all batches concurrently, so that none waits for another call.
    pub(super) async fn renew_all(
        &self,
        sqs: &aws_sdk_sqs::Client,
        mut leases: Vec<&mut Lease>,
        want: Duration,
    ) -> Vec<Result<(), Error>> {
        let batches = leases.chunks_mut(BATCH);
        let calls = batches.map(|batch| self.renew_batch(sqs, batch, want));
        join_all(calls).await.into_iter().flatten().collect()
    }

    async fn renew_batch(
        &self,
        sqs: &aws_sdk_sqs::Client,
        leases: &mut [&mut Lease],
        want: Duration,
    ) -> Vec<Result<(), Error>> {
        let now_ms = self.now_ms();
        let mut answers = BatchOutcome::new("renew");
        let mut entries = Vec::new();
        for lease in leases.iter() {
            match self.check_renewal(lease, want, now_ms) {
                Err(error) => answers.refused(error),
                Ok(handle) => {
                    let built = ChangeMessageVisibilityBatchRequestEntry::builder()
                        .id(answers.sent())
                        .receipt_handle(handle)
                        .visibility_timeout(seconds(want))
                        .build();
                    entries.extend(built.ok());
                }
            }
        }
        if entries.is_empty() {
            return answers.into_vec();
        }
        let call = sqs
            .change_message_visibility_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries));
        match call.send().await {
            Err(error) => answers.all_failed(&failed(&self.context(), error)),
            Ok(done) => {
                for renewed in done.successful() {
                    if let Some(n) = answers.place(renewed.id()) {
                        answers.set(n, Ok(()));
                        leases[n].deadline_ms = now_ms.saturating_add(ms(want));
                    }
                }
                for refused in done.failed() {
                    answers.failed(refused.id(), refused.code(), refused.message());
                }
            }
        }
        answers.into_vec()
    }

    pub(super) async fn release_one(&self, lease: Lease, after: Duration) -> Result<(), Error> {
        let handle = self.check_renewal(&lease, after, self.now_ms())?;
        let call = self
            .shared
            .sqs
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(handle)
            .visibility_timeout(seconds(after));
        let released = call.send().await;
        released.map_err(|error| failed(&self.context(), error))?;
        self.let_go(&lease);
        Ok(())
    }

    /// Checks the limit of SQS: 12 hours from the receive.
    fn check_renewal<'a>(
        &self,
        lease: &'a Lease,
        want: Duration,
        now_ms: u64,
    ) -> Result<&'a str, Error> {
        let receipt = receipt::read(&self.queue, lease)?;
        // SQS counts whole seconds.
        let held_s = now_ms.saturating_sub(receipt.received_ms) / 1_000;
        if held_s.saturating_add(want.as_secs()) > self.limits.lease_max.as_secs() {
            let what = "lease: at most 12 hours from the receive";
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        Ok(receipt.handle)
    }
}
