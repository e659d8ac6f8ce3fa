//! Answers as the warehouse keeps them, beside the effect that they answer.

use pudato_handler::{Answer, Failure, Request};
use pudato_protocol::{CLAIM_KEYS_MAX, Result as Reply, decode_claim, encode, keys};

/// The answer as it is kept beside its effect: a Result, because that has a written form.
pub(crate) fn write_kept(request: Request<'_>, answer: &Answer) -> Result<String, Failure> {
    let mut result = Reply::success(request.command.correlation_id.as_str(), answer.data.clone());
    result.inputs.clone_from(&answer.inputs);
    result.outputs.clone_from(&answer.outputs);
    result.executions.clone_from(&answer.executions);
    let text = encode(&result);
    match keys(&text) {
        ..=CLAIM_KEYS_MAX => Ok(text),
        keys => Err(Failure::bad(format!(
            "payload.sql: the answer has {keys} keys of objects, more than {CLAIM_KEYS_MAX}; ask for fewer rows with \
             `max_rows`, or write it to an object with `into`"
        ))),
    }
}

/// Reads an answer back.
///
/// # Errors
/// `Retry`: it cannot be read.
pub(crate) fn read_kept(text: &str) -> Result<Answer, Failure> {
    // One answer that is spoiled is no reason to stop for all others.
    let result: Reply = decode_claim(text.as_bytes()).map_err(|error| Failure::Retry {
        why: format!("the answer that was kept for this request cannot be read: {error}"),
        after: None,
    })?;
    Ok(Answer {
        data: result.data.unwrap_or_default(),
        inputs: result.inputs,
        outputs: result.outputs,
        executions: result.executions,
        ..Answer::default()
    })
}
