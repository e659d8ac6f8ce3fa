//! Connects to the server: its URL, TLS, and the limits of every connection.

use super::pools::Pools;
use crate::error::{Error, ErrorKind};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The schema that contains all tables.
pub(super) const SCHEMA: &str = "pudato";

/// The number of connections of one process, by default.
const CONNECTIONS_MAX: usize = 8;
/// The certificate authorities of Amazon RDS, which no operating system trusts by default (RDS user guide, "Using SSL/TLS to encrypt a
/// connection"). Regions newer than this file need `sslrootcert`.
const RDS_ROOTS: &[u8] = include_bytes!("rds-roots.pem");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for a free connection of the pool.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that vanished without closing its connections is noticed after this time.
const SILENCE: Duration = Duration::from_secs(30);

/// The settings of every session: no statement, wait for a lock, or forgotten transaction lasts for ever.
pub(super) const SETTINGS: [(&str, &str); 4] = [
    ("search_path", SCHEMA),
    ("statement_timeout", "30000"),
    ("lock_timeout", "5000"),
    ("idle_in_transaction_session_timeout", "60000"),
];

/// A parsed URL.
#[derive(Debug)]
pub(super) struct Address {
    config: Config,
    /// `None` means no TLS.
    tls: Option<Roots>,
    /// Whether the URL sets `options`.
    has_options: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Roots {
    /// The certificates that this machine trusts.
    Machine,
    /// The certificates that this machine trusts, and those of Amazon RDS.
    Rds,
    /// The certificates in a file.
    File(String),
}

fn invalid(what: impl std::fmt::Display) -> Error {
    // The message does not repeat the URL, which may contain a password.
    let context = format!(
        "REGISTRY_DATABASE_URL: {what}; expected postgres://USER:PASSWORD@HOST:PORT/DATABASE"
    );
    Error::new(ErrorKind::Invalid, context)
}

impl Address {
    /// Parses a URL. In addition to the parameters of tokio-postgres it may contain `sslmode` (`verify-full` or `disable`; the default is
    /// `verify-full` unless the server is this machine) and `sslrootcert` (a file of certificates).
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut file, mut rest) = (None, None, Vec::new());
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => file = Some(value.replace("%2F", "/")),
                _ => rest.push(part),
            }
        }
        let url = format!("{base}?{}", rest.join("&"));
        let mut config: Config =
            url.trim_end_matches('?')
                .parse()
                .map_err(|error: tokio_postgres::Error| {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    invalid(cause.unwrap_or_else(|| error.to_string())).with_source(error)
                })?;
        if config.get_hosts().is_empty() {
            return Err(invalid("there is no host"));
        }
        let wants_tls = match mode {
            Some("disable") => false,
            Some("verify-full" | "verify-ca" | "require") => true,
            None => !config.get_hosts().iter().all(is_local),
            Some(other) => {
                return Err(invalid(format!(
                    "sslmode: expected verify-full or disable, found {other:?}"
                )));
            }
        };
        config.ssl_mode(if wants_tls {
            SslMode::Require
        } else {
            SslMode::Disable
        });
        let is_rds = config.get_hosts().iter().all(is_rds);
        let has_options = config.get_options().is_some();
        config.application_name("pudato");
        config.connect_timeout(CONNECT_TIMEOUT);
        config.tcp_user_timeout(SILENCE);
        config.keepalives_idle(SILENCE);
        Ok(Self {
            config,
            has_options,
            tls: wants_tls.then_some(match file {
                Some(file) => Roots::File(file),
                None if is_rds => Roots::Rds,
                None => Roots::Machine,
            }),
        })
    }

    /// The role and the password in the URL.
    pub(super) fn role(&self) -> Result<(String, String), Error> {
        let role = self.config.get_user().unwrap_or_default().to_owned();
        let password = self.config.get_password().map(<[u8]>::to_vec);
        let password = String::from_utf8(password.unwrap_or_default()).unwrap_or_default();
        if role.is_empty() || password.is_empty() {
            return Err(invalid("there is no role with a password"));
        }
        Ok((role, password))
    }

    /// The address without secrets, for messages.
    pub(super) fn printed(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        });
        let hosts: Vec<String> = hosts.collect();
        let database = self.config.get_dbname().unwrap_or_default();
        format!("postgres://{}/{database}", hosts.join(","))
    }

    pub(super) fn pools(&self) -> Result<Pools, Error> {
        let session = SETTINGS.map(|(name, value)| format!("-c {name}={value}"));
        let session = session.join(" ");
        let mut config = self.config.clone();
        let own = config.get_options().map(|own| format!("{session} {own}"));
        config.options(own.unwrap_or(session));
        let (direct, pooled) = (self.pool(config)?, self.pool(self.config.clone())?);
        Ok(Pools::new(direct, pooled, self.has_options))
    }

    fn pool(&self, config: Config) -> Result<Pool, Error> {
        let manage = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = match &self.tls {
            None => Manager::from_config(config, NoTls, manage),
            Some(roots) => {
                let tls = MakeRustlsConnect::new(roots.client()?);
                Manager::from_config(config, tls, manage)
            }
        };
        let timeouts = Timeouts {
            wait: Some(WAIT_TIMEOUT),
            create: Some(CONNECT_TIMEOUT),
            recycle: Some(CONNECT_TIMEOUT),
        };
        Pool::builder(manager)
            .max_size(CONNECTIONS_MAX)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(invalid)
    }
}

impl Roots {
    /// A TLS client that checks the server's certificate against the host name.
    fn client(&self) -> Result<ClientConfig, Error> {
        let mut roots = RootCertStore::empty();
        match self {
            Self::Machine | Self::Rds => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if *self == Self::Rds {
                    let own = CertificateDer::pem_slice_iter(RDS_ROOTS);
                    roots.add_parsable_certificates(own.flatten());
                }
            }
            Self::File(path) => {
                let unusable = |why: Box<dyn std::error::Error + Send + Sync>| {
                    invalid(format!("sslrootcert: {path}: {why}")).with_source(why)
                };
                let found =
                    CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.into()))?;
                for certificate in found {
                    let certificate = certificate.map_err(|error| unusable(error.into()))?;
                    roots
                        .add(certificate)
                        .map_err(|error| unusable(error.into()))?;
                }
            }
        }
        if roots.is_empty() {
            return Err(invalid(
                "this machine trusts no certificate; name a file with sslrootcert=FILE",
            ));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(invalid)?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

/// Whether the server belongs to Amazon RDS. The host name is AWS's, and the certificate must match it.
fn is_rds(host: &Host) -> bool {
    match host {
        #[cfg(unix)]
        Host::Unix(_) => false,
        Host::Tcp(name) => {
            let name = name.to_ascii_lowercase();
            name.ends_with(".rds.amazonaws.com") || name.ends_with(".rds.amazonaws.com.cn")
        }
    }
}

/// Whether the connection stays on this machine, so that nobody can intercept it.
fn is_local(host: &Host) -> bool {
    match host {
        #[cfg(unix)]
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse()
                    .is_ok_and(|address: IpAddr| address.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(url: &str) -> Option<Roots> {
        Address::parse(url).expect("a URL").tls
    }

    #[test]
    fn a_remote_server_must_show_a_certificate_for_its_name() {
        assert_eq!(tls("postgres://u:p@db.example.org/x"), Some(Roots::Machine));
        assert_eq!(tls("postgres://u@10.0.0.1/x"), Some(Roots::Machine));
        assert_eq!(
            tls("postgres://u@db/x?sslmode=verify-full&sslrootcert=/etc/ca.pem"),
            Some(Roots::File("/etc/ca.pem".into()))
        );
        assert_eq!(
            tls("postgres://u@db/x?sslmode=require"),
            Some(Roots::Machine)
        );
        assert_eq!(tls("postgres://u@db/x?sslmode=disable"), None);
        assert_eq!(tls("postgres://u@127.0.0.1:5432/x"), None);
        assert_eq!(tls("postgres://u@/x?host=/run/postgresql"), None);
        assert_eq!(
            tls("postgres://u@localhost/x?sslmode=verify-full"),
            Some(Roots::Machine)
        );
    }

    #[test]
    fn servers_of_amazon_rds_are_vouched_for_by_its_own_authorities() {
        let host = "pudato.c1abc.eu-west-1.rds.amazonaws.com";
        let url = format!("postgres://u:p@{host}/x");
        assert_eq!(tls(&url), Some(Roots::Rds));
        let other = format!("postgres://u:p@{host}.example.org/x");
        assert_eq!(tls(&other), Some(Roots::Machine));
        let own = format!("{url}?sslrootcert=/etc/ca.pem");
        assert_eq!(tls(&own), Some(Roots::File("/etc/ca.pem".into())));
        let listed = CertificateDer::pem_slice_iter(RDS_ROOTS);
        let listed: Vec<_> = listed.collect::<Result<_, _>>().expect("certificates");
        let mut roots = RootCertStore::empty();
        let (taken, refused) = roots.add_parsable_certificates(listed);
        // RDS has three authorities for each region.
        assert!(
            taken >= 81 && taken % 3 == 0 && refused == 0,
            "{taken} {refused}"
        );
        Roots::Rds.client().expect("a client");
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        for url in [
            "postgres://u:s3cret@db/x?sslmode=prefer",
            "postgres://u:s3cret@db:port/x",
            "postgres://u:s3cret@/x",
            "postgres://u:s3cret@db/x?nonsense=1",
        ] {
            let error = Address::parse(url).expect_err(url);
            assert!(error.context.contains("REGISTRY_DATABASE_URL"), "{error}");
            // Nor does its source, which Debug shows.
            for shown in [error.to_string(), format!("{error:?}")] {
                assert!(!shown.contains("s3cret"), "{shown}");
            }
        }
    }

    #[test]
    fn a_file_of_certificates_that_cannot_be_read_is_named_with_its_cause() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        let file = Roots::File(path.display().to_string());
        let error = file.client().map(|_| ()).expect_err("no file");
        assert!(error.context.contains("ca.pem"), "{error}");
        let source = std::error::Error::source(&error).expect("a source");
        assert!(source.is::<rustls::pki_types::pem::Error>(), "{source}");
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&path, no_certificate).expect("written");
        let error = file.client().map(|_| ()).expect_err("no certificate");
        let source = std::error::Error::source(&error).expect("a source");
        assert!(source.is::<rustls::Error>(), "{source}");
    }
}
