//! Turns the payload of a Command into arguments of dbt. Each value follows its option, so that it cannot be taken for another one.

use crate::dbt::yaml::yaml;
use pudato_handler::Request;
use pudato_protocol::{FieldError, Object};
use serde_json::Value;

/// Options that pudato passes to every dbt, before the command. The command line overrides `flags` in dbt_project.yml and
/// environment variables, which could otherwise turn off what pudato reads: the log and the artifacts. Both dbt 1.8 and dbt 2 know them.
pub(crate) const ALWAYS: [&str; 9] = [
    "--log-format=json",
    "--log-level=info",
    // The log file would only be removed with its folder, so keep it small. All versions know `error`; the lower levels differ (`none` up
    // to dbt 1.12, `off` in dbt 2).
    "--log-level-file=error",
    "--no-use-colors",
    "--no-send-anonymous-usage-stats",
    "--write-json",
    "--no-quiet",
    "--no-debug",
    "--no-log-cache-events",
];

/// The options of a Command.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Options {
    select: Vec<String>,
    exclude: Vec<String>,
    pub(crate) full_refresh: bool,
    vars: Object,
    /// The macro of `run_operation`, and its arguments.
    pub(crate) macro_name: Option<String>,
    args: Object,
    /// The run that `retry` continues.
    pub(crate) execution_id: Option<String>,
}

impl Options {
    /// Reads and checks the payload.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub(crate) fn read(request: &Request<'_>) -> Result<Self, FieldError> {
        let mut payload = request.payload()?;
        let options = Self {
            select: texts(payload.value("select"), "select")?,
            exclude: texts(payload.value("exclude"), "exclude")?,
            full_refresh: payload.flag("full_refresh")?,
            vars: payload.optional_object("vars")?.unwrap_or_default(),
            macro_name: match request.action {
                "run_operation" => Some(payload.text("macro")?),
                _ => None,
            },
            args: payload.optional_object("args")?.unwrap_or_default(),
            execution_id: payload.optional_text("execution_id")?,
        };
        for (field, values) in [("vars", &options.vars), ("args", &options.args)] {
            if let Some(name) = values.keys().find(|name| !is_name(name)) {
                let reason =
                    format!("{field}: expected names of letters, digits and '_', found {name:?}");
                return Err(FieldError::new(format!("payload.{field}"), reason));
            }
        }
        if let Some(name) = options.macro_name.as_deref().filter(|name| !is_name(name)) {
            let reason = format!(
                "expected a macro of the project, named with letters, digits and '_', found {name:?}; to run a macro of a package, call it from one of the project's macros"
            );
            return Err(FieldError::new("payload.macro", reason));
        }
        let is_refreshing = matches!(request.action, "run" | "build" | "seed");
        if options.full_refresh && !is_refreshing {
            let reason = format!("dbt {} has no full refresh; leave it out", request.action);
            return Err(FieldError::new("payload.full_refresh", reason));
        }
        Ok(options)
    }

    /// The options as arguments of dbt.
    pub(crate) fn args(&self) -> Vec<String> {
        let select = self.select.iter().map(|one| format!("--select={one}"));
        let exclude = self.exclude.iter().map(|one| format!("--exclude={one}"));
        let mut args: Vec<String> = select.chain(exclude).collect();
        if self.full_refresh {
            args.push("--full-refresh".into());
        }
        for (option, values) in [("--vars", &self.vars), ("--args", &self.args)] {
            if !values.is_empty() {
                let values = Value::Object(values.clone());
                args.push(format!("{option}={}", yaml(&values)));
            }
        }
        args
    }
}

/// A text or a list of them; none may look like an option.
fn texts(value: Option<Value>, field: &str) -> Result<Vec<String>, FieldError> {
    let all = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(all)) => all,
        Some(one) => vec![one],
    };
    let name = format!("payload.{field}");
    let text = |value: Value| match value {
        Value::String(text) if text.trim_start().starts_with('-') => Err(FieldError::new(
            name.clone(),
            format!("expected a selector, found {text:?}, which looks like an option of dbt"),
        )),
        Value::String(text) if text.trim().is_empty() || text.contains('\0') => Err(
            FieldError::new(name.clone(), "expected a selector, found nothing"),
        ),
        Value::String(text) => Ok(text),
        other => Err(FieldError::new(
            name.clone(),
            format!("expected a text or a list of texts, found {other}"),
        )),
    };
    all.into_iter().map(text).collect()
}

/// Matches `[A-Za-z_][A-Za-z0-9_]*`.
pub(crate) fn is_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let mut chars = name.chars();
    chars.next().is_some_and(is_first) && chars.all(|c| is_first(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pudato_protocol::Command;
    use serde_json::json;

    fn read(action: &'static str, payload: Value) -> Result<Vec<String>, String> {
        let Value::Object(payload) = payload else {
            panic!("an object");
        };
        let command = Command::new("transform", action, payload);
        let request = Request::new(action, &command);
        let options = Options::read(&request).map_err(|error| error.to_string())?;
        Ok(options.args())
    }

    #[test]
    fn every_value_stands_behind_its_option_and_vars_are_one_argument() {
        let payload = json!({"select": ["a+", "tag:x y"], "exclude": "b", "full_refresh": true,
            "vars": {"day": "2026-01-01'; rm -rf /", "n": [1, null]}});
        let args = read("build", payload).expect("options");
        let vars = r#"--vars={"day":"2026-01-01'; rm -rf /","n":[1,null]}"#;
        assert_eq!(
            args,
            [
                "--select=a+",
                "--select=tag:x y",
                "--exclude=b",
                "--full-refresh",
                vars
            ]
        );
        assert!(read("build", json!({})).expect("nothing").is_empty());
    }

    #[test]
    fn what_looks_like_an_option_or_is_no_selector_is_refused_by_name() {
        for (payload, said) in [
            (json!({"select": "--full-refresh"}), "payload.select"),
            (json!({"select": [" -x"]}), "payload.select"),
            (json!({"exclude": [""]}), "payload.exclude"),
            (json!({"select": 7}), "payload.select"),
            (json!({"select": "a\u{0}b"}), "payload.select"),
            (json!({"vars": {"a b": 1}}), "payload.vars"),
            (json!({"vars": {"--x": 1}}), "payload.vars"),
            (json!({"vars": "a: 1"}), "payload.vars"),
            (json!({"full_refresh": "yes"}), "payload.full_refresh"),
        ] {
            let refused = read("build", payload.clone()).expect_err("refused");
            assert!(refused.contains(said), "{payload}: {refused}");
        }
        assert!(read("test", json!({"full_refresh": true})).is_err());
        for name in ["", "--x", "a b", "dbt.run_query", "a.", "a;b"] {
            let refused = read("run_operation", json!({"macro": name})).expect_err(name);
            assert!(refused.contains("payload.macro"), "{name}: {refused}");
        }
        let refused = read("run_operation", json!({})).expect_err("no macro");
        assert!(refused.contains("payload.macro"), "{refused}");
        let payload = json!({"macro": "grant", "args": {"to": "x", "n": 1e-7}});
        let args = read("run_operation", payload).expect("options");
        assert_eq!(args, [r#"--args={"to":"x","n":1.0e-7}"#]);
    }
}
