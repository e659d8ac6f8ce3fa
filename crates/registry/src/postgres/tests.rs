//! Sessions, errors and migrations on a real server.

use super::store::is_collision;
use super::{PostgresRegistry, session};
use crate::error::ErrorKind;
use crate::store::RegistryStore;
use pudato_testing::{Pgbouncer, Postgres, skipped};
use tokio_postgres::error::SqlState;

/// No session can wait for ever.
#[tokio::test]
async fn every_session_has_its_limits() {
    let server = match Postgres::shared() {
        Ok(server) => server,
        Err(why) => return skipped("every_session_has_its_limits", &why),
    };
    let database = server.database().expect("a database");
    let registry = PostgresRegistry::open(&database.url).await.expect("opened");
    let session = registry.session().await.expect("a session");
    for (setting, value) in [
        ("statement_timeout", "30s"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "1min"),
        ("search_path", "pudato"),
        ("application_name", "pudato"),
    ] {
        let shown = session::rows(&session, &format!("SHOW {setting}"), &[]).await;
        let shown: String = shown.expect("shown")[0].get(0);
        assert_eq!(shown, value, "{setting}");
    }
}

/// The limits hold in each transaction behind a pooler, and a pooler that silently drops a session's settings is noticed.
#[tokio::test]
async fn a_transaction_through_a_pooler_has_its_limits() {
    let started = Postgres::shared().and_then(|server| Ok((server, Pgbouncer::before(server)?)));
    let (server, pooler) = match started {
        Ok(started) => started,
        // CI has no pooler either.
        Err(why) => return eprintln!("a_transaction_through_a_pooler: skipped: {why}"),
    };
    let database = server.database().expect("a database");
    let url = pooler.url(&database.name);
    let registry = PostgresRegistry::open(&url).await.expect("opened");
    let session = registry.session().await.expect("a session");
    for (setting, value) in [("statement_timeout", "30s"), ("search_path", "pudato")] {
        let shown = session::rows(&session, &format!("SHOW {setting}"), &[]).await;
        let shown: String = shown.expect("shown")[0].get(0);
        assert_eq!(shown, value, "{setting}");
    }
    let failed = session::run(&session, "SELECT 1 / 0", &[]).await;
    assert_eq!(failed.expect_err("it fails").kind, ErrorKind::Invalid);
    let shown = session::rows(&session, "SELECT $1::bigint", &[&7_i64]).await;
    let shown: i64 = shown.expect("the next is not touched by it")[0].get(0);
    assert_eq!(shown, 7);
    let own = format!("{url}?options=-c%20work_mem%3D1MB");
    let refused = PostgresRegistry::open(&own).await.err().expect("refused");
    assert!(
        refused.context.contains("REGISTRY_DATABASE_URL: options"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_statement_that_fails_leaves_nothing_to_the_next() {
    let server = match Postgres::shared() {
        Ok(server) => server,
        Err(why) => return skipped("a_statement_that_fails", &why),
    };
    let database = server.database().expect("a database");
    let registry = PostgresRegistry::open(&database.url).await.expect("opened");
    for _ in 0..2 * 8 {
        let session = registry.session().await.expect("a session");
        session.begin().await.expect("begun");
        let sql = "INSERT INTO job (job_id, created_at, created_us) VALUES ('lost', '', 0)";
        session::run(&session, sql, &[]).await.expect("written");
        let failed = session::run(&session, "SELECT 1 / 0", &[]).await;
        assert_eq!(failed.expect_err("it fails").kind, ErrorKind::Invalid);
    }
    assert!(registry.get_job("lost").await.expect("asked").is_none());
}

/// The kind of an error follows from its code, whatever its text.
#[tokio::test]
async fn an_error_is_known_by_its_code_and_not_by_its_text() {
    let server = match Postgres::shared() {
        Ok(server) => server,
        Err(why) => return skipped("an_error_is_known_by_its_code", &why),
    };
    let database = server.database().expect("a database");
    let registry = PostgresRegistry::open(&database.url).await.expect("opened");
    for (code, kind, collides) in [
        ("23505", ErrorKind::Invalid, true),
        ("40001", ErrorKind::Unavailable, true),
        ("40P01", ErrorKind::Unavailable, true),
        ("22001", ErrorKind::Invalid, false),
        ("54000", ErrorKind::Invalid, false),
        ("53100", ErrorKind::Unavailable, false),
        ("55P03", ErrorKind::Unavailable, false),
        ("42501", ErrorKind::Unavailable, false),
    ] {
        let session = registry.session().await.expect("a session");
        let raise = format!(
            "DO $$ BEGIN RAISE EXCEPTION 'it says (SQLSTATE 23505), 42501 (SQLSTATE 40001)' USING ERRCODE = '{code}'; END $$"
        );
        let failed = session::run(&session, &raise, &[])
            .await
            .expect_err("raised");
        assert_eq!(
            (failed.kind, is_collision(&failed)),
            (kind, collides),
            "{failed}"
        );
        assert_eq!(failed.sql_state(), Some(code), "{failed}");
        let same = failed.clone();
        drop(failed);
        let source = std::error::Error::source(&same).expect("a source");
        let source = source.downcast_ref::<tokio_postgres::Error>();
        let state = source.and_then(|source| source.code());
        assert_eq!(state.map(SqlState::code), Some(code), "{same}");
    }
}

/// When statements are sent together, all that follow a failed one fail as well, and their answers may be read first.
#[tokio::test]
async fn the_cause_of_a_failed_transaction_is_reported() {
    let server = match Postgres::shared() {
        Ok(server) => server,
        Err(why) => return skipped("the_cause_of_a_failed_transaction", &why),
    };
    let database = server.database().expect("a database");
    let registry = PostgresRegistry::open(&database.url).await.expect("opened");
    let session = registry.session().await.expect("a session");
    session.begin().await.expect("begun");
    let why = session::run(&session, "SELECT 1 / 0", &[]).await;
    let before = session::run(&session, "SELECT 1", &[]).await;
    let after = session::run(&session, "SELECT 2", &[]).await;
    let told = session::all([before, why, after]).expect_err("it failed");
    assert_eq!(
        told.sql_state(),
        Some(SqlState::DIVISION_BY_ZERO.code()),
        "{told}"
    );
}

#[tokio::test]
async fn tables_of_a_newer_version_are_refused_and_left_alone() {
    let server = match Postgres::shared() {
        Ok(server) => server,
        Err(why) => return skipped("tables_of_a_newer_version", &why),
    };
    let database = server.database().expect("a database");
    drop(PostgresRegistry::open(&database.url).await.expect("opened"));
    let newer = "INSERT INTO pudato.migration (version, checksum) VALUES (99, 'x')";
    server.psql(&database.name, newer).expect("written");
    let refused = PostgresRegistry::open(&database.url)
        .await
        .err()
        .expect("refused");
    assert_eq!(refused.kind, ErrorKind::Invalid);
    assert!(
        refused.context.contains("newer pudato (format 99"),
        "{refused}"
    );
    let changed = "UPDATE pudato.migration SET checksum = 'x' WHERE version = 1; DELETE FROM pudato.migration WHERE version = 99";
    server.psql(&database.name, changed).expect("written");
    let refused = PostgresRegistry::open(&database.url)
        .await
        .err()
        .expect("refused");
    assert!(refused.context.contains("another migration 1"), "{refused}");
}

/// Runs that counted before the registry checked for mismatches still count, and so do those still on their way.
#[tokio::test]
async fn runs_from_older_tables_still_count() {
    let server = match Postgres::shared() {
        Ok(server) => server,
        Err(why) => return skipped("runs_from_older_tables", &why),
    };
    let database = server.database().expect("a database");
    let first = include_str!("0001.sql");
    let before = format!(
        "CREATE SCHEMA pudato; SET search_path = pudato;
         CREATE TABLE migration (version BIGINT PRIMARY KEY, checksum TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now());
         INSERT INTO migration (version, checksum) VALUES (1, '{}'); {first}
         INSERT INTO step (step_id, status, rank, at_us, identity, seen_handler, seen_correlation_id) VALUES
             ('twice', 'failed', 2, 2000, 'r2', 'query', 'c2'), ('once', 'failed', 2, 2000, 'r3', 'query', 'c3');
         INSERT INTO step (step_id, declared, handler_type, action, correlation_id, status, rank, at_us, seen_correlation_id)
             VALUES ('declared', 1, 'query', 'execute_sql', 'c4', 'failed', 2, 2000, 'c5');
         INSERT INTO result (identity, correlation_id, step, status, at_us, recorded_at, body) VALUES
             ('r1', 'c1', 1, 'failed', 1000, '', ''), ('r2', 'c2', 1, 'failed', 2000, '', ''),
             ('r3', 'c3', 2, 'failed', 2000, '', ''), ('r5', 'c5', 3, 'failed', 2000, '', '');",
        crate::migrations::checksum(first)
    );
    server.psql(&database.name, &before).expect("made");
    let registry = PostgresRegistry::open(&database.url).await.expect("opened");
    for step in ["twice", "once", "declared"] {
        assert!(registry.get_step(step).await.expect("asked").is_some());
    }
    let session = registry.session().await.expect("a session");
    let sql = "SELECT step_id || ' ' || COALESCE(correlation_id, '-') || ' ' || COALESCE(also, '-') FROM step ORDER BY id";
    let found = session::rows(&session, sql, &[]).await.expect("asked");
    let found: Vec<String> = found.iter().map(|row| row.get(0)).collect();
    let found = found.join("; ").replace(": ", ":").replace(" :", ":");
    assert_eq!(
        found,
        r#"twice c2 {"ids":["c1"]}; once - -; declared c4 {"ids":["c5"]}"#
    );
}

#[tokio::test]
async fn programs_that_start_at_once_make_the_tables_once() {
    let server = match Postgres::shared() {
        Ok(server) => server,
        Err(why) => return skipped("programs_that_start_at_once", &why),
    };
    let database = server.database().expect("a database");
    let opened = (0..8).map(|_| {
        let url = database.url.clone();
        tokio::spawn(async move { PostgresRegistry::open(&url).await.map(|_| ()) })
    });
    for opened in opened.collect::<Vec<_>>() {
        opened.await.expect("no panic").expect("opened");
    }
}
