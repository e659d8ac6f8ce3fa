//! What is deployed on AWS, compared with what contract.md says, created and removed.

use crate::aws;
use crate::names::{HISTORY, Names, RESULTS};
use crate::settings::Settings;
use crate::wiring::OpenError;
use pudato_messaging::aws::{AwsFabric, Difference, Places, sdk_config};
use pudato_messaging::{SystemClock, Topology};
use std::sync::Arc;

/// The services that pudato has a handler for.
const SERVICES: [&str; 3] = ["storage", "query", "registry"];
/// The service that has a topic, and a queue only where its worker reads it.
const TOPIC_ONLY: &str = "transform";

/// The topics, queues and subscriptions of one prefix in one account and region.
pub struct Deployment {
    /// The fabric that they are.
    pub fabric: AwsFabric,
    /// What there must be.
    pub topology: Topology,
    names: Names,
    prefix: String,
    endpoint: Option<String>,
}

impl Deployment {
    /// That of `settings`: its prefix, visibility and endpoint. Topics and queues are found by their names.
    pub async fn new(settings: &Settings) -> Self {
        // Where a project is named, its worker reads the queue.
        let has_transform = ["DBT_PROJECT_DIR", "PUDATO_LOGIC_REPO_URL"]
            .iter()
            .any(|name| !settings.value(name).is_empty());
        Self::with(settings, has_transform).await
    }

    /// All that may be there: to be removed, whatever the settings name today.
    pub async fn whole(settings: &Settings) -> Self {
        Self::with(settings, true).await
    }

    async fn with(settings: &Settings, has_transform: bool) -> Self {
        let names = Names::new(&settings.prefix);
        let mut services = SERVICES.map(str::to_owned).to_vec();
        if has_transform {
            services.push(TOPIC_ONLY.to_owned());
        }
        let mut topology = names.topology(&services, &[HISTORY.to_owned()], settings.visibility);
        if !has_transform {
            topology.topics.push(names.commands(TOPIC_ONLY));
        }
        let config = sdk_config(settings.endpoint.as_deref()).await;
        Self {
            fabric: AwsFabric::new(&config, Places::default(), Arc::new(SystemClock)),
            topology,
            names,
            prefix: settings.prefix.clone(),
            endpoint: settings.endpoint.clone(),
        }
    }

    /// Names everything that is deployed otherwise.
    ///
    /// # Errors
    /// AWS cannot be asked.
    pub async fn diff(&self) -> Result<Vec<Difference>, OpenError> {
        Ok(self.fabric.diff(&self.topology, &self.prefix).await?)
    }

    /// The settings of what is deployed, as `pudato.toml` has them.
    ///
    /// # Errors
    /// Something is missing.
    pub async fn settings(&self) -> Result<String, OpenError> {
        let mut lines = vec!["fabric = \"aws\"".to_owned()];
        if self.prefix != "pudato" {
            lines.push(format!("prefix = {:?}", self.prefix));
        }
        if let Some(endpoint) = &self.endpoint {
            lines.push(format!("aws_endpoint_url = {endpoint:?}"));
        }
        for topic in &self.topology.topics {
            if let Some(variable) = aws::topic_variable(&self.names, topic) {
                let arn = self.fabric.topic_arn(topic)?;
                lines.push(format!("{} = {arn:?}", key(&variable)));
            }
        }
        for name in SERVICES.iter().chain(&[TOPIC_ONLY, RESULTS, HISTORY]) {
            let queue = self.names.queue(name);
            if !self.topology.queues.iter().any(|one| one.name == queue) {
                continue;
            }
            if let Some(variable) = aws::queue_variable(&self.names, &queue) {
                let url = self.fabric.queue_url(&queue).await?;
                lines.push(format!("{} = {url:?}", key(&variable)));
            }
        }
        Ok(lines.join("\n"))
    }
}

/// The key of a variable in `pudato.toml`.
fn key(variable: &str) -> String {
    let name = variable.strip_prefix("PUDATO_").unwrap_or(variable);
    name.to_ascii_lowercase()
}
