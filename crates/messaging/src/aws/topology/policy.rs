//! Compares policies, which can express the same in many ways.

use serde_json::{Map, Value};

/// Whether `found` contains all statements of `expected`, and otherwise allows only named principals.
pub(super) fn suffices(found: &Value, expected: &Value) -> bool {
    let (found, expected) = (statements(found), statements(expected));
    let is_harmless = |extra: &Value| {
        let principals = &extra["Principal"]["AWS"];
        extra["Effect"] == "Deny" || is_named(principals)
    };
    expected.iter().all(|statement| found.contains(statement))
        && found
            .iter()
            .filter(|statement| !expected.contains(statement))
            .all(is_harmless)
}

/// Whether all principals are named individually.
fn is_named(principals: &Value) -> bool {
    let is_name = |name: &Value| {
        name.as_str()
            .is_some_and(|name| !name.contains('*') && !name.is_empty())
    };
    match principals {
        Value::Array(all) => !all.is_empty() && all.iter().all(is_name),
        one => is_name(one),
    }
}

/// The statements in a normalized form.
fn statements(policy: &Value) -> Vec<Value> {
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    let plain = |statement: Value| {
        let mut statement = plain(statement);
        if let Value::Object(fields) = &mut statement {
            // The Sid is a name for people.
            fields.remove("Sid");
        }
        statement
    };
    statements.into_iter().map(plain).collect()
}

/// A list with one element equals that element (IAM's user guide, "Grammar of the IAM JSON policy language"), and the order of a list does
/// not matter.
fn plain(value: Value) -> Value {
    match value {
        Value::Array(mut all) if all.len() == 1 => plain(all.remove(0)),
        Value::Array(all) => {
            let mut all: Vec<Value> = all.into_iter().map(plain).collect();
            all.sort_by_key(Value::to_string);
            Value::Array(all)
        }
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, plain(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_may_be_written_otherwise_and_name_more_and_may_not_open_more() {
        let deny = json!({"Sid": "A", "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "q"});
        let expected = json!({"Version": "2012-10-17", "Statement": [deny]});
        let with = |extra: Value| json!({"Statement": [extra, {"Effect": "Deny", "Principal": "*", "Action": ["sqs:*"], "Resource": ["q"]}]});
        for extra in [
            json!({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::1:role/a"}, "Action": "sns:Publish"}),
            json!({"Effect": "Allow", "Principal": {"AWS": ["arn:a", "arn:b"]}, "Action": "sns:Publish"}),
            json!({"Effect": "Deny", "Principal": "*", "Action": "sqs:PurgeQueue"}),
        ] {
            assert!(suffices(&with(extra.clone()), &expected), "{extra}");
        }
        for extra in [
            json!({"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage"}),
            json!({"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sqs:SendMessage"}),
            json!({"Effect": "Allow", "Principal": {"AWS": ["arn:a", "*"]}, "Action": "sqs:SendMessage"}),
            json!({"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}),
        ] {
            assert!(!suffices(&with(extra.clone()), &expected), "{extra}");
        }
        assert!(!suffices(&json!({"Statement": []}), &expected));
        assert!(!suffices(&Value::Null, &expected));
    }
}
