//! Counts S3 calls, because they are a large part of an AWS bill, and rewrites listings so that the object store can read them.

use crate::unnamed;
use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The operation that lists objects.
const LIST: &str = "ListObjectsV2";

/// The number of calls of each operation, by names such as `S3 PutObject`. A retried call counts again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<BTreeMap<String, u64>>>);

impl Calls {
    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        self.lock().clone()
    }

    fn add(&self, verb: &str) {
        *self.lock().entry(format!("S3 {verb}")).or_default() += 1;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpConnector for Calls {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        let calls = self.clone();
        Ok(HttpClient::new(Counted { client, calls }))
    }
}

#[derive(Debug)]
struct Counted {
    client: HttpClient,
    calls: Calls,
}

#[async_trait]
impl HttpService for Counted {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let query = request.uri().query().unwrap_or_default();
        let verb = verb(request.method().as_str(), query);
        self.calls.add(verb);
        let response = self.client.execute(request).await?;
        if verb != LIST || !response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = body.bytes().await?;
        let body = match std::str::from_utf8(&body) {
            Ok(text) => unnamed::carry(text).into(),
            Err(_) => body.into(),
        };
        Ok(HttpResponse::from_parts(parts, body))
    }
}

/// S3's name for a request (its API reference, "Actions"), as far as the object store makes it.
fn verb(method: &str, query: &str) -> &'static str {
    let has = |name: &str| {
        let names = query.split('&').map(|one| one.split('=').next());
        names.into_iter().any(|known| known == Some(name))
    };
    match method {
        "PUT" if has("partNumber") => "UploadPart",
        "PUT" => "PutObject",
        "GET" if has("list-type") => LIST,
        "GET" => "GetObject",
        "HEAD" => "HeadObject",
        "DELETE" if has("uploadId") => "AbortMultipartUpload",
        "DELETE" => "DeleteObject",
        "POST" if has("uploads") => "CreateMultipartUpload",
        "POST" if has("uploadId") => "CompleteMultipartUpload",
        "POST" => "DeleteObjects",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::verb;

    #[test]
    fn requests_are_called_as_s3_calls_them() {
        for (method, query, expected) in [
            ("PUT", "", "PutObject"),
            ("PUT", "partNumber=1&uploadId=x", "UploadPart"),
            ("POST", "uploads", "CreateMultipartUpload"),
            ("POST", "uploads=", "CreateMultipartUpload"),
            ("POST", "uploadId=x", "CompleteMultipartUpload"),
            ("GET", "list-type=2&prefix=uploads", "ListObjectsV2"),
            ("GET", "", "GetObject"),
            ("DELETE", "uploadId=x", "AbortMultipartUpload"),
            ("DELETE", "", "DeleteObject"),
        ] {
            assert_eq!(verb(method, query), expected, "{method} {query}");
        }
    }
}
