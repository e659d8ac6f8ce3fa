//! The fabric on AWS: what is known before it is opened. The module `sdk` opens it, in a build with the feature `aws`.

#[cfg_attr(not(feature = "aws"), path = "no_sdk.rs")]
pub(crate) mod sdk;

pub(super) use sdk::Access;

use super::backend::Backend;
use super::objects::Unlisted;
use crate::names::{EVENTS, RESULTS};
use crate::serve::Role;
use crate::settings::services::{
    REGISTRY_DATABASE, has_queue_setting, queue_variable, topic_variable,
};

pub(super) static BACKEND: Backend = Backend {
    name: "aws",
    is_chosen_by: |setting| {
        setting.ends_with("_TOPIC_ARN")
            || setting.ends_with("_QUEUE_URL")
            || setting == "AWS_ENDPOINT_URL"
    },
    needs_aws: true,
    unlisted: Unlisted::Buckets,
    stores_answers: false,
    has_reply_queues: true,
    feeds_lambda: true,
    requires,
    requires_advice: "`pudato topology apply` prints those of an emulator",
    open: |parts| Box::pin(sdk::open(parts)),
};

fn requires(roles: &[Role]) -> Vec<String> {
    let mut required: Vec<String> = Vec::new();
    let mut add = |name: String| {
        if !required.contains(&name) {
            required.push(name);
        }
    };
    for role in roles {
        add(topic_variable(RESULTS));
        match role {
            Role::Worker(service) => {
                add(topic_variable(EVENTS));
                if has_queue_setting(service) {
                    add(queue_variable(service));
                }
            }
            Role::Results => add(queue_variable(RESULTS)),
        }
    }
    add(REGISTRY_DATABASE.to_owned());
    required
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_requires_each_setting_of_its_roles_once() {
        assert_eq!(requires(&[]), ["REGISTRY_DATABASE_URL"]);
        let worker = |service: &str| Role::Worker(service.into());
        let roles = [
            worker("storage"),
            worker("own"),
            worker("query"),
            Role::Results,
        ];
        let expected = [
            "PUDATO_RESULTS_TOPIC_ARN",
            "PUDATO_EVENTS_TOPIC_ARN",
            "PUDATO_STORAGE_QUEUE_URL",
            "PUDATO_QUERY_QUEUE_URL",
            "PUDATO_RESULTS_QUEUE_URL",
            "REGISTRY_DATABASE_URL",
        ];
        assert_eq!(requires(&roles), expected);
    }
}
