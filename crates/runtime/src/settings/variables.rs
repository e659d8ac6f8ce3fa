//! All settings in one list, which `pudato config` prints and docs/settings.md repeats.

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// The name in the environment.
    pub name: &'static str,
    /// The key in `pudato.toml`.
    pub key: &'static str,
    /// The default; empty if there is none.
    pub default: &'static str,
    /// The meaning.
    pub meaning: &'static str,
    /// Whether the value is masked in output.
    pub is_secret: bool,
}

const fn variable(
    name: &'static str,
    key: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Variable {
    Variable {
        name,
        key,
        default,
        meaning,
        is_secret: false,
    }
}

const fn secret(
    name: &'static str,
    key: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Variable {
    Variable {
        is_secret: true,
        ..variable(name, key, default, meaning)
    }
}

/// All settings, in the order in which they are printed.
pub const VARIABLES: &[Variable] = &[
    variable(
        "PUDATO_FABRIC",
        "fabric",
        "embedded",
        "embedded or aws; if unset, aws when an AWS topic, queue or endpoint is set",
    ),
    variable(
        "PUDATO_DATA_DIR",
        "data_dir",
        ".pudato",
        "data folder: the embedded fabric, the registry and objects",
    ),
    variable(
        "PUDATO_PREFIX",
        "prefix",
        "pudato",
        "prefix of the names of topics and queues",
    ),
    variable(
        "PUDATO_ENVIRONMENT",
        "environment",
        "dev",
        "dev, test, prod or a name of your own; prod requires PUDATO_FABRIC",
    ),
    variable(
        "PUDATO_STORAGE_TOPIC_ARN",
        "storage_topic_arn",
        "",
        "topic of storage commands",
    ),
    variable(
        "PUDATO_QUERY_TOPIC_ARN",
        "query_topic_arn",
        "",
        "topic of query commands",
    ),
    variable(
        "PUDATO_TRANSFORM_TOPIC_ARN",
        "transform_topic_arn",
        "",
        "topic of transform commands",
    ),
    variable(
        "PUDATO_REGISTRY_TOPIC_ARN",
        "registry_topic_arn",
        "",
        "topic of registry commands",
    ),
    variable(
        "PUDATO_RESULTS_TOPIC_ARN",
        "results_topic_arn",
        "",
        "topic of Results",
    ),
    variable(
        "PUDATO_EVENTS_TOPIC_ARN",
        "events_topic_arn",
        "",
        "topic of Events",
    ),
    variable(
        "PUDATO_STORAGE_QUEUE_URL",
        "storage_queue_url",
        "",
        "queue of storage commands",
    ),
    variable(
        "PUDATO_QUERY_QUEUE_URL",
        "query_queue_url",
        "",
        "queue of query commands",
    ),
    variable(
        "PUDATO_TRANSFORM_QUEUE_URL",
        "transform_queue_url",
        "",
        "queue of transform commands",
    ),
    variable(
        "PUDATO_REGISTRY_QUEUE_URL",
        "registry_queue_url",
        "",
        "queue of registry commands",
    ),
    variable(
        "PUDATO_RESULTS_QUEUE_URL",
        "results_queue_url",
        "",
        "queue of Results",
    ),
    variable(
        "PUDATO_HISTORY_QUEUE_URL",
        "history_queue_url",
        "",
        "queue of Events that the registry keeps for trace and events tail; if unset, no Events are kept",
    ),
    variable(
        "AWS_ENDPOINT_URL",
        "aws_endpoint_url",
        "",
        "endpoint of an emulator (also LOCALSTACK_ENDPOINT)",
    ),
    secret(
        "REGISTRY_DATABASE_URL",
        "registry_database_url",
        "",
        "the registry: sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE, or a secret with such a URL, secretsmanager:NAME or ssm:NAME; if unset, a file in the data folder",
    ),
    secret(
        "PUDATO_IDEMPOTENCY_URL",
        "idempotency_url",
        "",
        "where pudato stores the answers of commands on AWS, so that a redelivered command gets the same answer: sqlite:PATH, postgres://.., dynamodb:TABLE, secretsmanager:NAME or ssm:NAME; if unset, the registry's database; the embedded fabric stores them itself",
    ),
    variable(
        "PUDATO_REPLIES",
        "replies",
        "registry",
        "where call waits for its Result: registry, or queue for a temporary SQS queue if it cannot reach the registry",
    ),
    variable(
        "PUDATO_DATABASE_CONNECTIONS",
        "database_connections",
        "8",
        "maximum number of connections of a program to PostgreSQL, 1..1000; 2 in a Lambda",
    ),
    variable(
        "PUDATO_CONTAINERS",
        "containers",
        "",
        "containers as NAME=LOCATION, separated by commas, for places without a pudato.toml, such as a Lambda",
    ),
    variable(
        "PUDATO_CLAIMS_CONTAINER",
        "claims_container",
        "pudato-claims",
        "container for messages over the size limit",
    ),
    variable(
        "PUDATO_CLAIM_BYTES_MAX",
        "claim_bytes_max",
        "67108864",
        "maximum size of a claim in bytes",
    ),
    variable(
        "PUDATO_CONCURRENCY",
        "concurrency",
        "16",
        "maximum number of messages that a worker processes at once, 1..1000",
    ),
    variable(
        "PUDATO_VISIBILITY_SECONDS",
        "visibility_seconds",
        "60",
        "how long a received message is hidden from other workers, 1..43200; fixed when the data folder is created",
    ),
    variable(
        "PUDATO_DRAIN_SECONDS",
        "drain_seconds",
        "30",
        "how long a program that stops waits for the commands it is working on, 0..3600",
    ),
    variable(
        "PUDATO_HEALTH_PORT",
        "health_port",
        "",
        "port on loopback for /livez and /readyz; if unset, no port is open",
    ),
    variable(
        "PUDATO_LOG",
        "log",
        "info",
        "log filter, e.g. info or pudato_runtime=debug",
    ),
    variable(
        "PUDATO_LOG_FORMAT",
        "log_format",
        "",
        "text or json; if unset, text on a terminal, otherwise json",
    ),
    variable(
        "DUCKDB_PATH",
        "duckdb_path",
        "",
        "file of the warehouse; if unset, warehouse.duckdb in the data folder",
    ),
    variable(
        "PUDATO_QUERY_SECONDS",
        "query_seconds",
        "300",
        "maximum time for the SQL of one command, 1..43200; a payload's timeout_seconds can set less",
    ),
    variable(
        "PUDATO_QUERY_MEMORY_BYTES",
        "query_memory_bytes",
        "1073741824",
        "maximum memory of all running SQL; beyond it, DuckDB spills to the data folder",
    ),
    variable(
        "PUDATO_QUERY_SPILL_BYTES",
        "query_spill_bytes",
        "17179869184",
        "maximum number of bytes that DuckDB spills to disk",
    ),
    variable(
        "PUDATO_QUERY_THREADS",
        "query_threads",
        "",
        "number of threads for all running SQL; if unset, the number of cores",
    ),
    variable(
        "PUDATO_QUERY_SOURCE_BYTES_MAX",
        "query_source_bytes_max",
        "1073741824",
        "maximum size of the sources of one command in bytes",
    ),
    variable(
        "PUDATO_QUERY_ANSWER_BYTES_MAX",
        "query_answer_bytes_max",
        "16777216",
        "maximum size of the rows in one Result in bytes; write more to an object",
    ),
    variable(
        "PUDATO_QUERY_SCRIPTS",
        "query_scripts",
        "true",
        "whether execute_script may be used: true or false",
    ),
    variable(
        "PUDATO_QUERY_ISOLATION",
        "query_isolation",
        "process",
        "process: DuckDB runs in its own process, so that a crash or a limit affects one query only; none: DuckDB runs in the worker's process, for a container that handles one message at a time",
    ),
    variable(
        "DBT_PROJECT_DIR",
        "dbt_project_dir",
        "",
        "folder of the dbt project",
    ),
    variable(
        "DBT_PROFILES_DIR",
        "dbt_profiles_dir",
        "",
        "folder of profiles.yml; for transform",
    ),
    variable(
        "DBT_TARGET",
        "dbt_target",
        "",
        "target in profiles.yml; for transform",
    ),
    secret(
        "PUDATO_LOGIC_REPO_URL",
        "logic_repo_url",
        "",
        "git repository of the dbt project; for transform",
    ),
    variable(
        "PUDATO_LOGIC_REPO_BRANCH",
        "logic_repo_branch",
        "",
        "branch of the repository; for transform",
    ),
    variable(
        "PUDATO_LOGIC_REPO_SUBDIR",
        "logic_repo_subdir",
        "",
        "folder of the dbt project in the repository; for transform",
    ),
    variable(
        "PUDATO_LOGIC_REPO_REVISION",
        "logic_repo_revision",
        "",
        "commit of the repository to use for all jobs; for transform",
    ),
    variable(
        "OPENLINEAGE_URL",
        "openlineage_url",
        "",
        "server to which pudato sends every Result as OpenLineage events",
    ),
    variable(
        "OPENLINEAGE_ENDPOINT",
        "openlineage_endpoint",
        "",
        "path on that server; if unset, api/v1/lineage",
    ),
    secret(
        "OPENLINEAGE_API_KEY",
        "openlineage_api_key",
        "",
        "bearer token for that server",
    ),
    variable(
        "OPENLINEAGE_DISABLED",
        "openlineage_disabled",
        "",
        "true: pudato sends no events",
    ),
    variable(
        "OPENLINEAGE__TRANSPORT__TYPE",
        "openlineage_transport",
        "",
        "http, file, console or noop; if unset, http when a URL is set",
    ),
    variable(
        "OPENLINEAGE__TRANSPORT__URL",
        "openlineage_transport_url",
        "",
        "same as OPENLINEAGE_URL, and takes precedence",
    ),
    variable(
        "OPENLINEAGE__TRANSPORT__ENDPOINT",
        "openlineage_transport_endpoint",
        "",
        "same as OPENLINEAGE_ENDPOINT, and takes precedence",
    ),
    variable(
        "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH",
        "openlineage_file",
        "",
        "file to which pudato appends events, one per line, if the transport is file",
    ),
    variable(
        "PUDATO_DBT",
        "dbt",
        "",
        "the dbt to run; if unset, pudato looks in .venv beside the project, in .venv in the current folder, and on the path",
    ),
    variable(
        "PUDATO_DBT_ENV",
        "dbt_env",
        "",
        "environment variables that dbt and git can see, in addition to PATH, HOME and similar; NAME or PREFIX*, separated by commas",
    ),
    variable(
        "PUDATO_TRANSFORM_SECONDS",
        "transform_seconds",
        "3600",
        "maximum time for a dbt run, 1..43200",
    ),
    variable(
        "PUDATO_TRANSFORM_MEMORY_BYTES",
        "transform_memory_bytes",
        "4294967296",
        "maximum memory of dbt and the processes that it starts, at least 16777216; enforced on Linux",
    ),
    variable(
        "PUDATO_LOGIC_REPO_ALLOW_FILE",
        "logic_repo_allow_file",
        "",
        "true: also allow file:// URLs",
    ),
    variable(
        "PUDATO_SNS_SIGNATURES",
        "sns_signatures",
        "off",
        "whether to verify the signatures of SNS notifications: off, v1 (versions 1 and 2) or v2 (version 2 only); messages with raw delivery have no signature",
    ),
    variable(
        "HANDLER_TYPE",
        "handler_type",
        "",
        "what a Lambda runs: the handler storage, registry or query, results for the results consumer, or migrate, which creates the registry's tables and roles",
    ),
];

/// Names that people mistake for settings of pudato, and what to set instead. pudato refuses them, because whoever sets one relies on it.
pub(crate) const OTHERS: &[(&str, &str)] = &[
    (
        "PUDATO_ENV",
        "set PUDATO_FABRIC (embedded or aws) to choose the fabric, and PUDATO_ENVIRONMENT (dev, test, prod) to name the environment",
    ),
    (
        "PUDATO_DATA_BUCKET",
        "name each container: PUDATO_CONTAINERS=NAME=s3://BUCKET, or [containers] in pudato.toml",
    ),
    (
        "PUDATO_DATA_CONTAINER",
        "name each container: PUDATO_CONTAINERS=NAME=s3://BUCKET, or [containers] in pudato.toml",
    ),
    (
        "PUDATO_METADATA_TABLE",
        "the registry is a database; set REGISTRY_DATABASE_URL",
    ),
    (
        "PUDATO_LOGIC_REPO_CLONE_DIR",
        "pudato keeps checkouts of the logic in the data folder; set PUDATO_DATA_DIR",
    ),
    (
        "PUDATO_ICEBERG_CATALOG_PATH",
        "pudato keeps tables in the warehouse; set DUCKDB_PATH",
    ),
];

/// The advice for a setting that pudato does not have, by its name or its key in the file.
pub fn instead_of(name: &str) -> Option<&'static str> {
    let is_named =
        |known: &str| known == name || known["PUDATO_".len()..].eq_ignore_ascii_case(name);
    let found = OTHERS.iter().find(|(known, _)| is_named(known));
    found.map(|(_, instead)| *instead)
}

/// The key that is most similar to `unknown`.
pub(crate) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    pudato_handler::nearest(unknown, known).map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::VARIABLES;

    #[test]
    fn every_setting_is_in_the_documented_list() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
        let text = std::fs::read_to_string(path).expect("docs/settings.md");
        for variable in VARIABLES {
            let default = match variable.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            let (name, key, meaning) = (variable.name, variable.key, variable.meaning);
            let row = format!("| `{name}` | `{key}` | {default} | {meaning} |");
            assert!(text.contains(&row), "docs/settings.md lacks: {row}");
        }
    }
}
