//! Finds each value with its origin, then checks all of them.

use super::aws::AwsSettings;
use super::file::{read_containers, read_file};
use super::query::QuerySettings;
use super::reader::Reader;
use super::variables::{OTHERS, VARIABLES, Variable};
use super::{FILE, Replies, Setting, Settings, SettingsError, Sources, database, value};
use crate::installation::{BACKENDS, Backend};
use crate::openlineage::TransportSettings;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

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
        let mut reader = Reader {
            all: &all,
            wrong: &mut wrong,
        };
        if let Some(listed) = reader.optional("PUDATO_CONTAINERS") {
            containers = read_containers(listed, reader.wrong);
        }
        let data_dir = PathBuf::from(reader.text("PUDATO_DATA_DIR"));
        let registry = reader.text("REGISTRY_DATABASE_URL");
        let connections = reader.number("PUDATO_DATABASE_CONNECTIONS", 1, 1_000);
        let concurrency = reader.number("PUDATO_CONCURRENCY", 1, 1_000);
        let settings = Self {
            fabric,
            prefix: prefix(&mut reader),
            containers,
            claims_container: reader.text("PUDATO_CLAIMS_CONTAINER").to_owned(),
            claim_bytes_max: reader.number("PUDATO_CLAIM_BYTES_MAX", 1, 1 << 40),
            registry_is_set: !registry.is_empty(),
            registry: database::registry(registry, &data_dir, reader.wrong),
            aws: AwsSettings::read(&mut reader),
            function: reader.optional("HANDLER_TYPE").map(str::to_owned),
            database_connections: usize::try_from(connections).unwrap_or(1),
            answers: database::answers(reader.text("PUDATO_IDEMPOTENCY_URL"), fabric, reader.wrong),
            replies: replies(reader.text("PUDATO_REPLIES"), fabric, reader.wrong),
            endpoint: reader.optional("AWS_ENDPOINT_URL").map(str::to_owned),
            session: None,
            openlineage: openlineage(&mut reader),
            concurrency: usize::try_from(concurrency).unwrap_or(1),
            visibility: Duration::from_secs(reader.number("PUDATO_VISIBILITY_SECONDS", 1, 43_200)),
            drain: Duration::from_secs(reader.number("PUDATO_DRAIN_SECONDS", 0, 3_600)),
            health_port: match reader.optional("PUDATO_HEALTH_PORT") {
                None => None,
                Some(_) => u16::try_from(reader.number("PUDATO_HEALTH_PORT", 1, 65_535)).ok(),
            },
            query: QuerySettings::read(&mut reader, &data_dir),
            #[cfg(feature = "dbt")]
            transform: super::transform::read(&mut reader),
            log: reader.text("PUDATO_LOG").to_owned(),
            log_json: match reader.optional("PUDATO_LOG_FORMAT") {
                None => None,
                Some(_) => {
                    Some(reader.choice("PUDATO_LOG_FORMAT", &[("text", false), ("json", true)]))
                }
            },
            data_dir,
            all: Vec::new(),
        };
        match wrong.is_empty() {
            true => Ok(Self { all, ..settings }),
            false => Err(SettingsError(wrong)),
        }
    }
}

fn prefix(reader: &mut Reader<'_>) -> String {
    let prefix = reader.text("PUDATO_PREFIX");
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if prefix.is_empty() || prefix.len() > 40 || !prefix.chars().all(is_name) {
        reader.wrong(
            "PUDATO_PREFIX",
            &"1 to 40 letters, digits, '-' or '_'",
            prefix,
        );
    }
    prefix.to_owned()
}

fn openlineage(reader: &mut Reader<'_>) -> Option<TransportSettings> {
    let found = TransportSettings::read(|name| reader.text(name));
    found.unwrap_or_else(|what| {
        reader.wrong.push(what);
        None
    })
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

/// The fabric, and why: a setting of a fabric that is not chosen would have no effect, which would be a silent mistake.
fn fabric(all: &mut [Setting], wrong: &mut Vec<String>) -> &'static Backend {
    let is_set = all.iter().filter(|setting| !setting.value.is_empty());
    let because = is_set
        .map(|setting| setting.variable.name)
        .find_map(|name| {
            let chosen = BACKENDS.iter().find(|known| (known.is_chosen_by)(name))?;
            Some((chosen.name, name))
        });
    let is_prod = value(all, "PUDATO_ENVIRONMENT") == "prod";
    let Some(setting) = all
        .iter_mut()
        .find(|setting| setting.variable.name == "PUDATO_FABRIC")
    else {
        return BACKENDS[0];
    };
    let is_default = setting.origin == "default";
    if is_default && let Some((fabric, name)) = because {
        setting.value = fabric.into();
        setting.origin = format!("default, because {name} is set");
    }
    if is_prod && is_default {
        wrong.push(format!(
            "PUDATO_FABRIC: PUDATO_ENVIRONMENT is prod, so say which fabric: {}",
            names(|_| true)
        ));
    }
    let chosen = BACKENDS.iter().find(|known| known.name == setting.value);
    chosen.copied().unwrap_or_else(|| {
        let (known, found) = (names(|_| true), &setting.value);
        wrong.push(format!("PUDATO_FABRIC: expected {known}, found {found:?}"));
        BACKENDS[0]
    })
}

/// The names of these backends, as an enumeration.
fn names(of: impl Fn(&Backend) -> bool) -> String {
    let backends = BACKENDS.iter().filter(|backend| of(backend));
    let names: Vec<&str> = backends.map(|backend| backend.name).collect();
    names.join(" or ")
}

fn replies(text: &str, fabric: &Backend, wrong: &mut Vec<String>) -> Replies {
    match (text, fabric.has_reply_queues) {
        ("registry", _) => Replies::Registry,
        ("queue", true) => Replies::Queue,
        ("queue", false) => {
            let (able, name) = (names(|backend| backend.has_reply_queues), fabric.name);
            wrong.push(format!(
                "PUDATO_REPLIES: queue is for PUDATO_FABRIC={able}; on the {name} fabric callers read the registry, so unset it"
            ));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{DatabasePlace, SecretName};

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
    fn containers_come_from_the_environment_if_there_is_no_file() {
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
    fn flags_override_the_environment_which_overrides_the_file_which_overrides_defaults() {
        let environment = [("PUDATO_PREFIX", "env"), ("PUDATO_CONCURRENCY", "3")];
        let file = "prefix = \"file\"\nconcurrency = 4\ndrain_seconds = 5\n";
        let settings = load(&environment, Some(file)).expect("settings");
        assert_eq!(settings.prefix, "flagged");
        assert_eq!(settings.concurrency, 3);
        assert_eq!(settings.drain, Duration::from_secs(5));
        assert_eq!(origin(&settings, "PUDATO_PREFIX"), "flag");
        assert_eq!(origin(&settings, "PUDATO_LOG"), "default");
    }

    /// Users of these settings rely on them, so they must not be ignored.
    #[test]
    fn a_setting_by_another_name_is_refused_with_the_one_to_use() {
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
            load(&[(name, "")], None).expect("an empty value counts as not set");
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
        assert_eq!(settings.fabric.name, "aws");
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
    fn the_store_of_answers_needs_a_known_scheme() {
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
    fn replies_arrive_on_a_queue_only_on_aws() {
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
    fn prod_does_not_start_without_a_chosen_fabric() {
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
