//! `pudato config`.

use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use pudato_runtime::handler::redact;
use serde_json::{Value, json};

/// Print every setting, its value and where it comes from; secrets are masked.
#[derive(clap::Args)]
#[command(after_help = "Example:
  PUDATO_CONCURRENCY=4 pudato config")]
pub struct Config {}

impl Config {
    pub fn run(&self, context: &Context) -> Result<(), Failure> {
        let shown = |value: &str, is_secret: bool| match value {
            "" => String::new(),
            _ if is_secret => "********".into(),
            // A URL may contain a password.
            value => redact(value).into_owned(),
        };
        let all = context.settings.all.iter().map(|setting| {
            let value = shown(&setting.value, setting.variable.is_secret);
            (setting.variable, value, setting.origin.clone())
        });
        if context.json {
            let all: Vec<Value> = all
                .map(|(variable, value, origin)| {
                    json!({
                        "name": variable.name, "key": variable.key, "value": value, "origin": origin,
                        "meaning": variable.meaning,
                    })
                })
                .collect();
            let containers = &context.settings.containers;
            return output::json(&json!({"settings": all, "containers": containers}));
        }
        let mut rows: Vec<Vec<String>> = all
            .map(|(variable, value, origin)| {
                let value = if value.is_empty() { "-".into() } else { value };
                vec![variable.name.into(), value, origin, variable.meaning.into()]
            })
            .collect();
        for (name, location) in &context.settings.containers {
            let name = format!("[containers] {name}");
            rows.push(vec![
                name,
                location.clone(),
                "pudato.toml".into(),
                String::new(),
            ]);
        }
        output::table(&["SETTING", "VALUE", "FROM", "MEANING"], &rows)
    }
}
