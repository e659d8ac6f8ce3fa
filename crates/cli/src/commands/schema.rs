//! `pudato schema`.

use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use serde_json::Value;

/// Print the JSON Schema of a message.
#[derive(clap::Args)]
#[command(after_help = "Example:
  pudato schema command > command.schema.json")]
pub struct Schema {
    /// The message [default: all of them]
    #[arg(value_parser = ["command", "result", "event"])]
    message: Option<String>,
}

impl Schema {
    pub fn run(&self, _: &Context) -> Result<(), Failure> {
        let schemas = pudato_runtime::protocol::schema::all();
        match &self.message {
            None => {
                let all = schemas.map(|(name, schema)| (name.to_owned(), schema));
                output::json(&Value::Object(all.into_iter().collect()))
            }
            Some(wanted) => {
                let mut schemas = schemas.into_iter();
                match schemas.find(|(name, _)| name == wanted) {
                    Some((_, schema)) => output::json(&schema),
                    None => Err(Failure::usage(format!("there is no message {wanted:?}"))),
                }
            }
        }
    }
}
