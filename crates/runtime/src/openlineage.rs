//! The receiver of OpenLineage events. The settings have the names of OpenLineage's own clients.

use async_trait::async_trait;
use pudato_engine::{Exported, Transport};
use serde_json::Value;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The time limit of one request, the same as in OpenLineage's own clients.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The receiver of events, as set.
#[derive(Clone, PartialEq, Eq)]
pub enum TransportSettings {
    /// An HTTP endpoint such as Marquez.
    Http {
        /// The server and the endpoint.
        url: String,
        /// The API key, sent as a bearer token.
        api_key: Option<String>,
    },
    /// A file, to which each event is appended as one line.
    File(PathBuf),
    /// Stdout, one event per line.
    Console,
}

impl fmt::Debug for TransportSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Shows neither the key nor a password in the URL.
            Self::Http { .. } => f.write_str("Http(..)"),
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Console => f.write_str("Console"),
        }
    }
}

impl TransportSettings {
    /// Reads the variables; `get` returns an empty text for a variable that is not set. `None`: events are not exported.
    ///
    /// # Errors
    /// The description of a wrong value, with the variable's name.
    pub(crate) fn read<'a>(get: impl Fn(&str) -> &'a str) -> Result<Option<Self>, String> {
        let is_disabled = match get("OPENLINEAGE_DISABLED") {
            "" | "false" => false,
            "true" => true,
            other => {
                return Err(format!(
                    "OPENLINEAGE_DISABLED: expected true or false, found {other:?}"
                ));
            }
        };
        let first = |names: [&str; 2]| {
            let values = names.into_iter().map(&get);
            values.into_iter().find(|value| !value.is_empty())
        };
        let url = first(["OPENLINEAGE__TRANSPORT__URL", "OPENLINEAGE_URL"]);
        let kind = match (get("OPENLINEAGE__TRANSPORT__TYPE"), url) {
            ("", None) => return Ok(None),
            ("", Some(_)) => "http",
            (kind, _) => kind,
        };
        let settings = match kind {
            "http" => {
                let Some(url) = url else {
                    return Err("OPENLINEAGE_URL: expected a URL such as http://localhost:5000, because the transport is http".into());
                };
                if !url.starts_with("http://") && !url.starts_with("https://") {
                    return Err("OPENLINEAGE_URL: expected http://.. or https://..".into());
                }
                let endpoint = first(["OPENLINEAGE__TRANSPORT__ENDPOINT", "OPENLINEAGE_ENDPOINT"]);
                let endpoint = endpoint.unwrap_or("api/v1/lineage");
                let api_key = get("OPENLINEAGE_API_KEY");
                Self::Http {
                    url: format!(
                        "{}/{}",
                        url.trim_end_matches('/'),
                        endpoint.trim_start_matches('/')
                    ),
                    api_key: (!api_key.is_empty()).then(|| api_key.to_owned()),
                }
            }
            "file" => match get("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH") {
                "" => return Err("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH: expected a file, because the transport is file".into()),
                path => Self::File(path.into()),
            },
            "console" => Self::Console,
            "noop" => return Ok(None),
            other => {
                return Err(format!(
                    "OPENLINEAGE__TRANSPORT__TYPE: expected http, file, console or noop, found {other:?}"
                ));
            }
        };
        Ok((!is_disabled).then_some(settings))
    }
}

/// Sends events over HTTP, to a file, or to stdout.
pub struct TransportClient(Arc<Client>);

struct Client {
    settings: TransportSettings,
    agent: ureq::Agent,
    /// Two writers at once would mix their lines.
    writing: Mutex<()>,
}

impl TransportClient {
    /// Opens the transport.
    pub fn new(settings: TransportSettings) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            // Following a redirect would send the key to another server.
            .max_redirects(0)
            .http_status_as_error(false)
            .build();
        Self(Arc::new(Client {
            settings,
            agent: config.new_agent(),
            writing: Mutex::default(),
        }))
    }
}

#[async_trait]
impl Transport for TransportClient {
    fn name(&self) -> &'static str {
        match &self.0.settings {
            TransportSettings::Http { .. } => "OPENLINEAGE_URL",
            TransportSettings::File(_) => "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH",
            TransportSettings::Console => "stdout",
        }
    }

    async fn send(&self, events: Arc<Vec<Value>>) -> Exported {
        let client = Arc::clone(&self.0);
        let sent = tokio::task::spawn_blocking(move || client.send_now(&events)).await;
        sent.unwrap_or_else(|error| Exported::Unavailable(error.to_string()))
    }
}

/// Writes events as lines, to a file or to stdout.
fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

impl Client {
    fn send_now(&self, events: &[Value]) -> Exported {
        let written = match &self.settings {
            TransportSettings::Http { url, api_key } => {
                for event in events {
                    match self.post(url, api_key.as_deref(), event) {
                        Exported::Accepted => {}
                        other => return other,
                    }
                }
                return Exported::Accepted;
            }
            TransportSettings::File(path) => {
                let _only = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
                let file = OpenOptions::new().append(true).create(true).open(path);
                file.and_then(|mut file| {
                    file.write_all(lines(events).as_bytes())?;
                    file.sync_data()
                })
            }
            TransportSettings::Console => {
                let mut out = std::io::stdout().lock();
                out.write_all(lines(events).as_bytes())
                    .and_then(|()| out.flush())
            }
        };
        match written {
            Ok(()) => Exported::Accepted,
            Err(error) => Exported::Unavailable(error.to_string()),
        }
    }

    fn post(&self, url: &str, api_key: Option<&str>, event: &Value) -> Exported {
        let mut request = self.agent.post(url);
        request = request.header("Content-Type", "application/json");
        if let Some(key) = api_key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let response = match request.send(event.to_string()) {
            Ok(response) => response,
            // The reason names no URL, since a URL may hold a password.
            Err(error) => return Exported::Unavailable(error.to_string()),
        };
        match response.status().as_u16() {
            200..=299 => Exported::Accepted,
            // The event itself is at fault.
            status @ (400 | 413 | 422) => Exported::Refused(format!("status {status}")),
            status => Exported::Unavailable(format!("status {status}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &'static str)]) -> Result<Option<TransportSettings>, String> {
        TransportSettings::read(|name| {
            let found = set.iter().find(|(own, _)| *own == name);
            found.map_or("", |(_, value)| value)
        })
    }

    #[test]
    fn the_settings_of_openlineage_clients_choose_the_receiver_of_events() {
        assert_eq!(read(&[]), Ok(None));
        let http = |url: &str, api_key: Option<&str>| {
            Ok(Some(TransportSettings::Http {
                url: url.into(),
                api_key: api_key.map(Into::into),
            }))
        };
        assert_eq!(
            read(&[
                ("OPENLINEAGE_URL", "http://localhost:5000/"),
                ("OPENLINEAGE_API_KEY", "k")
            ]),
            http("http://localhost:5000/api/v1/lineage", Some("k"))
        );
        let own = [
            ("OPENLINEAGE__TRANSPORT__TYPE", "http"),
            ("OPENLINEAGE__TRANSPORT__URL", "https://ol.example.org"),
            ("OPENLINEAGE_ENDPOINT", "/lineage"),
        ];
        assert_eq!(read(&own), http("https://ol.example.org/lineage", None));
        let file = [
            ("OPENLINEAGE__TRANSPORT__TYPE", "file"),
            ("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", "events.jsonl"),
        ];
        assert_eq!(
            read(&file),
            Ok(Some(TransportSettings::File("events.jsonl".into())))
        );
        let disabled = [
            ("OPENLINEAGE_URL", "http://x"),
            ("OPENLINEAGE_DISABLED", "true"),
        ];
        assert_eq!(read(&disabled), Ok(None));
        for wrong in [
            [("OPENLINEAGE__TRANSPORT__TYPE", "kafka")],
            [("OPENLINEAGE__TRANSPORT__TYPE", "file")],
            [("OPENLINEAGE__TRANSPORT__TYPE", "http")],
            [("OPENLINEAGE_URL", "localhost:5000")],
            [("OPENLINEAGE_DISABLED", "perhaps")],
        ] {
            assert!(read(&wrong).is_err(), "{wrong:?}");
        }
    }
}
