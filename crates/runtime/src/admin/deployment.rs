//! The resources on AWS: compares them with the topology (docs/design/sns-sqs.md), creates them and removes them.

use crate::installation::{OpenError, aws::sdk::sdk_config_as};
use crate::names::{HISTORY, Names};
use crate::settings::Settings;
use crate::settings::services::{self, Queue, SERVICES, Service};
use pudato_messaging::aws::{AwsFabric, Difference, Places};
use pudato_messaging::{SystemClock, Topology};
use std::sync::Arc;

/// The topics, queues and subscriptions of one prefix in one account and region.
pub struct Deployment {
    /// The fabric of these resources.
    pub fabric: AwsFabric,
    /// The expected topology.
    pub topology: Topology,
    names: Names,
    prefix: String,
    endpoint: Option<String>,
}

impl Deployment {
    /// The deployment that `settings` describe: their prefix, visibility and endpoint. Topics and queues are found by their names.
    pub async fn new(settings: &Settings) -> Self {
        Self::with(settings, settings.has_dbt_project()).await
    }

    /// Everything that may be deployed, so that removal does not depend on today's settings.
    pub async fn whole(settings: &Settings) -> Self {
        Self::with(settings, true).await
    }

    async fn with(settings: &Settings, has_worker: bool) -> Self {
        let names = Names::new(&settings.prefix);
        let (with_queue, topic_only): (Vec<Service>, Vec<Service>) = SERVICES
            .into_iter()
            .partition(|service| has_worker || service.queue == Queue::Always);
        let services = with_queue.iter().map(|service| service.name.to_owned());
        let services: Vec<String> = services.collect();
        let mut topology = names.topology(&services, &[HISTORY.to_owned()], settings.visibility);
        let topic_only = topic_only
            .iter()
            .map(|service| names.commands(service.name));
        topology.topics.extend(topic_only);
        let config = sdk_config_as(settings).await;
        Self {
            fabric: AwsFabric::new(&config, Places::default(), Arc::new(SystemClock)),
            topology,
            names,
            prefix: settings.prefix.clone(),
            endpoint: settings.endpoint.clone(),
        }
    }

    /// Lists all differences between the deployed resources and the topology.
    ///
    /// # Errors
    /// AWS cannot be reached.
    pub async fn diff(&self) -> Result<Vec<Difference>, OpenError> {
        Ok(self.fabric.diff(&self.topology, &self.prefix).await?)
    }

    /// The settings of the deployed resources, as `pudato.toml` has them.
    ///
    /// # Errors
    /// A resource is missing.
    pub async fn settings(&self) -> Result<String, OpenError> {
        let mut lines = vec!["fabric = \"aws\"".to_owned()];
        if self.prefix != "pudato" {
            lines.push(format!("prefix = {:?}", self.prefix));
        }
        if let Some(endpoint) = &self.endpoint {
            lines.push(format!("aws_endpoint_url = {endpoint:?}"));
        }
        for topic in &self.topology.topics {
            let carried = self.names.carries(topic);
            if let Some(name) = carried.filter(|name| services::has_topic_setting(name)) {
                let arn = self.fabric.topic_arn(topic)?;
                let key = key(&services::topic_variable(name));
                lines.push(format!("{key} = {arn:?}"));
            }
        }
        for name in services::queues() {
            let queue = self.names.queue(name);
            if self.topology.queues.iter().any(|one| one.name == queue) {
                let url = self.fabric.queue_url(&queue).await?;
                let key = key(&services::queue_variable(name));
                lines.push(format!("{key} = {url:?}"));
            }
        }
        Ok(lines.join("\n"))
    }
}

/// The key in `pudato.toml` of a variable.
fn key(variable: &str) -> String {
    let name = variable.strip_prefix("PUDATO_").unwrap_or(variable);
    name.to_ascii_lowercase()
}
