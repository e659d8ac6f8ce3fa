//! Secrets that a caller puts where they do not belong do not travel on (docs/security.md).

use async_trait::async_trait;
use pudato_handler::{Action, Answer, Effect, Failure, Handler, Later, Request, dispatch};
use pudato_protocol::{Command, DataReference, ExecutionRecord, Object, Timestamp, encode};

/// Each with the secret that must not be seen.
const PLANTED: [(&str, &str); 30] = [
    ("postgres://me:hunter2-01@db/x", "hunter2-01"),
    ("mysql://root:p%40ss-02@10.0.0.1:3306/app", "p%40ss-02"),
    ("https://user:s3cr3t-03@example.org/data.csv", "s3cr3t-03"),
    (
        "https://ghp_abcdefghijklmnopqrstuvwx04@github.com/org/repo",
        "ghp_abcdefghijklmnopqrstuvwx04",
    ),
    (
        "https://x-access-token-abcdef05@github.com/org/repo",
        "x-access-token-abcdef05",
    ),
    ("amqps://app:rabbit-06@mq:5671/vhost", "rabbit-06"),
    ("AKIAIOSFODNN7EXAMP07", "AKIAIOSFODNN7EXAMP07"),
    ("ASIAIOSFODNN7EXAMP08", "ASIAIOSFODNN7EXAMP08"),
    (
        "aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCY09",
        "wJalrXUtnFEMI",
    ),
    (
        "AWS_SESSION_TOKEN=FwoGZXIvYXdzEXAMPLE10",
        "FwoGZXIvYXdzEXAMPLE10",
    ),
    ("Authorization: Bearer abc.def-11", "abc.def-11"),
    ("authorization: basic dXNlcjpwYXNzMTI=", "dXNlcjpwYXNzMTI="),
    ("password=opensesame13", "opensesame13"),
    ("host=db user=me password='open sesame14'", "sesame14"),
    ("Server=db;Uid=me;Pwd=open-15;", "open-15"),
    ("{\"password\": \"json-16\"}", "json-16"),
    ("api_key: key-17", "key-17"),
    ("https://x.org/a?api_key=query-18&b=1", "query-18"),
    ("https://x.org/a?token=query-19", "query-19"),
    (
        "https://b.s3.amazonaws.com/k?X-Amz-Signature=abcdef20&X-Amz-Date=1",
        "abcdef20",
    ),
    (
        "https://a.blob.core.windows.net/c?sv=1&sig=azure-21",
        "azure-21",
    ),
    (
        "CREATE SECRET (TYPE s3, KEY_ID 'id-22', SECRET 'duck-22')",
        "duck-22",
    ),
    ("CREATE USER u IDENTIFIED BY 'sql-23'", "sql-23"),
    ("ALTER ROLE me PASSWORD 'sql-24'", "sql-24"),
    ("glpat-abcdefghij25klmno", "glpat-abcdefghij25klmno"),
    ("xoxb-1234567890-abcdef26", "xoxb-1234567890-abcdef26"),
    (
        "AIzaSyA-abcdefghijklmnopqrstuvwxyz27",
        "AIzaSyA-abcdefghijklmnopqrstuvwxyz27",
    ),
    (
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl28",
        "c2lnbmF0dXJl28",
    ),
    ("client_secret=oauth-29", "oauth-29"),
    (
        "-----BEGIN RSA PRIVATE KEY-----MIIEpAIBAAKC30-----END RSA PRIVATE KEY-----",
        "MIIEpAIBAAKC30",
    ),
];

/// Puts what it was given everywhere where a Result has room for texts of its own.
struct Careless;

const ACTIONS: &[Action] = &[
    Action::new("answer", Effect::Read),
    Action::new("fail", Effect::Read),
    Action::new("retry", Effect::Read),
];

#[async_trait]
impl Handler for Careless {
    fn service(&self) -> &str {
        "careless"
    }
    fn actions(&self) -> &[Action] {
        ACTIONS
    }
    async fn handle(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let text = request.payload()?.text("text")?;
        let mut details = Object::new();
        details.insert("sql".into(), text.as_str().into());
        let mut answer = Answer::new(Object::new())
            .input(DataReference::new("table", text.as_str()).with("query", text.as_str()))
            .output(DataReference::new("table", text.as_str()));
        answer.executions.push(ExecutionRecord::new("sql", details));
        match request.action {
            "fail" => Err(Failure::Final {
                errors: vec![format!("cannot open {text}")],
                done: Box::new(answer),
            }),
            "retry" => Err(Failure::Retry {
                why: format!("cannot reach {text}"),
                after: None,
            }),
            _ => Ok(answer),
        }
    }
}

#[tokio::test]
async fn no_planted_secret_is_in_a_result_or_a_reason() {
    for (text, secret) in PLANTED {
        for action in ["answer", "fail", "retry"] {
            let mut payload = Object::new();
            payload.insert("text".into(), text.into());
            let command = Command::new("careless", action, payload);
            let seen = match dispatch(&Careless, &command, None, &(), &Timestamp::now).await {
                Ok(handled) => encode(&handled.result),
                Err(Later::Retry { why, .. } | Later::Unavailable { why }) => why,
            };
            assert!(seen.contains("********"), "{action}: {seen}");
            assert!(!seen.contains(secret), "{action}: {seen}");
        }
    }
}

#[tokio::test]
async fn what_is_no_secret_is_left_alone() {
    let plain = [
        "file:///data/lake/raw/a.csv",
        "s3://bucket/part=2026-11/a.parquet",
        "duckdb:///data/w.duckdb#w.main.tokens",
        "payload.max_keys: expected a whole number 1..1000, found 2000",
        "SELECT count(*) FROM passwords_reset",
        "SELECT * FROM t WHERE disaster = 'flood' AND monkey = 'x'",
        "lake/disaster=flood/monkey=1/keyboard.csv: there is no such object",
        "lake/token=abc/x.csv: there is no such object",
        "lake/my token: there is no such object",
        "payload.continuation_token: expected a string, found 5",
        "basic statistics of bearer securities",
    ];
    for text in plain {
        assert_eq!(pudato_handler::redact(text), text);
    }
}

/// Locations that differ in a part that looks like a secret's name and value, or like a URL's user or query.
const LOCATIONS: [&str; 12] = [
    "file:///lake/disaster=flood/x",
    "file:///lake/disaster=fire/x",
    "file:///lake/token=abc/x",
    "file:///lake/token=abd/x",
    "s3://lake/password=a",
    "s3://lake/password=b",
    "s3://lake/a?token=1",
    "s3://lake/a?token=2",
    "s3://lake/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl28",
    "duckdb:///w.duckdb#w.main.\"secret: 'a'\"",
    "duckdb:///w.duckdb#w.main.\"secret: 'b'\"",
    "postgres://db:5432#w.main.\"long-name-of-a-table@a\"",
];

struct Careful;

#[async_trait]
impl Handler for Careful {
    fn service(&self) -> &str {
        "careful"
    }
    fn actions(&self) -> &[Action] {
        ACTIONS
    }
    async fn handle(&self, _: Request<'_>) -> Result<Answer, Failure> {
        let mut answer = Answer::new(Object::new());
        for location in LOCATIONS {
            let from: Vec<serde_json::Value> = LOCATIONS.iter().map(|&one| one.into()).collect();
            answer = answer
                .input(DataReference::new("file", location))
                .output(DataReference::new("file", location).with("from", from));
        }
        Ok(answer)
    }
}

#[tokio::test]
async fn a_location_is_an_identity_and_stays_as_it_is_in_lineage() {
    let command = Command::new("careful", "answer", Object::new());
    let handled = dispatch(&Careful, &command, None, &(), &Timestamp::now).await;
    let result = handled.expect("nothing is down").result;
    let locations = |references: &[DataReference]| -> Vec<String> {
        references.iter().map(|one| one.location.clone()).collect()
    };
    assert_eq!(locations(&result.inputs), LOCATIONS);
    assert_eq!(locations(&result.outputs), LOCATIONS);
    for output in &result.outputs {
        let expected: Vec<serde_json::Value> = LOCATIONS.iter().map(|&one| one.into()).collect();
        assert_eq!(output.metadata["from"], serde_json::Value::from(expected));
    }
}
