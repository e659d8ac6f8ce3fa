//! Binds parameters to a prepared statement.

use crate::engine::EngineError;
use crate::parameters::{Parameter, Parameters};
use duckdb::Statement;
use duckdb::types::Value;
use std::collections::BTreeSet;

fn value(parameter: &Parameter) -> Value {
    match parameter {
        Parameter::Null => Value::Null,
        Parameter::Boolean(flag) => Value::Boolean(*flag),
        Parameter::Integer(number) => Value::BigInt(*number),
        Parameter::Unsigned(number) => Value::UBigInt(*number),
        Parameter::Double(number) => Value::Double(*number),
        Parameter::Text(text) => Value::Text(text.clone()),
        Parameter::Blob(bytes) => Value::Blob(bytes.clone()),
    }
}

/// The values of a statement's parameters, in DuckDB's order. Adds the names it uses to `used`.
///
/// # Errors
/// A parameter has no value.
pub(super) fn values(
    statement: &Statement<'_>,
    parameters: &Parameters,
    used: &mut BTreeSet<String>,
) -> Result<Vec<Value>, EngineError> {
    let count = statement.parameter_count();
    let names = (1..=count).map(|n| {
        statement
            .parameter_name(n)
            .unwrap_or_else(|_| n.to_string())
    });
    names
        .map(|name| {
            let found = match parameters {
                Parameters::None => None,
                Parameters::Positional(values) => {
                    let number = name.parse::<usize>().ok();
                    number.and_then(|number| values.get(number.checked_sub(1)?))
                }
                Parameters::Named(values) => {
                    let mut values = values.iter();
                    let found = values.find(|(own, _)| own.eq_ignore_ascii_case(&name));
                    found.map(|(_, value)| value)
                }
            };
            let found = found.map(value).ok_or_else(|| missing(&name, parameters));
            used.insert(name.to_ascii_lowercase());
            found
        })
        .collect()
}

fn missing(name: &str, parameters: &Parameters) -> EngineError {
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    let expected = match parameters {
        Parameters::Named(_) if is_number => {
            "the SQL uses `?`, so expected an array of values, found an object".into()
        }
        Parameters::Positional(_) if !is_number => {
            format!("the SQL uses ${name}, so expected an object with {name:?}, found an array")
        }
        Parameters::Positional(values) => format!(
            "expected a value for ${name}, found {} values",
            values.len()
        ),
        _ => format!("expected a value for ${name}; it is missing"),
    };
    EngineError::Invalid(format!("payload.parameters: {expected}"))
}

/// Refuses unused values, because they are probably misspelt.
///
/// # Errors
/// Names the values that no parameter uses.
pub(super) fn check_used(
    parameters: &Parameters,
    used: &BTreeSet<String>,
) -> Result<(), EngineError> {
    let names: Vec<String> = match parameters {
        Parameters::None => Vec::new(),
        Parameters::Positional(values) => (1..=values.len()).map(|n| n.to_string()).collect(),
        Parameters::Named(values) => values
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect(),
    };
    let unused: Vec<String> = names
        .into_iter()
        .filter(|name| !used.contains(name))
        .collect();
    if unused.is_empty() {
        return Ok(());
    }
    Err(EngineError::Invalid(format!(
        "payload.parameters: the SQL has no parameter ${}",
        unused.join(", $")
    )))
}
