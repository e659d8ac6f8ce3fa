//! How pudato starts dbt: its arguments, whatever a project sets.

use crate::project::{Bench, names, status};
use serde_json::json;

#[test]
fn vars_reach_dbt_with_their_types() {
    let model = "select '{{ var(\"small\") is float }} {{ var(\"small\") }}' as small, '{{ var(\"large\") is float }} {{ var(\"large\") }}' as large, \
        '{{ var(\"nested\")[\"n\"][0] is float }}' as nested, '{{ var(\"text\") is string }} {{ var(\"text\") }}' as text, \
        {{ var('line') | length }} as line";
    let Some(bench) = Bench::new(&[("models/a.sql", model)]) else {
        return;
    };
    let _up = bench.up();
    let vars = "vars:={\"small\": 0.0000001, \"large\": 10000000000000000.0, \"nested\": {\"n\": [-2.5e300]}, \"text\": \"1e-7\", \
        \"line\": \"a\\u0085b\\u2028c\\ufeffd\\u007f\"}";
    let built = bench.call("build", &[vars]);
    assert_eq!(built["status"], "success", "{built}");
    let rows = bench.rows("FROM a");
    let expected = json!([["True 1e-07", "True 1e+16", "True", "True 1e-7", 8]]);
    assert_eq!(rows, expected);
}

/// `flags` of dbt_project.yml may turn off output that pudato reads; the command line overrides them.
#[test]
fn flags_of_a_project_do_not_disable_what_pudato_reads() {
    let project = "name: shop\nversion: '1.0'\nprofile: shop\nmodels: {+materialized: table}\ntarget-path: elsewhere\nlog-path: elsewhere\nflags:\n  write_json: false\n  \
        log_format: text\n  log_format_file: text\n  log_level: error\n  log_level_file: debug\n  debug: true\n  quiet: true\n  use_colors: true\n  \
        partial_parse: false\n  send_anonymous_usage_stats: true\n  printer_width: 20\n  fail_fast: true\n";
    let files = [
        ("dbt_project.yml", project),
        ("models/a.sql", "select 1 as n"),
        (
            "models/b.sql",
            "select * from {{ ref('a') }} where cast('x' as int) = 1",
        ),
    ];
    let Some(mut bench) = Bench::new(&files) else {
        return;
    };
    // The same for environment variables.
    bench.installation.set("PUDATO_DBT_ENV", "DBT_*");
    bench.installation.set("DBT_WRITE_JSON", "false");
    bench.installation.set("DBT_QUIET", "true");
    bench.installation.set("DBT_TARGET_PATH", "elsewhere");
    let _up = bench.up();
    let (built, progress) = bench.end_with_progress(bench.begin("build", &[]));
    assert_eq!(built["status"], "error", "{built}");
    assert_eq!(status(&built, "model.shop.a"), "success");
    assert_eq!(status(&built, "model.shop.b"), "error");
    assert_eq!(names(&built, "outputs"), ["warehouse.main.a"]);
    assert!(progress.lines().any(|line| line == "1 of 2"), "{progress}");
    let errors = built["errors"].to_string();
    assert!(errors.contains("Conversion Error"), "{errors}");
    assert!(!bench.project.join("elsewhere").exists());
    bench.check_clean();
}

/// dbt gets the end of its time like Ctrl-C, and records what it has built.
#[test]
#[ignore = "takes a minute: `cargo xtask dbt-versions` runs it"]
fn models_that_were_built_before_the_deadline_are_in_the_lineage() {
    let files = [
        ("models/quick.sql", "select 1 as n"),
        (
            "models/endless.sql",
            "select sum(a.range * b.range) as n from range(1000000) a, range(1000000) b, {{ ref('quick') }}",
        ),
    ];
    let Some(mut bench) = Bench::new(&files) else {
        return;
    };
    bench.installation.set("PUDATO_TRANSFORM_SECONDS", "60");
    let _up = bench.up();
    let built = bench.call("build", &[]);
    assert_eq!(built["status"], "error", "{built}");
    assert!(
        built["errors"].to_string().contains("longer than 60 s"),
        "{built}"
    );
    assert_eq!(names(&built, "outputs"), ["warehouse.main.quick"]);
    bench.check_clean();
}

/// A real dbt with a DuckDB that is newer than the linked one, which `PUDATO_TEST_NEWER_DBT` names.
#[test]
#[ignore = "needs another dbt: `cargo xtask dbt-versions` installs it and runs this"]
fn a_dbt_with_a_newer_duckdb_leaves_the_warehouse_alone() {
    let newer = std::env::var("PUDATO_TEST_NEWER_DBT").expect("PUDATO_TEST_NEWER_DBT names a dbt");
    let Some(mut bench) = Bench::new(&[("models/a.sql", "select 1 as n")]) else {
        return;
    };
    bench.installation.set("PUDATO_DBT", &newer);
    let found = bench.installation.run(&["doctor"]);
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(found.contains("pip install 'duckdb=="), "{found}");
    let _up = bench.up();
    let make = ["call", "query", "execute_sql", "sql=CREATE TABLE t (n INT)"];
    bench.installation.ok(&make);
    let refused = bench.call("build", &[]);
    assert_eq!(refused["status"], "error", "{refused}");
    let why = refused["errors"][0].as_str().unwrap_or_default();
    assert!(
        why.contains("dbt's Python has DuckDB 2.") && why.contains("pip install 'duckdb=="),
        "{refused}"
    );
    assert_eq!(bench.rows("SELECT count(*) FROM t"), json!([[0]]));
    bench.check_clean();
}
