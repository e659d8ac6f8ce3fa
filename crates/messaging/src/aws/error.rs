//! What the SDK's errors are to callers of the ports.

use crate::{Code, Error, ErrorKind};
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
    let code = code.map(|code| Code::Aws(without_namespace(&code).to_owned()));
    Error::new(kind, format!("{what}: {cause}{advice}"))
        .with_code(code)
        .with_source(error)
}

/// An entry of a batch that failed though the call succeeded.
pub(super) fn entry(what: &str, code: &str, message: Option<&str>) -> Error {
    let (kind, advice) = kind(code);
    let said = message.unwrap_or_default();
    Error::new(kind, format!("{what}: {code}: {said}{advice}"))
        .with_code(Code::Aws(without_namespace(code).to_owned()))
}

/// A code without the namespace that the query protocol (`AWS.SimpleQueueService.`) or the JSON protocol (`com.amazonaws.sqs#`) puts
/// before it. `KMS.` is no such namespace: those codes are of the key service behind SQS and mean something else than SQS's own.
pub(super) fn without_namespace(code: &str) -> &str {
    let code = code.rsplit('#').next().unwrap_or(code);
    match code.strip_prefix("AWS.") {
        Some(code) => code.rsplit('.').next().unwrap_or(code),
        None => code,
    }
}

/// By the code, which SNS and SQS spell in several ways (query and JSON protocols).
fn kind(code: &str) -> (ErrorKind, &'static str) {
    let code = without_namespace(code);
    // SQS has `KMS.DisabledException` and the like, SNS `KMSDisabledException`.
    if code.starts_with("KMS") || code.starts_with("Kms") {
        // Throttling of KMS passes; all else is a matter of keys and policies.
        return match code {
            "KMS.ThrottlingException"
            | "KMSThrottlingException"
            | "KMSThrottling"
            | "KmsThrottled" => (ErrorKind::Unavailable, ""),
            _ => (ErrorKind::Denied, "; let this role and SNS use the key"),
        };
    }
    match code {
        "NotFound"
        | "NotFoundException"
        | "NonExistentQueue"
        | "QueueDoesNotExist"
        | "ResourceNotFoundException" => (
            ErrorKind::NotFound,
            "; create it, or correct its name, ARN or URL",
        ),
        "InvalidAddress" => (ErrorKind::NotFound, "; correct the URL of the queue"),
        "AccessDenied"
        | "AccessDeniedException"
        | "AuthorizationError"
        | "AuthorizationErrorException" => (
            ErrorKind::Denied,
            "; let this role use it (docs/aws.md names what each needs)",
        ),
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "InvalidSecurity"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => (
            ErrorKind::Denied,
            "; the credentials are no longer or not valid: renew them (`aws sts get-caller-identity` tries them)",
        ),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a backend says in its text is for people.
    #[test]
    fn an_error_has_the_code_that_it_was_given_and_none_that_its_text_names() {
        let told = Some("InvalidAction: ConditionalCheckFailedException");
        let throttled = entry("put", "RequestThrottled", told);
        assert_eq!(throttled.aws_code(), Some("RequestThrottled"));
        for code in [
            "InvalidAction",
            "AWS.SimpleQueueService.InvalidAction",
            "com.amazonaws.sqs#InvalidAction",
        ] {
            assert_eq!(entry("move", code, None).aws_code(), Some("InvalidAction"));
        }
        // Of the key, and not of the queue.
        let key = entry("send", "KMS.NotFoundException", None);
        assert_eq!(key.aws_code(), Some("KMS.NotFoundException"));
        assert_eq!(Error::new(ErrorKind::Invalid, "InvalidAction").code(), None);
    }

    #[test]
    fn codes_mean_what_a_loop_can_do_about_them() {
        for (code, expected, advice) in [
            (
                "AWS.SimpleQueueService.NonExistentQueue",
                ErrorKind::NotFound,
                "create it",
            ),
            ("QueueDoesNotExist", ErrorKind::NotFound, "create it"),
            ("NotFound", ErrorKind::NotFound, "create it"),
            (
                "ResourceNotFoundException",
                ErrorKind::NotFound,
                "create it",
            ),
            ("InvalidAddress", ErrorKind::NotFound, "URL"),
            ("AccessDenied", ErrorKind::Denied, "docs/aws.md"),
            ("AuthorizationError", ErrorKind::Denied, "docs/aws.md"),
            ("KMS.DisabledException", ErrorKind::Denied, "the key"),
            ("KMS.InvalidStateException", ErrorKind::Denied, "the key"),
            ("KMS.NotFoundException", ErrorKind::Denied, "the key"),
            ("KMS.AccessDeniedException", ErrorKind::Denied, "the key"),
            ("KmsOptInRequired", ErrorKind::Denied, "the key"),
            ("KMSAccessDenied", ErrorKind::Denied, "the key"),
            ("KMS.ThrottlingException", ErrorKind::Unavailable, ""),
            ("KMSThrottling", ErrorKind::Unavailable, ""),
            ("ExpiredToken", ErrorKind::Denied, "renew"),
            ("InvalidClientTokenId", ErrorKind::Denied, "renew"),
            ("InvalidMessageContents", ErrorKind::Invalid, ""),
            (
                "AWS.SimpleQueueService.BatchRequestTooLong",
                ErrorKind::TooLarge,
                "",
            ),
            ("Throttling", ErrorKind::Unavailable, ""),
            ("RequestThrottled", ErrorKind::Unavailable, ""),
            ("InternalError", ErrorKind::Unavailable, ""),
        ] {
            let (found, said) = kind(code);
            assert_eq!(found, expected, "{code}");
            assert!(
                said.contains(advice) && said.is_empty() == advice.is_empty(),
                "{code}: {said}"
            );
        }
    }
}
