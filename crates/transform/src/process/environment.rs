//! What of this program's environment dbt and git may see: a list of what is allowed, so that no secret goes along by itself.

use std::ffi::OsString;

/// What programs need to find themselves, their language and their certificates.
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

/// The variables that may be seen: those above, and what `also` names (`NAME`, or `PREFIX*`).
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
