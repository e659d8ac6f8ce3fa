//! What the SDK's errors are to callers of the ports.

use crate::{Error, ErrorKind};
use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// The one place where the errors of whole calls become ours.
pub(super) fn failed<E, R>(what: &str, error: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let code = error.code().map(str::to_owned);
    let said = error.message().map(str::to_owned);
    let (kind, advice) = match code.as_deref() {
        Some(code) => kind(code),
        None => (ErrorKind::Unavailable, ""),
    };
    let cause = match (&code, said) {
        (Some(code), Some(said)) => format!("{code}: {said}"),
        (Some(code), None) => code.clone(),
        _ => DisplayErrorContext(&error).to_string(),
    };
    Error::new(kind, format!("{what}: {cause}{advice}")).with_source(error)
}

/// An entry of a batch that failed though the call succeeded.
pub(super) fn entry(what: &str, code: &str, message: Option<&str>) -> Error {
    let (kind, advice) = kind(code);
    let said = message.unwrap_or_default();
    Error::new(kind, format!("{what}: {code}: {said}{advice}"))
}

/// By the code, which SNS and SQS spell in several ways (query and JSON protocols).
fn kind(code: &str) -> (ErrorKind, &'static str) {
    let code = code.rsplit('.').next().unwrap_or(code);
    match code {
        "NotFound" | "NotFoundException" | "NonExistentQueue" | "QueueDoesNotExist" => (
            ErrorKind::NotFound,
            "; create it, or correct its ARN or URL",
        ),
        "AccessDenied"
        | "AccessDeniedException"
        | "AuthorizationError"
        | "AuthorizationErrorException" => (
            ErrorKind::Invalid,
            "; let this role use it (docs/aws.md names what each needs)",
        ),
        _ if code.starts_with("KMS") || code.starts_with("Kms") => {
            // Throttling of KMS passes; all else is a matter of keys and policies.
            if code.contains("hrottl") {
                (ErrorKind::Unavailable, "")
            } else {
                (ErrorKind::Invalid, "; let this role and SNS use the key")
            }
        }
        "BatchRequestTooLong" | "TooLarge" => (ErrorKind::TooLarge, ""),
        "InvalidParameter"
        | "InvalidParameterValue"
        | "InvalidParameterException"
        | "InvalidParameterValueException"
        | "ParameterValueInvalid"
        | "InvalidMessageContents"
        | "ReceiptHandleIsInvalid"
        | "InvalidReceiptHandle"
        | "InvalidIdFormat"
        | "MessageNotInflight"
        | "TooManyEntriesInBatchRequest"
        | "EmptyBatchRequest"
        | "QueueNameExists"
        | "QueueAlreadyExists"
        | "UnsupportedOperation"
        | "InvalidAttributeValue"
        | "InvalidAttributeName" => (ErrorKind::Invalid, ""),
        _ => (ErrorKind::Unavailable, ""),
    }
}
