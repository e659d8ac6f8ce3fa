//! The program that AWS Lambda starts as `bootstrap`: one handler, or the results consumer, for the messages of its event source.

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use pudato_runtime::Settings;
use pudato_runtime::lambda::{self, Function};
use pudato_runtime::settings::Sources;
use serde_json::Value;
use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "duckdb")]
    if let Some(code) = pudato_runtime::query_process() {
        return ExitCode::from(code);
    }
    serve()
}

// The smallest Lambda functions have a fraction of a core, and each thread costs memory.
#[tokio::main(flavor = "current_thread")]
async fn serve() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pudato: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let set = |name: &str| std::env::var(name).ok();
    let defaults = lambda::defaults();
    let environment = |name: &str| set(name).or_else(|| defaults.get(name).cloned());
    let settings = Settings::load(&Sources {
        flags: Default::default(),
        environment: &environment,
        file: None,
    })?;
    pudato_runtime::logs::start(&settings)?;
    let function = Function::open(settings).await?;
    let function = &function;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        function
            .invoke(&event.payload, event.context.deadline)
            .await
            .map_err(|error| Diagnostic {
                error_type: "Pudato".into(),
                error_message: error.to_string(),
            })
    }))
    .await
}
