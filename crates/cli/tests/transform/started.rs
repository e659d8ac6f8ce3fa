//! How dbt is started: what it is told, whatever a project says.

use crate::project::Bench;
use serde_json::json;

#[test]
fn vars_reach_dbt_as_what_they_are() {
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
