//! Settings: flags before environment before `pudato.toml` before defaults, each with where it came from.

use crate::openlineage::TransportSettings;
use crate::variables::{OTHERS, VARIABLES, Variable, instead_of, nearest};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the settings file in the working directory.
pub const FILE: &str = "pudato.toml";

/// Which fabric messages travel over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fabric {
    /// The data folder of this machine.
    Embedded,
    /// SNS and SQS.
    Aws,
}

/// Where a caller hears of the Result of its Command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    /// In the registry.
    Registry,
    /// Through a queue of its own, for who cannot reach the registry; on AWS alone.
    Queue,
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What is set.
    pub variable: Variable,
    /// Its value; empty where there is none.
    pub value: String,
    /// Who says so.
    pub origin: String,
}

/// All settings of a process, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Every value with its origin, in the order of [`VARIABLES`].
    pub all: Vec<Setting>,
    /// Which fabric.
    pub fabric: Fabric,
    /// The data folder.
    pub data_dir: PathBuf,
    /// What names begin with.
    pub prefix: String,
    /// Container names and where they lie; empty: any valid name is a folder of the data folder.
    pub containers: BTreeMap<String, String>,
    /// Container of claims.
    pub claims_container: String,
    /// Most bytes of a claim.
    pub claim_bytes_max: u64,
    /// Where the registry is.
    pub registry: DatabasePlace,
    /// Connections to a PostgreSQL that this program keeps at most.
    pub database_connections: usize,
    /// Where answers are kept on AWS; `None`: in the registry's database.
    pub answers: Option<DatabasePlace>,
    /// Where callers hear of Results.
    pub replies: Replies,
    /// An emulator instead of AWS.
    pub endpoint: Option<String>,
    /// Messages in hand at once.
    pub concurrency: usize,
    /// How long a received message is hidden from others.
    pub visibility: Duration,
    /// How long a drain waits.
    pub drain: Duration,
    /// The query service.
    pub query: QuerySettings,
    /// The transform service; its folder and warehouse are set where it is opened.
    #[cfg(feature = "dbt")]
    pub transform: pudato_transform::Settings,
    /// Where OpenLineage events go; `None`: nobody is told.
    pub openlineage: Option<TransportSettings>,
    /// Port of `/livez` and `/readyz`.
    pub health_port: Option<u16>,
    /// What is logged.
    pub log: String,
    /// `Some(true)`: JSON lines; `None`: what suits stderr.
    pub log_json: Option<bool>,
}

/// Where a database is.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabasePlace {
    /// A SQLite file.
    File(PathBuf),
    /// The URL of a PostgreSQL server; it may hold a password.
    Postgres(String),
    /// A table of DynamoDB, for answers alone.
    Dynamo(String),
    /// A secret that holds the URL.
    Secret(SecretName),
    /// Nowhere: in memory, for who needs none.
    Memory,
}

/// The name of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretName {
    /// Of AWS Secrets Manager: name or ARN.
    SecretsManager(String),
    /// Of the parameter store of AWS Systems Manager.
    Parameter(String),
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretsManager(name) => write!(f, "secretsmanager:{name}"),
            Self::Parameter(name) => write!(f, "ssm:{name}"),
        }
    }
}

impl fmt::Debug for DatabasePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Postgres(_) => f.write_str("Postgres(..)"),
            Self::Dynamo(table) => write!(f, "Dynamo({table:?})"),
            Self::Secret(name) => write!(f, "Secret({name:?})"),
            Self::Memory => f.write_str("Memory"),
        }
    }
}

impl DatabasePlace {
    /// Reads a URL; `None` where it is of no kind that is known.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Some(Self::Postgres(url.to_owned()));
        }
        let (scheme, rest) = url.split_once(':')?;
        let name = rest.strip_prefix("//").unwrap_or(rest);
        let place = match scheme {
            "sqlite" => Self::File(name.into()),
            "dynamodb" => Self::Dynamo(name.to_owned()),
            "secretsmanager" => Self::Secret(SecretName::SecretsManager(rest.to_owned())),
            "ssm" => Self::Secret(SecretName::Parameter(rest.to_owned())),
            _ => return None,
        };
        (!name.is_empty()).then_some(place)
    }
}

/// What the query service may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuerySettings {
    /// The warehouse; `None`: in memory.
    pub file: Option<PathBuf>,
    /// Longest time of one Command's SQL.
    pub deadline: Duration,
    /// Most memory.
    pub memory_bytes: u64,
    /// Most bytes on disk of what does not fit into memory.
    pub spill_bytes: u64,
    /// Threads.
    pub threads: u32,
    /// Most bytes of a Command's sources.
    pub source_bytes_max: u64,
    /// Most bytes of the rows in a Result.
    pub answer_bytes_max: usize,
    /// Whether scripts may be sent.
    pub scripts: bool,
    /// Whether DuckDB runs in a process of its own.
    pub has_own_process: bool,
}

/// Everything that is wrong with the settings, at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(pub Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SettingsError {}

/// Where settings come from.
pub struct Sources<'a> {
    /// Flags of the command line, by the variable's name.
    pub flags: BTreeMap<&'static str, String>,
    /// Reads the environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The settings file: where it was named it must be there.
    pub file: Option<&'a Path>,
}

impl Settings {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Every value that cannot be used, with what was expected; every key of the file that is unknown, with the nearest
    /// that is known.
    pub fn load(sources: &Sources<'_>) -> Result<Self, SettingsError> {
        let mut wrong = Vec::new();
        let (file, mut containers) = read_file(sources.file, &mut wrong);
        let mut all: Vec<Setting> = VARIABLES
            .iter()
            .map(|variable| find(*variable, sources, &file))
            .collect();
        for (name, instead) in OTHERS {
            if (sources.environment)(name).is_some_and(|value| !value.is_empty()) {
                wrong.push(format!("{name}: pudato has no such setting; {instead}"));
            }
        }
        let fabric = fabric(&mut all, &mut wrong);
        let listed = value(&all, "PUDATO_CONTAINERS");
        if !listed.is_empty() {
            containers = read_containers(listed, &mut wrong);
        }
        let get = |name: &str| value(&all, name);
        let number = |name: &str, min: u64, max: u64, wrong: &mut Vec<String>| {
            let text = get(name);
            match text.parse::<u64>() {
                Ok(number) if (min..=max).contains(&number) => number,
                _ => {
                    wrong.push(format!(
                        "{name}: expected a whole number {min}..{max}, found {text:?}"
                    ));
                    min
                }
            }
        };
        let data_dir = PathBuf::from(get("PUDATO_DATA_DIR"));
        let claim_bytes_max = number("PUDATO_CLAIM_BYTES_MAX", 1, 1 << 40, &mut wrong);
        let concurrency = number("PUDATO_CONCURRENCY", 1, 1_000, &mut wrong);
        let visibility_s = number("PUDATO_VISIBILITY_SECONDS", 1, 43_200, &mut wrong);
        let drain_s = number("PUDATO_DRAIN_SECONDS", 0, 3_600, &mut wrong);
        let health_port = match get("PUDATO_HEALTH_PORT") {
            "" => None,
            _ => u16::try_from(number("PUDATO_HEALTH_PORT", 1, 65_535, &mut wrong)).ok(),
        };
        let query_file = match get("DUCKDB_PATH") {
            "" => data_dir.join("warehouse.duckdb"),
            path => PathBuf::from(path),
        };
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let threads = match get("PUDATO_QUERY_THREADS") {
            "" => cores,
            _ => number("PUDATO_QUERY_THREADS", 1, 1_024, &mut wrong),
        };
        let bytes = |name: &str, wrong: &mut Vec<String>| number(name, 1 << 20, 1 << 50, wrong);
        let query = QuerySettings {
            file: Some(query_file),
            deadline: Duration::from_secs(number("PUDATO_QUERY_SECONDS", 1, 43_200, &mut wrong)),
            memory_bytes: bytes("PUDATO_QUERY_MEMORY_BYTES", &mut wrong),
            spill_bytes: bytes("PUDATO_QUERY_SPILL_BYTES", &mut wrong),
            threads: u32::try_from(threads).unwrap_or(1),
            source_bytes_max: number("PUDATO_QUERY_SOURCE_BYTES_MAX", 1, 1 << 50, &mut wrong),
            answer_bytes_max: usize::try_from(number(
                "PUDATO_QUERY_ANSWER_BYTES_MAX",
                1,
                1 << 40,
                &mut wrong,
            ))
            .unwrap_or(usize::MAX),
            scripts: match get("PUDATO_QUERY_SCRIPTS") {
                "true" => true,
                "false" => false,
                other => {
                    wrong.push(format!(
                        "PUDATO_QUERY_SCRIPTS: expected true or false, found {other:?}"
                    ));
                    true
                }
            },
            has_own_process: match get("PUDATO_QUERY_ISOLATION") {
                "process" => true,
                "none" => false,
                other => {
                    wrong.push(format!(
                        "PUDATO_QUERY_ISOLATION: expected process or none, found {other:?}"
                    ));
                    true
                }
            },
        };
        #[cfg(feature = "dbt")]
        let transform = crate::transform_settings::read(&get, &mut wrong);
        let log_json = match get("PUDATO_LOG_FORMAT") {
            "" => None,
            "json" => Some(true),
            "text" => Some(false),
            other => {
                wrong.push(format!(
                    "PUDATO_LOG_FORMAT: expected text or json, found {other:?}"
                ));
                None
            }
        };
        let prefix = get("PUDATO_PREFIX").to_owned();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if prefix.is_empty() || prefix.len() > 40 || !prefix.chars().all(is_name) {
            wrong.push(format!(
                "PUDATO_PREFIX: expected 1 to 40 letters, digits, '-' or '_', found {prefix:?}"
            ));
        }
        let openlineage = TransportSettings::read(get).unwrap_or_else(|what| {
            wrong.push(what);
            None
        });
        let connections = number("PUDATO_DATABASE_CONNECTIONS", 1, 1_000, &mut wrong);
        let registry = registry(get("REGISTRY_DATABASE_URL"), &data_dir, &mut wrong);
        let answers = answers(get("PUDATO_IDEMPOTENCY_URL"), fabric, &mut wrong);
        let replies = replies(get("PUDATO_REPLIES"), fabric, &mut wrong);
        if !wrong.is_empty() {
            return Err(SettingsError(wrong));
        }
        Ok(Self {
            fabric,
            prefix,
            containers,
            claims_container: get("PUDATO_CLAIMS_CONTAINER").to_owned(),
            claim_bytes_max,
            registry,
            database_connections: usize::try_from(connections).unwrap_or(1),
            answers,
            replies,
            endpoint: Some(get("AWS_ENDPOINT_URL").to_owned()).filter(|url| !url.is_empty()),
            openlineage,
            concurrency: usize::try_from(concurrency).unwrap_or(1),
            visibility: Duration::from_secs(visibility_s),
            drain: Duration::from_secs(drain_s),
            health_port,
            query,
            #[cfg(feature = "dbt")]
            transform,
            log: get("PUDATO_LOG").to_owned(),
            log_json,
            data_dir,
            all,
        })
    }
}

impl Settings {
    /// The value of the variable `name`; empty where it has none.
    pub fn value(&self, name: &str) -> &str {
        value(&self.all, name)
    }

    /// Refuses to start on AWS where anything in `needed` is not set.
    ///
    /// # Errors
    /// All that is missing, at once, and why AWS it is.
    pub fn require(&self, needed: &[String]) -> Result<(), SettingsError> {
        let missing: Vec<&str> = needed
            .iter()
            .map(String::as_str)
            .filter(|name| self.value(name).is_empty())
            .collect();
        if self.fabric == Fabric::Embedded || missing.is_empty() {
            return Ok(());
        }
        let fabric = self
            .all
            .iter()
            .find(|setting| setting.variable.name == "PUDATO_FABRIC");
        let origin = fabric.map_or("", |setting| setting.origin.as_str());
        Err(SettingsError(vec![format!(
            "PUDATO_FABRIC is aws ({origin}), and these are not set: {}; `pudato topology apply` prints those of an emulator",
            missing.join(", ")
        )]))
    }
}

fn value<'a>(all: &'a [Setting], name: &str) -> &'a str {
    let setting = all.iter().find(|setting| setting.variable.name == name);
    setting.map_or("", |setting| setting.value.as_str())
}

fn find(variable: Variable, sources: &Sources<'_>, file: &BTreeMap<String, String>) -> Setting {
    let of = |value: String, origin: String| Setting {
        variable,
        value,
        origin,
    };
    if let Some(value) = sources.flags.get(variable.name) {
        return of(value.clone(), "flag".into());
    }
    let mut names = vec![variable.name];
    if variable.name == "AWS_ENDPOINT_URL" {
        names.push("LOCALSTACK_ENDPOINT");
    }
    for name in names {
        if let Some(value) = (sources.environment)(name).filter(|value| !value.is_empty()) {
            return of(value, format!("environment ({name})"));
        }
    }
    if let Some(value) = file.get(variable.key) {
        return of(value.clone(), format!("{FILE} ({})", variable.key));
    }
    of(variable.default.into(), "default".into())
}

/// Which fabric, and why: an AWS setting that stands there for nothing would be a silent mistake.
fn fabric(all: &mut [Setting], wrong: &mut Vec<String>) -> Fabric {
    let aws = all.iter().find(|setting| {
        let name = setting.variable.name;
        let is_aws = name.ends_with("_TOPIC_ARN")
            || name.ends_with("_QUEUE_URL")
            || name == "AWS_ENDPOINT_URL";
        is_aws && !setting.value.is_empty()
    });
    let because = aws.map(|setting| setting.variable.name);
    let is_prod = value(all, "PUDATO_ENVIRONMENT") == "prod";
    let Some(setting) = all
        .iter_mut()
        .find(|setting| setting.variable.name == "PUDATO_FABRIC")
    else {
        return Fabric::Embedded;
    };
    let is_default = setting.origin == "default";
    if is_default && let Some(name) = because {
        setting.value = "aws".into();
        setting.origin = format!("default, because {name} is set");
    }
    if is_prod && is_default {
        wrong.push(
            "PUDATO_FABRIC: PUDATO_ENVIRONMENT is prod, so say which fabric: embedded or aws"
                .into(),
        );
    }
    match setting.value.as_str() {
        "embedded" => Fabric::Embedded,
        "aws" => Fabric::Aws,
        other => {
            wrong.push(format!(
                "PUDATO_FABRIC: expected embedded or aws, found {other:?}"
            ));
            Fabric::Embedded
        }
    }
}

fn registry(url: &str, data_dir: &Path, wrong: &mut Vec<String>) -> DatabasePlace {
    let default = DatabasePlace::File(data_dir.join("registry.db"));
    if url.is_empty() {
        return default;
    }
    match DatabasePlace::parse(url) {
        Some(place) if !matches!(place, DatabasePlace::Dynamo(_)) => place,
        _ => {
            // The URL may hold a password, so it is not repeated.
            let what = "REGISTRY_DATABASE_URL: expected sqlite:PATH, postgres://USER:PASSWORD@HOST:PORT/DATABASE, secretsmanager:NAME or ssm:NAME";
            wrong.push(what.into());
            default
        }
    }
}

fn answers(url: &str, fabric: Fabric, wrong: &mut Vec<String>) -> Option<DatabasePlace> {
    if url.is_empty() {
        return None;
    }
    if fabric == Fabric::Embedded {
        let what = "PUDATO_IDEMPOTENCY_URL: the embedded fabric keeps answers itself; unset it";
        wrong.push(what.into());
        return None;
    }
    let place = DatabasePlace::parse(url);
    if place.is_none() {
        let what = "PUDATO_IDEMPOTENCY_URL: expected sqlite:PATH, postgres://USER:PASSWORD@HOST:PORT/DATABASE, dynamodb:TABLE, secretsmanager:NAME or ssm:NAME";
        wrong.push(what.into());
    }
    place
}

fn replies(text: &str, fabric: Fabric, wrong: &mut Vec<String>) -> Replies {
    match (text, fabric) {
        ("registry", _) => Replies::Registry,
        ("queue", Fabric::Aws) => Replies::Queue,
        ("queue", Fabric::Embedded) => {
            let what = "PUDATO_REPLIES: queue is for PUDATO_FABRIC=aws; on the embedded fabric callers read the registry, so unset it";
            wrong.push(what.into());
            Replies::Registry
        }
        _ => {
            wrong.push(format!(
                "PUDATO_REPLIES: expected registry or queue, found {text:?}"
            ));
            Replies::Registry
        }
    }
}

type Table = (BTreeMap<String, String>, BTreeMap<String, String>);

/// Containers as `NAME=LOCATION,NAME=LOCATION`.
fn read_containers(text: &str, wrong: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut containers = BTreeMap::new();
    for entry in text.split(',') {
        match entry.trim().split_once('=') {
            Some((name, location)) if !name.is_empty() && !location.is_empty() => {
                containers.insert(name.to_owned(), location.to_owned());
            }
            _ => wrong.push(format!(
                "PUDATO_CONTAINERS: expected NAME=LOCATION such as lake=s3://bucket/prefix, found {entry:?}"
            )),
        }
    }
    containers
}

fn read_file(path: Option<&Path>, wrong: &mut Vec<String>) -> Table {
    let mut table = Table::default();
    let Some(path) = path else {
        return table;
    };
    let name = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            wrong.push(format!("{name}: cannot be read: {error}"));
            return table;
        }
    };
    let parsed: toml::Table = match text.parse() {
        Ok(parsed) => parsed,
        Err(error) => {
            wrong.push(format!("{name}: {error}"));
            return table;
        }
    };
    for (key, value) in parsed {
        match value {
            toml::Value::Table(containers) if key == "containers" => {
                for (container, location) in containers {
                    match location {
                        toml::Value::String(location) => {
                            table.1.insert(container, location);
                        }
                        other => wrong.push(format!(
                            "{name}: containers.{container}: expected a text such as \"file:///data/lake\", found {}",
                            other.type_str()
                        )),
                    }
                }
            }
            _ if !VARIABLES.iter().any(|variable| variable.key == key) => {
                let known = VARIABLES.iter().map(|variable| variable.key);
                let near = nearest(&key, known.chain(["containers"])).unwrap_or_default();
                wrong.push(match instead_of(&key) {
                    Some(instead) => {
                        format!("{name}: {key}: pudato has no such setting; {instead}")
                    }
                    None => format!("{name}: {key}: unknown; did you mean {near}?"),
                });
            }
            toml::Value::String(text) => {
                table.0.insert(key, text);
            }
            toml::Value::Boolean(flag) => {
                table.0.insert(key, flag.to_string());
            }
            toml::Value::Integer(number) => {
                table.0.insert(key, number.to_string());
            }
            other => wrong.push(format!(
                "{name}: {key}: expected a text, a whole number, true or false, found {}",
                other.type_str()
            )),
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)], file: Option<&str>) -> Result<Settings, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        if let Some(text) = file {
            std::fs::write(&path, text).expect("written");
        }
        let environment = |name: &str| {
            let found = environment.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::load(&Sources {
            flags: BTreeMap::from([("PUDATO_PREFIX", "flagged".to_owned())]),
            environment: &environment,
            file: file.map(|_| path.as_path()),
        })
        .map_err(|error| error.to_string())
    }

    fn origin<'a>(settings: &'a Settings, name: &str) -> &'a str {
        let found = settings.all.iter().find(|s| s.variable.name == name);
        &found.expect("a known setting").origin
    }

    #[test]
    fn containers_come_from_the_environment_where_there_is_no_file() {
        let settings = load(
            &[("PUDATO_CONTAINERS", "lake=s3://acme/objects, raw=s3://raw")],
            None,
        );
        let containers = settings.expect("settings").containers;
        assert_eq!(containers["lake"], "s3://acme/objects");
        assert_eq!(containers["raw"], "s3://raw");
        let wrong = load(&[("PUDATO_CONTAINERS", "lake")], None).expect_err("refused");
        assert!(wrong.contains("PUDATO_CONTAINERS"), "{wrong}");
        assert!(wrong.contains("NAME=LOCATION"), "{wrong}");
    }

    #[test]
    fn flags_go_before_environment_before_file_before_defaults() {
        let environment = [("PUDATO_PREFIX", "env"), ("PUDATO_CONCURRENCY", "3")];
        let file = "prefix = \"file\"\nconcurrency = 4\ndrain_seconds = 5\n";
        let settings = load(&environment, Some(file)).expect("settings");
        assert_eq!(settings.prefix, "flagged");
        assert_eq!(settings.concurrency, 3);
        assert_eq!(settings.drain, Duration::from_secs(5));
        assert_eq!(origin(&settings, "PUDATO_PREFIX"), "flag");
        assert_eq!(origin(&settings, "PUDATO_LOG"), "default");
    }

    /// Who comes with them counts on what they say.
    #[test]
    fn a_setting_of_another_name_is_refused_with_what_to_say_instead() {
        for (name, part) in [
            ("PUDATO_ENV", "PUDATO_FABRIC"),
            ("PUDATO_DATA_BUCKET", "PUDATO_CONTAINERS=NAME=s3://BUCKET"),
            ("PUDATO_DATA_CONTAINER", "[containers]"),
            ("PUDATO_METADATA_TABLE", "REGISTRY_DATABASE_URL"),
            ("PUDATO_LOGIC_REPO_CLONE_DIR", "PUDATO_DATA_DIR"),
            ("PUDATO_ICEBERG_CATALOG_PATH", "DUCKDB_PATH"),
        ] {
            let error = load(&[(name, "x")], None).expect_err("refused");
            assert!(
                error.contains(&format!("{name}: pudato has no such setting; "))
                    && error.contains(part),
                "{error}"
            );
            load(&[(name, "")], None).expect("nobody set it");
            let key = name["PUDATO_".len()..].to_lowercase();
            let error = load(&[], Some(&format!("{key} = \"x\""))).expect_err("refused");
            assert!(error.contains(part), "{error}");
        }
        for (name, key) in OTHERS
            .iter()
            .flat_map(|(name, _)| VARIABLES.iter().map(move |known| (*name, known.name)))
        {
            assert_ne!(name, key);
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let error = load(&[], Some("data_dri = \"x\"\n")).expect_err("refused");
        assert!(
            error.contains("data_dri: unknown; did you mean data_dir?"),
            "{error}"
        );
    }

    #[test]
    fn every_wrong_value_is_named_at_once() {
        let environment = [("PUDATO_CONCURRENCY", "many"), ("PUDATO_LOG_FORMAT", "xml")];
        let error = load(&environment, None).expect_err("refused");
        assert!(error.contains("PUDATO_CONCURRENCY: expected a whole number 1..1000"));
        assert!(error.contains("PUDATO_LOG_FORMAT: expected text or json"));
    }

    #[test]
    fn an_aws_setting_chooses_aws_and_all_that_is_missing_is_named_at_once() {
        let environment = [("PUDATO_STORAGE_QUEUE_URL", "https://sqs/q")];
        let settings = load(&environment, None).expect("settings");
        assert_eq!(settings.fabric, Fabric::Aws);
        let needed = [
            "PUDATO_STORAGE_QUEUE_URL",
            "PUDATO_RESULTS_TOPIC_ARN",
            "REGISTRY_DATABASE_URL",
        ];
        let error = settings.require(&needed.map(str::to_owned));
        let error = error.expect_err("refused").to_string();
        assert!(
            error.contains("because PUDATO_STORAGE_QUEUE_URL is set"),
            "{error}"
        );
        assert!(
            error.contains("not set: PUDATO_RESULTS_TOPIC_ARN, REGISTRY_DATABASE_URL"),
            "{error}"
        );
    }

    #[test]
    fn answers_are_kept_where_a_known_scheme_says() {
        let places = [
            (
                "sqlite:/a/b.db",
                Some(DatabasePlace::File("/a/b.db".into())),
            ),
            (
                "dynamodb:answers",
                Some(DatabasePlace::Dynamo("answers".into())),
            ),
            (
                "ssm:/pudato/url",
                Some(DatabasePlace::Secret(SecretName::Parameter(
                    "/pudato/url".into(),
                ))),
            ),
            ("dynamodb:", None),
            ("redis://x", None),
        ];
        for (url, place) in places {
            assert_eq!(DatabasePlace::parse(url), place, "{url}");
        }
    }

    #[test]
    fn replies_come_through_a_queue_on_aws_alone() {
        let replies =
            |environment: &[(&str, &str)]| load(environment, None).map(|settings| settings.replies);
        let aws = ("PUDATO_FABRIC", "aws");
        assert_eq!(replies(&[aws]), Ok(Replies::Registry));
        let queue = ("PUDATO_REPLIES", "queue");
        assert_eq!(replies(&[aws, queue]), Ok(Replies::Queue));
        let error = replies(&[queue]).expect_err("refused");
        assert!(error.contains("PUDATO_REPLIES: queue is for"), "{error}");
        let error = replies(&[aws, ("PUDATO_REPLIES", "mail")]).expect_err("refused");
        assert!(error.contains("expected registry or queue"), "{error}");
    }

    #[test]
    fn prod_does_not_start_on_a_fabric_that_nobody_chose() {
        let error = load(&[("PUDATO_ENVIRONMENT", "prod")], None).expect_err("refused");
        assert!(error.contains("PUDATO_FABRIC"), "{error}");
        let chosen = [
            ("PUDATO_ENVIRONMENT", "prod"),
            ("PUDATO_FABRIC", "embedded"),
        ];
        assert!(load(&chosen, None).is_ok());
    }

    #[test]
    fn a_database_url_is_not_repeated_in_an_error() {
        let environment = [("REGISTRY_DATABASE_URL", "mysql://me:hunter2@db/x")];
        let error = load(&environment, None).expect_err("refused");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
