//! The limits of dbt: its memory, and its time in a server that would continue after its client was killed.

use crate::project::Bench;
use crate::support::wait;
use pudato_testing::{Postgres, skipped};

#[cfg(target_os = "linux")]
#[test]
fn a_dbt_over_its_memory_limit_is_ended_and_the_error_says_so() {
    let Some(mut bench) = Bench::new(&[("models/a.sql", "select 1 as n")]) else {
        return;
    };
    // Python with all imports of dbt needs more.
    bench
        .installation
        .set("PUDATO_TRANSFORM_MEMORY_BYTES", "33554432");
    {
        let _up = bench.up();
        let built = bench.call("build", &["--job", "job-1", "--step", "build"]);
        assert_eq!(built["status"], "error", "{built}");
        let why = built["errors"][0].as_str().unwrap_or_default();
        let says = "more than 33554432 (PUDATO_TRANSFORM_MEMORY_BYTES)";
        assert!(why.contains(says), "{built}");
        bench.check_clean();
    }
    bench.installation.set("PUDATO_TRANSFORM_MEMORY_BYTES", "0");
    let refused = bench.installation.run(&["up"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("PUDATO_TRANSFORM_MEMORY_BYTES: expected"),
        "{said}"
    );
}

#[test]
fn a_dbt_over_its_time_limit_cancels_its_query_in_the_server() {
    let server = match Postgres::shared() {
        Ok(server) => server,
        Err(why) => return skipped("a_dbt_over_its_time", &why),
    };
    let database = server.database().expect("a database");
    let address = database.url.trim_start_matches("postgres://");
    let (user, rest) = address.split_once('@').expect("a user");
    let (host, port) = rest
        .split_once('/')
        .and_then(|(place, _)| place.split_once(':'))
        .expect("a place");
    let profile = format!(
        "shop: {{target: dev, outputs: {{dev: {{type: postgres, host: {host}, port: {port}, user: {user}, password: x, dbname: {}, schema: public, threads: 1}}}}}}\n",
        database.name
    );
    let files = [
        ("profiles.yml", profile.as_str()),
        ("models/a.sql", "select 1 as n from pg_sleep(600)"),
    ];
    let Some(mut bench) = Bench::new(&files) else {
        return;
    };
    // dbt takes some seconds until its query runs.
    bench.installation.set("PUDATO_TRANSFORM_SECONDS", "20");
    let _up = bench.up();
    let mut build = bench.begin("build", &["--step", "build", "--job", "job-1"]);
    let sql = format!(
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = '{}' AND state = 'active' AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()",
        database.name
    );
    let asked = || server.psql(&database.name, &sql).expect("asked");
    wait("the query", || {
        let has_ended = build.try_wait().expect("a child").is_some();
        assert!(
            !has_ended,
            "no query was seen: {}",
            bench.installation.logged()
        );
        asked().trim() != "0"
    });
    let built = bench.end(build);
    assert_eq!(built["status"], "error", "{built}");
    let why = built["errors"][0].as_str().unwrap_or_default();
    assert!(why.contains("longer than 20 s"), "{built}");
    wait("the end of the query", || asked().trim() == "0");
    bench.check_clean();
}
