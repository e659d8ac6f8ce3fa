//! The limits of docs/design/messages.md hold before any handler sees a message.

use pudato_protocol::{
    BODY_BYTES_MAX, CLAIM_KEYS_MAX, Command, DEPTH_MAX, KEYS_MAX, decode, decode_claim,
};

fn refusal(body: &str) -> String {
    decode::<Command>(body.as_bytes())
        .expect_err("must be refused")
        .to_string()
}

fn with_payload(payload: &str) -> String {
    format!(r#"{{"type":"t","action":"a","payload":{payload}}}"#)
}

#[test]
fn a_body_over_the_limit_is_refused_by_its_size() {
    let body = " ".repeat(BODY_BYTES_MAX + 1);
    assert!(refusal(&body).contains("at most 1048576"));
}

#[test]
fn nesting_is_accepted_to_the_limit_and_not_beyond() {
    // The message itself and its payload are the first two levels.
    let arrays = DEPTH_MAX - 2;
    let nested = |n: usize| with_payload(&format!(r#"{{"x":{}{}}}"#, "[".repeat(n), "]".repeat(n)));
    assert!(decode::<Command>(nested(arrays).as_bytes()).is_ok());
    assert!(refusal(&nested(arrays + 1)).contains("nested deeper than 64"));
}

#[test]
fn more_keys_than_the_limit_are_refused() {
    let keys = |n: usize| {
        let keys: Vec<String> = (0..n).map(|i| format!(r#""{i}":0"#)).collect();
        with_payload(&format!("{{{}}}", keys.join(",")))
    };
    // `type`, `action` and `payload` count too.
    assert!(decode::<Command>(keys(KEYS_MAX - 3).as_bytes()).is_ok());
    assert!(refusal(&keys(KEYS_MAX - 2)).contains("more than 10000 keys"));
}

#[test]
fn a_claim_may_have_more_keys_but_not_any_number() {
    let keys = |count: usize| {
        with_payload(&format!(
            r#"{{"rows":[{}]}}"#,
            vec![r#"{"a":1}"#; count].join(",")
        ))
    };
    assert!(decode_claim::<Command>(keys(CLAIM_KEYS_MAX - 4).as_bytes()).is_ok());
    let error = decode_claim::<Command>(keys(CLAIM_KEYS_MAX).as_bytes()).expect_err("refused");
    assert!(
        error.to_string().contains("more than 1000000 keys"),
        "{error}"
    );
}

#[test]
fn a_message_key_in_a_payload_is_not_an_envelope() {
    let command: Command =
        decode(br#"{"type":"t","action":"a","payload":{"Message":"m","Type":"Notification"}}"#)
            .expect("a raw command");
    assert_eq!(command.payload["Message"], "m");
}

#[test]
fn a_subscription_confirmation_is_refused_with_that_reason() {
    let body = r#"{"Type":"SubscriptionConfirmation","TopicArn":"arn:x","Message":"m"}"#;
    assert!(refusal(body).contains("SubscriptionConfirmation"));
}

#[test]
fn a_third_envelope_is_not_unwrapped() {
    let wrap = |message: &str| {
        serde_json::json!({"Type":"Notification","TopicArn":"arn:x","Message":message}).to_string()
    };
    let raw = r#"{"type":"t","action":"a"}"#;
    let twice = wrap(&wrap(raw));
    assert!(decode::<Command>(twice.as_bytes()).is_ok());
    assert!(refusal(&wrap(&twice)).starts_with("type: "));
}

#[test]
fn whole_numbers_of_64_bits_keep_their_value() {
    let body = with_payload(r#"{"a":18446744073709551615,"b":-9223372036854775808}"#);
    let command: Command = decode(body.as_bytes()).expect("a command");
    assert_eq!(command.payload["a"].as_u64(), Some(u64::MAX));
    assert_eq!(command.payload["b"].as_i64(), Some(i64::MIN));
}
