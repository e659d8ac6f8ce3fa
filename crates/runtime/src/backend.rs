//! The fabric that the settings choose, behind the ports.

use crate::kept_answers::KeptAnswers;
use crate::trust::Trust;
use pudato_messaging::local::LocalFabric;
use pudato_messaging::{Clock, Consumer, Error, IdempotencyStore, Operations, Publisher};
use pudato_registry::AnswerStore;
use std::path::Path;
use std::sync::Arc;

/// A fabric. The one place where the loops meet its type.
#[derive(Clone)]
pub(crate) enum Backend {
    /// The data folder.
    Local(LocalFabric),
    /// SNS and SQS, and what they need beside.
    #[cfg(feature = "aws")]
    Aws(Aws),
}

/// SNS and SQS, which keep no answers themselves.
#[cfg(feature = "aws")]
#[derive(Clone)]
pub(crate) struct Aws {
    pub(crate) fabric: pudato_messaging::aws::AwsFabric,
    pub(crate) answers: Arc<dyn IdempotencyStore>,
    /// Where they lie, if nobody else forgets those that are old.
    pub(crate) kept: Option<Arc<dyn AnswerStore>>,
    pub(crate) claims: Arc<dyn pudato_messaging::ClaimStore>,
    /// Verifies the signatures of what is wrapped, where the settings ask for it.
    pub(crate) seal: Option<Arc<dyn crate::trust::Seal>>,
}

#[cfg(feature = "aws")]
impl Aws {
    pub(crate) async fn consumer(
        &self,
        queue: &str,
    ) -> Result<pudato_messaging::aws::SqsConsumer, Error> {
        let consumer = self.fabric.consumer(queue).await?;
        let consumer = consumer.with_answers(Arc::clone(&self.answers));
        Ok(consumer.with_claims(Arc::clone(&self.claims)))
    }
}

impl Backend {
    pub(crate) fn publisher(&self) -> Arc<dyn Publisher> {
        match self {
            Self::Local(fabric) => Arc::new(fabric.clone()),
            #[cfg(feature = "aws")]
            Self::Aws(aws) => Arc::new(aws.fabric.publisher()),
        }
    }

    pub(crate) fn operations(&self) -> Arc<dyn Operations> {
        match self {
            Self::Local(fabric) => Arc::new(fabric.clone()),
            #[cfg(feature = "aws")]
            Self::Aws(aws) => Arc::new(aws.fabric.clone()),
        }
    }

    pub(crate) fn idempotency(&self) -> Arc<dyn IdempotencyStore> {
        match self {
            Self::Local(fabric) => Arc::new(fabric.clone()),
            #[cfg(feature = "aws")]
            Self::Aws(aws) => Arc::clone(&aws.answers),
        }
    }

    /// What a message may be wrapped in: a notification of the topics that the settings name, and of those of `names` beside them, since
    /// a worker need not be told where its own topic is.
    pub(crate) fn trust(&self, names: &[String]) -> Trust {
        match self {
            Self::Local(_) => Trust::default(),
            #[cfg(feature = "aws")]
            Self::Aws(aws) => {
                let arns = aws.fabric.topic_arns();
                let beside = arns.iter().filter_map(|arn| arn.rsplit_once(':'));
                let beside: Vec<String> = beside
                    .flat_map(|(beside, _)| {
                        names.iter().map(move |name| format!("{beside}:{name}"))
                    })
                    .collect();
                Trust::only(arns.into_iter().chain(beside)).with_seal(aws.seal.clone())
            }
        }
    }

    /// Whether settling is one transaction.
    pub(crate) fn settles_at_once(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    pub(crate) async fn consumer(&self, queue: &str) -> Result<Arc<dyn Consumer>, Error> {
        Ok(match self {
            Self::Local(fabric) => Arc::new(fabric.consumer(queue).await?),
            #[cfg(feature = "aws")]
            Self::Aws(aws) => Arc::new(aws.consumer(queue).await?),
        })
    }

    /// Answers that somebody has to forget when they are old.
    pub(crate) fn kept(&self) -> Option<Arc<dyn AnswerStore>> {
        match self {
            Self::Local(_) => None,
            #[cfg(feature = "aws")]
            Self::Aws(aws) => aws.kept.clone(),
        }
    }

    /// Copies what lies in the data folder.
    pub(crate) async fn backup(&self, to: &Path) -> Result<(), Error> {
        match self {
            Self::Local(fabric) => fabric.backup(to).await,
            #[cfg(feature = "aws")]
            Self::Aws(_) => Ok(()),
        }
    }

    /// Reads every page of what lies in the data folder; says what is wrong.
    pub(crate) async fn check(&self) -> Result<Vec<String>, Error> {
        match self {
            Self::Local(fabric) => fabric.check().await,
            #[cfg(feature = "aws")]
            Self::Aws(_) => Ok(Vec::new()),
        }
    }
}

/// Answers in a database of the registry.
pub(crate) fn answers(
    store: Arc<dyn AnswerStore>,
    clock: Arc<dyn Clock>,
) -> Arc<dyn IdempotencyStore> {
    Arc::new(KeptAnswers { store, clock })
}
