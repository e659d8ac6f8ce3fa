//! Selects the environment variables that dbt and git may see. It is an allow list, so that no secret is passed on by accident.

use std::ffi::OsString;

/// What programs need for their path, language and certificates.
const ALLOWED: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "VIRTUAL_ENV",
    "SSH_AUTH_SOCK",
];

/// The allowed variables: those above, and those that match `also` (`NAME`, or `PREFIX*`).
pub(crate) fn allowed(also: &[String]) -> Vec<(OsString, OsString)> {
    let is_allowed = |name: &str| {
        ALLOWED.contains(&name)
            || also.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == pattern,
            })
    };
    std::env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(is_allowed))
        .collect()
}
