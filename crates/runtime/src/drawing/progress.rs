//! Progress as text.

use crate::time::seconds;
use pudato_protocol::Object;
use serde_json::Value;

/// The progress in a `pending` Result, as text.
pub fn how_far(data: &Object) -> String {
    if let Some(Value::String(what)) = data.get("waits_for") {
        let since = data.get("since").and_then(Value::as_str);
        let since = since.map(|since| format!(" (since {} UTC)", seconds(since)));
        return format!("waits for {what}{}", since.unwrap_or_default());
    }
    let number = |name: &str| data.get(name).and_then(Value::as_u64);
    // dbt counts hooks and the batches of a model separately, and its version 2 does not report the number of nodes.
    let part = match (data.get("kind"), number("part"), number("parts")) {
        (Some(Value::String(kind)), Some(part), Some(parts)) => {
            Some(format!("{kind} {part} of {parts}"))
        }
        _ => None,
    };
    let all = match (number("done"), number("total")) {
        (Some(done), Some(total)) => Some(format!("{done} of {total}")),
        (Some(0), None) if part.is_some() => None,
        (Some(done), None) => Some(format!("{done} done")),
        _ => None,
    };
    match (all, part, data.get("message")) {
        (Some(all), Some(part), _) => format!("{all}, {part}"),
        (Some(one), None, _) | (None, Some(one), _) => one,
        (None, None, Some(Value::String(message))) => message.clone(),
        (None, None, _) => "running".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::how_far;
    use serde_json::{Value, json};

    #[test]
    fn progress_is_shown_with_and_without_a_total() {
        for (data, expected) in [
            (json!({"done": 4, "total": 9, "kind": "model"}), "4 of 9"),
            (json!({"done": 4, "kind": "unit_test"}), "4 done"),
            (
                json!({"done": 0, "kind": "hook", "part": 1, "parts": 2}),
                "hook 1 of 2",
            ),
            (
                json!({"done": 4, "total": 9, "kind": "batch", "part": 2, "parts": 3}),
                "4 of 9, batch 2 of 3",
            ),
            (json!({"message": "at it"}), "at it"),
            (json!({}), "running"),
        ] {
            let Value::Object(object) = data else {
                panic!("an object");
            };
            assert_eq!(how_far(&object), expected);
        }
    }
}
