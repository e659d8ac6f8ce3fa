//! Resolves a topic or queue that a caller names: by its name, or by the address in the settings. Any other address is an error, so that a
//! message never goes to a topic with the same name in another account.

use pudato_runtime::settings::services;
use pudato_runtime::{Names, Settings};

/// The name of the topic with this ARN or name.
///
/// # Errors
/// It is not a topic of this installation. The error says what was expected.
pub(crate) fn topic(settings: &Settings, place: &str) -> Result<String, String> {
    let names = Names::new(&settings.prefix);
    let wrong = |expected: &str| Err(format!("topic_arn: expected {expected}, found {place:?}"));
    let arns = &settings.aws.topic_arns;
    let is_aws = settings.fabric.name == "aws";
    let name = place.rsplit(':').next().unwrap_or(place);
    let carried = names.carries(name);
    let own = carried.and_then(|carried| arns.get(carried));
    let variable = carried
        .filter(|carried| services::has_topic_setting(carried))
        .map(services::topic_variable);
    if is_name(place) {
        return match variable {
            Some(variable) if is_aws && own.is_none() => {
                Err(format!("topic_arn: {place} has no ARN; set {variable}"))
            }
            _ => Ok(place.to_owned()),
        };
    }
    if !is_aws || place.is_empty() {
        let expected = format!("the name of a topic, such as {:?}", names.results());
        return wrong(&match is_aws {
            true => format!("an ARN or {expected}"),
            false => format!("{expected}, because PUDATO_FABRIC is embedded"),
        });
    }
    match (own, variable) {
        (Some(own), _) if own == place => Ok(name.to_owned()),
        (Some(own), Some(variable)) => wrong(&format!("{own:?} ({variable})")),
        (None, Some(variable)) => Err(format!(
            "topic_arn: {place:?} is not a topic of this installation; set {variable} to use it"
        )),
        // A custom service has no setting: its topic is in the account and region of the results topic.
        (_, None) if carried.is_some() && beside(place, ':') == results(settings) => {
            Ok(name.to_owned())
        }
        _ => wrong("the ARN or the name of a topic of this installation"),
    }
}

/// The account and region of the results topic.
fn results(settings: &Settings) -> Option<&str> {
    let topic = Names::new(&settings.prefix).results();
    let carried = Names::new(&settings.prefix).carries(&topic)?.to_owned();
    let arn = settings.aws.topic_arns.get(carried.as_str())?;
    beside(arn, ':')
}

/// The name of the queue with this URL or name.
///
/// # Errors
/// It is not a queue of this installation. The error says what was expected.
pub(crate) fn queue(settings: &Settings, place: &str) -> Result<String, String> {
    let names = Names::new(&settings.prefix);
    let wrong = |expected: &str| Err(format!("queue_url: expected {expected}, found {place:?}"));
    let urls = &settings.aws.queue_urls;
    let is_aws = settings.fabric.name == "aws";
    if is_name(place) {
        return Ok(place.to_owned());
    }
    if !is_aws || place.is_empty() {
        let expected = format!("the name of a queue, such as {:?}", names.queue("storage"));
        return wrong(&match is_aws {
            true => format!("a URL or {expected}"),
            false => format!("{expected}, because PUDATO_FABRIC is embedded"),
        });
    }
    let name = place.rsplit('/').next().unwrap_or(place);
    let reader = names.reader_of(name);
    let variable = reader
        .filter(|reader| services::has_queue_setting(reader))
        .map(services::queue_variable);
    let own = reader.and_then(|reader| urls.get(reader));
    // Dead-letter queues and the queues of custom services and subscribers have no setting: they are next to a queue that has one.
    let is_beside = || {
        urls.values()
            .any(|own| beside(own, '/') == beside(place, '/'))
    };
    let has_prefix = name
        .strip_prefix(&settings.prefix)
        .is_some_and(|rest| rest.starts_with('-'));
    match (own, variable) {
        (Some(own), _) if own == place => Ok(name.to_owned()),
        (Some(own), Some(variable)) => wrong(&format!("{own:?} ({variable})")),
        (None, Some(variable)) => Err(format!(
            "queue_url: {place:?} is not a queue of this installation; set {variable} to use it"
        )),
        _ if has_prefix && is_beside() => Ok(name.to_owned()),
        _ => wrong("the URL or the name of a queue of this installation"),
    }
}

/// Names of topics and queues cannot contain these characters.
fn is_name(place: &str) -> bool {
    !place.is_empty() && !place.contains([':', '/'])
}

/// Returns an address without its last part.
fn beside(address: &str, separator: char) -> Option<&str> {
    address.rsplit_once(separator).map(|(beside, _)| beside)
}
