//! The project of the demo on PostgreSQL: the same models, and their connected lineage.

use crate::project::{Bench, pairs, short};
use crate::support::python;
use pudato_testing::{Postgres, skipped};
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn the_demo_on_postgres_has_connected_lineage() {
    if python("dbt").is_none() {
        return;
    }
    let server = match Postgres::shared() {
        Ok(server) => server,
        Err(why) => return skipped("the_demo_on_postgres", &why),
    };
    let database = server.database().expect("a database");
    let address = database.url.trim_start_matches("postgres://");
    let (user, rest) = address.split_once('@').expect("a user");
    let (host, port) = rest
        .split_once('/')
        .expect("a database")
        .0
        .split_once(':')
        .expect("a port");
    // The tables that the query steps of the demo make from the two files.
    let staged = "CREATE SCHEMA staging;
        CREATE TABLE staging.airports (iata text, airport text, city text, state_code text);
        INSERT INTO staging.airports VALUES ('DFW', 'Dallas-Fort Worth International', 'Dallas', 'TX'), ('AUS', 'Austin Municipal', 'Austin', 'TX');
        CREATE TABLE staging.strikes (airport text, damage text, flight_date date, state text, cost_usd bigint);
        INSERT INTO staging.strikes VALUES ('DALLAS/FORT WORTH INTL ARPT', 'None', '1990-01-08', 'Texas', 0),
            ('AUSTIN MUNI', 'Minor', '1991-02-03', 'Texas', 7), ('NOWHERE', 'B', '1991-02-04', 'Ohio', 5)";
    server.psql(&database.name, staged).expect("staged");
    let Some(mut bench) = Bench::new(&[]) else {
        return;
    };
    bench.project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/birdstrikes/dbt");
    for (name, value) in [
        (
            "DBT_PROJECT_DIR",
            bench.project.display().to_string().as_str(),
        ),
        ("DBT_TARGET", "postgres"),
        ("PUDATO_DBT_ENV", "PG*"),
        ("PGHOST", host),
        ("PGPORT", port),
        ("PGUSER", user),
        ("PGDATABASE", &database.name),
    ] {
        // The setting applies for the life of the installation.
        bench
            .installation
            .set(Box::leak(name.to_owned().into_boxed_str()), value);
    }
    let _up = bench.up();
    let built = bench.call("build", &["--job", "job-1", "--step", "build"]);
    assert_eq!(built["status"], "success", "{built}");
    let name = |table: &str| format!("{}.{table}", database.name);
    let expected = json!({
        (name("reference.damage_levels")): ["damage_levels.csv"],
        (name("staging.known_airports")): [name("staging.airports")],
        (name("mart.strikes")): [name("reference.damage_levels"), name("staging.known_airports"), name("staging.strikes")],
        (name("mart.airports_not_joined")): [name("mart.strikes")],
        (name("mart.strikes_by_state_year")): [name("mart.strikes")],
        (name("history.strikes_by_state_year_history")): [name("mart.strikes_by_state_year")],
    });
    assert_eq!(pairs(&built), expected);
    // This adapter reports the number of rows that it wrote.
    let rows = |table: &str| {
        let outputs = built["outputs"].as_array().expect("outputs");
        let found = outputs
            .iter()
            .find(|one| short(&one["location"]) == name(table));
        found.expect("an output")["metadata"]["row_count"].clone()
    };
    assert_eq!(
        (rows("mart.strikes"), rows("mart.strikes_by_state_year")),
        (json!(3), json!(3))
    );
    let namespace = format!("postgres://{host}:{port}#");
    let located = server.psql(
        &database.name,
        "SELECT SUM(located) FROM mart.strikes_by_state_year",
    );
    assert_eq!(
        located.expect("summed").trim(),
        "2",
        "the same names join as on DuckDB"
    );
    let mart = format!("{namespace}{}", name("mart.strikes_by_state_year"));
    let graph = bench.installation.ok(&["lineage", &mart, "--json"]);
    let graph: Value = serde_json::from_str(&graph).expect("JSON");
    let nodes = graph["nodes"].to_string();
    for part in ["damage_levels.csv", "staging.airports", "staging.strikes"] {
        assert!(nodes.contains(part), "{part} is missing in {nodes}");
    }
}
