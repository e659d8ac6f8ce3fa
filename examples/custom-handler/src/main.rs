//! Runs the worker of the service `profile` until Ctrl-C, on the data folder of `pudato up`:
//!
//! ```text
//! cargo run -p custom-handler
//! pudato call profile profile_csv location=file:///a.csv data=@a.csv
//! ```

use custom_handler::Profile;
use pudato_runtime::settings::Sources;
use pudato_runtime::{CancellationToken, Installation, Role, Settings, logs};
use std::collections::BTreeMap;
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::load(&Sources {
        flags: BTreeMap::new(),
        environment: &|name| std::env::var(name).ok(),
        file: None,
    })?;
    logs::start(&settings)?;
    let pudato = Installation::open_with(settings, vec![Arc::new(Profile)]).await?;
    let drain = CancellationToken::new();
    let stop = drain.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        stop.cancel();
    });
    pudato.run(&[Role::Worker("profile".into())], drain).await?;
    Ok(())
}
