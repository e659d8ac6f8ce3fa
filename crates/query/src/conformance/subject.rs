//! The engine that is tested, and the works that the promises run on it.

use crate::{
    Answer, AnswerTo, BeginOutcome, CsvOptions, EngineError, Format, Outcome, Parameters,
    QueryEngine, Source, Work,
};
use pudato_handler::{Identity, Waits};
use pudato_protocol::DataReference;
use serde_json::Value;
use std::time::Duration;

/// An engine under test.
pub struct Subject {
    /// The engine.
    pub engine: Box<dyn QueryEngine>,
}

/// A work without sources that answers with rows.
pub(super) fn work(sql: &str) -> Work {
    Work {
        label: "a work".into(),
        sql: sql.to_owned(),
        is_script: false,
        parameters: Parameters::None,
        sources: Vec::new(),
        answer_to: AnswerTo::Rows {
            rows_max: 1_000,
            bytes_max: 1 << 20,
        },
        deadline: Duration::from_secs(30),
        identity: None,
        waits: Waits::default(),
    }
}

pub(super) fn script(sql: &str) -> Work {
    Work {
        is_script: true,
        ..work(sql)
    }
}

pub(super) fn identity(key: &str, fingerprint: &str) -> Option<Identity> {
    Some(Identity {
        key: key.into(),
        fingerprint: fingerprint.into(),
    })
}

impl Subject {
    pub(super) async fn run(&self, work: Work) -> Result<Outcome, EngineError> {
        match self.engine.begin(work).await? {
            BeginOutcome::Ran(transaction) => {
                let outcome = transaction.outcome().clone();
                transaction.commit("answer").await?;
                Ok(outcome)
            }
            BeginOutcome::Answered(_) => panic!("it was not run before"),
        }
    }

    pub(super) async fn rows(&self, work: Work) -> Vec<Value> {
        match self.run(work).await.expect("an answer").answer {
            Answer::Rows { rows, .. } => rows,
            Answer::File { .. } => panic!("rows were asked for"),
        }
    }

    pub(super) async fn invalid(&self, work: Work) -> String {
        let sql = work.sql.clone();
        match self.run(work).await {
            Err(EngineError::Invalid(text)) => text,
            other => panic!("{sql}: expected it to be refused, found {other:?}"),
        }
    }

    /// A source named `name` with this text.
    pub(super) fn source(
        &self,
        scratch: &crate::Scratch,
        name: &str,
        format: Format,
        text: &str,
    ) -> Source {
        let file = scratch
            .path()
            .join(format!("{}.{}", name.len(), format.name()));
        std::fs::write(&file, text).expect("a source");
        Source {
            name: name.into(),
            file,
            format,
            options: CsvOptions::default(),
            reference: DataReference::new("file", "file:///lake/source"),
        }
    }
}
