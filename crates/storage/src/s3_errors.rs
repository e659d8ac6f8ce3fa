//! Classifies errors of S3, by their code, or by the status if the response has no body.

use crate::error::{Code, Error, ErrorKind, below};
use aws_credential_types::provider::error::CredentialsError;
use object_store::client::HttpError;

/// Codes of requests that will always fail (Amazon S3 API reference, "Error responses").
const REFUSALS: [&str; 6] = [
    "KeyTooLongError",
    "InvalidArgument",
    "InvalidRequest",
    "MetadataTooLarge",
    "EntityTooLarge",
    "RequestHeaderSectionTooLarge",
];

/// Codes that every request would receive: the service, the region, this process's credentials or its clock (the same reference, and the
/// AWS Key Management Service's "Common errors").
const EVERYBODYS: [&str; 23] = [
    "AccountProblem",
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",
    "BandwidthLimitExceeded",
    "ExpiredToken",
    "ExpiredTokenException",
    "InternalError",
    "InternalFailure",
    "InvalidAccessKeyId",
    "InvalidToken",
    "NotSignedUp",
    "PermanentRedirect",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "ServiceUnavailable",
    "SignatureDoesNotMatch",
    "SlowDown",
    "TemporaryRedirect",
    "Throttling",
    "ThrottlingException",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
];

/// Codes of a request that collided with another one. The object need not exist.
const COLLISIONS: [&str; 2] = ["ConditionalRequestConflict", "OperationAborted"];

/// The error for the caller; `None` if the object store's kind suffices.
pub(crate) fn told(doing: &str, error: &object_store::Error) -> Option<Error> {
    use object_store::Error as Store;
    let answer = Answer::of(error);
    let code = answer.as_ref().and_then(|answer| answer.code.as_deref());
    let told = |kind, why: &str| {
        let code = code.map(|code| Code::S3(code.to_owned()));
        Some(Error::new(kind, format!("{doing}: {why}")).with_code(code))
    };
    match code {
        // The bucket may be created later, so the request is retried. A missing object, in contrast, is an answer.
        Some("NoSuchBucket") => {
            let advice = "there is no such bucket: create it, or correct its name in [containers] or PUDATO_CLAIMS_CONTAINER";
            return told(ErrorKind::Denied, advice);
        }
        Some(code) if EVERYBODYS.contains(&code) => {
            let why =
                format!("{error}; check the credentials, the region and the clock of this process");
            return told(ErrorKind::Unavailable, &why);
        }
        Some(code) if COLLISIONS.contains(&code) => {
            return told(ErrorKind::Failed, &error.to_string());
        }
        Some(code) if REFUSALS.contains(&code) => {
            return told(
                ErrorKind::Invalid,
                &format!("S3 refused the request: {code}"),
            );
        }
        _ => {}
    }
    let Store::Generic { .. } = error else {
        return None;
    };
    if let Some(answer) = &answer {
        return match answer.status {
            Some(500.. | 429 | 408 | 301 | 302 | 307) => {
                told(ErrorKind::Unavailable, &error.to_string())
            }
            // Whatever it is, it concerns this request only.
            _ => told(ErrorKind::Failed, &error.to_string()),
        };
    }
    // The object store's text for a redirect without a target; its type is private.
    if last(error).contains("incorrectly configured region") {
        let why =
            format!("{error}; the bucket is in another region: set AWS_REGION to that region");
        return told(ErrorKind::Unavailable, &why);
    }
    let is_unreachable =
        below::<HttpError>(error).is_some() || below::<CredentialsError>(error).is_some();
    is_unreachable
        .then(|| told(ErrorKind::Unavailable, &error.to_string()))
        .flatten()
}

/// The response of a server that refused a request.
#[derive(Debug, PartialEq)]
struct Answer {
    status: Option<u16>,
    code: Option<String>,
}

impl Answer {
    /// The object store keeps this error type private, so the status and body are parsed from its text.
    fn of(error: &object_store::Error) -> Option<Self> {
        Self::read(&last(error))
    }

    fn read(text: &str) -> Option<Self> {
        let (status, body) = match text.strip_prefix("Server returned non-2xx status code: ") {
            Some(rest) => (rest.get(..3).and_then(|status| status.parse().ok()), rest),
            None => (None, text.strip_prefix("Server returned error response: ")?),
        };
        // The first code counts, because the rest may repeat parts of the request.
        let code = body
            .split_once("<Code>")
            .and_then(|(_, rest)| rest.split_once("</Code>"));
        let code = code.map(|(code, _)| code.to_owned());
        Some(Self { status, code })
    }
}

/// The text of the innermost error.
fn last(error: &object_store::Error) -> String {
    let mut at: &(dyn std::error::Error + 'static) = error;
    while let Some(next) = at.source() {
        at = next;
    }
    at.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::store_error;

    #[derive(Debug)]
    struct ForeignError(String);

    impl std::fmt::Display for ForeignError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl std::error::Error for ForeignError {}

    fn told(status: &str, code: &str) -> Error {
        let body = match code {
            "" => String::new(),
            code => format!(
                "<Error><Code>{code}</Code><Key>&lt;Code&gt;SlowDown&lt;/Code&gt;</Key></Error>"
            ),
        };
        let said = ForeignError(format!(
            "Server returned non-2xx status code: {status}: {body}"
        ));
        let error = object_store::Error::Generic {
            store: "S3",
            source: Box::new(said),
        };
        store_error("lake/SlowDown", error)
    }

    fn kind(status: &str, code: &str) -> ErrorKind {
        let error = told(status, code);
        let expected = Some(code).filter(|code| !code.is_empty());
        let kept = error.code().map(|code| match code {
            Code::S3(code) => code.as_str(),
            other => panic!("{other:?}"),
        });
        assert_eq!(kept, expected, "{error}");
        let source = std::error::Error::source(&error).expect("a source");
        assert!(source.is::<object_store::Error>(), "{error}");
        error.kind
    }

    #[test]
    fn every_code_of_s3_has_its_kind() {
        for code in EVERYBODYS {
            assert_eq!(
                kind("403 Forbidden", code),
                ErrorKind::Unavailable,
                "{code}"
            );
        }
        for code in REFUSALS {
            assert_eq!(kind("400 Bad Request", code), ErrorKind::Invalid, "{code}");
        }
        for code in COLLISIONS {
            assert_eq!(kind("409 Conflict", code), ErrorKind::Failed, "{code}");
        }
        assert_eq!(kind("404 Not Found", "NoSuchBucket"), ErrorKind::Denied);
    }

    #[test]
    fn an_error_is_everybodys_by_its_code_and_not_by_a_name_in_it() {
        for (status, code) in [
            ("503 Service Unavailable", "SlowDown"),
            ("400 Bad Request", "ExpiredToken"),
            ("500 Internal Server Error", ""),
            ("400 Bad Request", "AuthorizationHeaderMalformed"),
            ("429 Too Many Requests", ""),
        ] {
            assert_eq!(
                kind(status, code),
                ErrorKind::Unavailable,
                "{status} {code}"
            );
        }
        assert_eq!(
            kind("400 Bad Request", "KeyTooLongError"),
            ErrorKind::Invalid
        );
        for code in [
            "",
            "KMS.DisabledException",
            "InvalidObjectState",
            "SomethingNew",
        ] {
            assert_eq!(kind("400 Bad Request", code), ErrorKind::Failed, "{code}");
        }
    }
}
