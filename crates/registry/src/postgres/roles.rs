//! Database roles for the programs that run every day. None of them owns the tables, and each has only the rights that it needs.

use super::connect::SCHEMA;
use crate::batch::no_nul;
use crate::error::{Error, ErrorKind, postgres_error};
use postgres_protocol::password::scram_sha_256;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// The purpose of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The whole registry: for its handler, the results consumer, and people.
    Registry,
    /// The stored answers only: for handlers that do nothing else with the database.
    Answers,
}

impl Purpose {
    /// Parses the name of a purpose.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "registry" => Some(Self::Registry),
            "answers" => Some(Self::Answers),
            _ => None,
        }
    }
}

/// Grants `role` the rights for `purpose`, and revokes all others.
pub(super) async fn grant(client: &mut Client, role: &str, purpose: Purpose) -> Result<(), Error> {
    let role = quoted(role);
    let grants = match purpose {
        Purpose::Registry => format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} TO {role};
             REVOKE INSERT, UPDATE, DELETE ON {SCHEMA}.migration FROM {role};
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA {SCHEMA} TO {role};"
        ),
        // Every program checks which migrations were applied.
        Purpose::Answers => format!(
            "GRANT SELECT ON {SCHEMA}.migration TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON {SCHEMA}.answer TO {role};"
        ),
    };
    // One transaction, so that a running program never loses its rights in between.
    let transaction = client.transaction().await.map_err(postgres_error)?;
    transaction
        .batch_execute(&format!(
            "REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA} FROM {role};
             REVOKE ALL ON ALL SEQUENCES IN SCHEMA {SCHEMA} FROM {role};
             GRANT USAGE ON SCHEMA {SCHEMA} TO {role};
             {grants}"
        ))
        .await
        .map_err(postgres_error)?;
    transaction.commit().await.map_err(postgres_error)
}

/// Creates `role`, or sets the password of an existing one. The server receives a verifier instead of the password, which therefore appears
/// in no log.
///
/// # Errors
/// `Invalid`: the role is the current one. The owner of the tables may do everything with them anyway.
pub(super) async fn make(client: &Client, role: &str, password: &str) -> Result<(), Error> {
    no_nul("role", role)?;
    let sql = "SELECT current_user = $1, EXISTS (SELECT FROM pg_roles WHERE rolname = $1)";
    let row = client
        .query_typed_one(sql, &[(&role, Type::TEXT)])
        .await
        .map_err(postgres_error)?;
    let (is_own, is_there): (bool, bool) = (row.get(0), row.get(1));
    if is_own {
        let context = format!(
            "registry: {role} owns the tables; expected the secret of another role, which may not change them"
        );
        return Err(Error::new(ErrorKind::Invalid, context));
    }
    let verb = if is_there { "ALTER" } else { "CREATE" };
    let verifier = scram_sha_256(password.as_bytes());
    let sql = format!(
        "{verb} ROLE {} WITH LOGIN PASSWORD '{verifier}'",
        quoted(role)
    );
    client.batch_execute(&sql).await.map_err(postgres_error)
}

fn quoted(role: &str) -> String {
    format!("\"{}\"", role.replace('"', "\"\""))
}
