//! Database roles on a real PostgreSQL, created by an owner that is not a superuser, as on Amazon RDS.

use pudato_messaging::{IdempotencyStore, Key};
use pudato_registry::{JobFilter, PostgresRegistry, Purpose, RegistryStore};
use pudato_testing::{Postgres, skipped};
use std::time::Duration;

#[tokio::test]
async fn each_role_may_do_what_it_is_for_and_nothing_else() {
    let server = match Postgres::shared() {
        Ok(server) => server,
        Err(why) => return skipped("each_role_may_do", &why),
    };
    let name = server.database().expect("a database").name;
    // Roles belong to the server and not to the database.
    let role = |of: &str| format!("{name}_{of}");
    let (master, registry, answers) = (role("master"), role("registry"), role("answers"));
    let owner = format!(
        "CREATE ROLE {master} LOGIN CREATEROLE; GRANT CREATE ON DATABASE {name} TO {master}"
    );
    server.psql(&name, &owner).expect("made");
    let url = |role: &str, password: &str| {
        let url = server.url(role, &name);
        url.replacen('@', &format!(":{password}@"), 1)
    };
    let owner = PostgresRegistry::open(&server.url(&master, &name)).await;
    let owner = owner.expect("opened");
    // Twice, as every deployment does; the second password replaces the first.
    for password in ["one", "it's \\ another"] {
        let escaped = password.replace(' ', "%20").replace('\\', "%5C");
        for (role, purpose) in [(&registry, Purpose::Registry), (&answers, Purpose::Answers)] {
            let made = owner.make_role(&url(role, &escaped), purpose).await;
            made.expect("made");
        }
    }
    let kept = format!(
        "SELECT COUNT(*) FROM pg_authid WHERE rolname IN ('{registry}', '{answers}') AND rolpassword LIKE 'SCRAM-SHA-256$%' AND NOT rolsuper AND NOT rolcreaterole"
    );
    assert_eq!(server.psql(&name, &kept).expect("counted").trim(), "2");

    // Each role can do its work.
    let of = async |role: &str| {
        let opened = PostgresRegistry::open(&server.url(role, &name)).await;
        opened.expect("opened")
    };
    let (as_registry, as_answers) = (of(&registry).await, of(&answers).await);
    let jobs = async |store: &PostgresRegistry| store.query_jobs(JobFilter::default()).await;
    jobs(&as_registry).await.expect("the registry");
    let key = Key {
        service: "storage".into(),
        key: "k".into(),
    };
    let begun = as_answers.begin(&key, "f", "me", Duration::from_secs(1));
    begun.await.expect("the answers");
    as_answers.forget(3).await.expect("the answers");
    // And nothing else: not the rest of the registry, not the tables themselves, not the roles.
    jobs(&as_answers).await.expect_err("no registry");
    let everybody = [
        "DELETE FROM pudato.migration",
        "DROP TABLE pudato.answer",
        "ALTER TABLE pudato.job ADD COLUMN x int",
        "CREATE TABLE pudato.x (n int)",
        "CREATE ROLE another",
    ];
    let of_answers = [
        "SELECT body FROM pudato.result",
        "DELETE FROM pudato.result",
        "INSERT INTO pudato.event DEFAULT VALUES",
        "SELECT * FROM pudato.job",
    ];
    let all = everybody.iter().map(|sql| (&registry, *sql));
    let all = all.chain(
        everybody
            .iter()
            .chain(&of_answers)
            .map(|sql| (&answers, *sql)),
    );
    for (role, sql) in all {
        let error = server.psql_as(role, &name, sql).expect_err(sql);
        let is_denied = error.contains("permission denied") || error.contains("must be owner");
        assert!(is_denied, "{role}: {sql}: {error}");
    }

    // The owner is refused, and so is a role without a password.
    let own = owner.make_role(&url(&master, "x"), Purpose::Registry).await;
    let own = own.expect_err("its own role").to_string();
    assert!(own.contains("owns the tables"), "{own}");
    let bare = owner
        .make_role(&server.url(&answers, &name), Purpose::Answers)
        .await;
    let bare = bare.expect_err("no password").to_string();
    assert!(bare.contains("no role with a password"), "{bare}");
}
