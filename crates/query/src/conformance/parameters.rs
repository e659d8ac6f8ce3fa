//! Parameters of a statement.

use super::subject::{Subject, work};
use crate::{Parameter, Parameters};
use serde_json::json;

/// Parameters are bound by position or by name, and never read as SQL.
pub async fn parameters_are_bound(subject: Subject) {
    let mut places = work("SELECT ?, ?, $1");
    places.parameters = Parameters::Positional(vec![
        Parameter::Text("x'; DROP TABLE t; --".into()),
        Parameter::Integer(i64::MIN),
    ]);
    // DuckDB does not mix `?` and `$1`; each alone is bound.
    places.sql = "SELECT $2, $1".into();
    assert_eq!(
        subject.rows(places).await,
        [json!([i64::MIN, "x'; DROP TABLE t; --"])]
    );
    let mut names = work("SELECT $flag, $number, $bytes, $nothing");
    names.parameters = Parameters::Named(vec![
        ("flag".into(), Parameter::Boolean(true)),
        ("number".into(), Parameter::Double(0.5)),
        ("bytes".into(), Parameter::Blob(vec![0, 255])),
        ("nothing".into(), Parameter::Null),
    ]);
    let blob = json!({"$type": "blob", "base64": "AP8="});
    assert_eq!(subject.rows(names).await, [json!([true, 0.5, blob, null])]);
}

/// An error names a parameter without a value, and a value without a parameter.
pub async fn parameters_and_values_must_fit(subject: Subject) {
    let text = subject.invalid(work("SELECT $who")).await;
    assert!(
        text.contains("payload.parameters") && text.contains("$who"),
        "{text}"
    );
    let mut unused = work("SELECT $a");
    unused.parameters = Parameters::Named(vec![
        ("a".into(), Parameter::Null),
        ("typo".into(), Parameter::Null),
    ]);
    let text = subject.invalid(unused).await;
    assert!(text.contains("no parameter $typo"), "{text}");
    let mut few = work("SELECT ?, ?");
    few.parameters = Parameters::Positional(vec![Parameter::Null]);
    assert!(subject.invalid(few).await.contains("payload.parameters"));
}
