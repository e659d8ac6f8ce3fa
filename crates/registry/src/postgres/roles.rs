//! Roles of the database for the programs that run every day: none of them owns the tables, and each may touch what it needs.

use super::connect::SCHEMA;
use crate::batch::no_nul;
use crate::error::{Error, ErrorKind, postgres_error};
use postgres_protocol::password::scram_sha_256;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// What a role is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The whole registry: its handler, the results consumer, and people.
    Registry,
    /// Kept answers alone: handlers that do nothing else with the database.
    Answers,
}

impl Purpose {
    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "registry" => Some(Self::Registry),
            "answers" => Some(Self::Answers),
            _ => None,
        }
    }
}

/// Lets `role` do what `purpose` needs, and takes away whatever else it was let.
pub(super) async fn grant(client: &mut Client, role: &str, purpose: Purpose) -> Result<(), Error> {
    let role = quoted(role);
    let grants = match purpose {
        Purpose::Registry => format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} TO {role};
             REVOKE INSERT, UPDATE, DELETE ON {SCHEMA}.migration FROM {role};
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA {SCHEMA} TO {role};"
        ),
        // Every program looks whether the tables are those that it knows.
        Purpose::Answers => format!(
            "GRANT SELECT ON {SCHEMA}.migration TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON {SCHEMA}.answer TO {role};"
        ),
    };
    // One transaction, so that a program that runs meanwhile is never without its rights.
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

/// Makes `role`, or gives the one that is there this password. The server gets what it verifies passwords with and not the password, which therefore is
/// in no log of its statements.
///
/// # Errors
/// `Invalid`: it is the role that asks; whoever owns the tables may do everything with them.
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
