//! The promises of docs/security.md about the author of a dbt project, and about callers' claims.

use crate::project::{Bench, dbt};
use std::os::unix::fs::PermissionsExt;

#[test]
fn dbt_gets_arguments_behind_their_options_and_an_environment_without_secrets() {
    let files = [(
        "models/a.sql",
        "select '{{ var(\"who\") }}' as who, '{{ env_var(\"SHOP_COLOUR\") }}' as colour",
    )];
    let Some(mut bench) = Bench::new(&files) else {
        return;
    };
    let folder = bench.installation.folder.path().to_owned();
    let wrapper = folder.join("dbt");
    let (seen, args) = (folder.join("seen"), folder.join("args"));
    let script = format!(
        "#!/bin/sh\ntr '\\0' '\\n' < /proc/$$/environ > {}\nprintf '%s\\n' \"$@\" > {}\nexec {} \"$@\"\n",
        seen.display(),
        args.display(),
        dbt().display()
    );
    std::fs::write(&wrapper, script).expect("written");
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let planted = "planted-0123456789";
    let secret = [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "REGISTRY_TOKEN",
        "GITHUB_TOKEN",
        "PGPASSWORD",
        "SNOWFLAKE_PASSWORD",
    ];
    for name in secret {
        bench.installation.set(name, planted);
    }
    bench.installation.set("SHOP_COLOUR", "red");
    bench.installation.set("PUDATO_DBT_ENV", "SHOP_*");
    bench
        .installation
        .set("PUDATO_DBT", &wrapper.display().to_string());
    // Settings of AWS do not select the AWS fabric, as long as no topic is set.
    bench.installation.set("PUDATO_FABRIC", "embedded");
    let _up = bench.up();
    let hostile = "$(touch owned); `touch owned` '\" && touch owned";
    let vars = format!(
        "vars:={}",
        serde_json::json!({"who": hostile.replace('\'', "")})
    );
    let built = bench.call("build", &["select=a", &vars]);
    assert_eq!(built["status"], "success", "{built}");
    let environment = std::fs::read_to_string(seen).expect("seen");
    assert!(!environment.contains(planted), "{environment}");
    assert!(
        environment.contains("SHOP_COLOUR=red") && environment.contains("PUDATO_EXECUTION_ID=")
    );
    let args = std::fs::read_to_string(args).expect("args");
    assert_eq!(
        args.lines()
            .filter(|arg| arg.starts_with("--vars={"))
            .count(),
        1,
        "one argument: {args}"
    );
    for place in [&folder, &bench.project] {
        assert!(!place.join("owned").exists(), "a shell saw the value");
    }
    // Values that look like options are refused before anything runs.
    for wrong in ["select=--full-refresh", "exclude=-x", "vars:={\"--x\": 1}"] {
        let refused = bench.call("build", &[wrong]);
        assert_eq!(refused["status"], "error");
        assert!(
            refused["errors"][0]
                .as_str()
                .is_some_and(|why| why.starts_with("payload.")),
            "{refused}"
        );
    }
    // None of the planted secrets is in pudato's files.
    let kept = bench.installation.data();
    let found = std::process::Command::new("grep")
        .args(["-rl", planted])
        .arg(&kept)
        .output();
    assert!(found.expect("grep").stdout.is_empty());
    assert!(!bench.installation.logged().contains(planted));
}

#[test]
fn a_callers_claims_about_version_and_execution_are_stored_beside_the_facts() {
    let Some(bench) = Bench::new(&[("models/a.sql", "select 1 as n")]) else {
        return;
    };
    let _up = bench.up();
    let command = serde_json::json!({"type": "transform", "action": "build", "correlation_id": "claims", "payload": {},
        "metadata": {"logic_version": "v9", "execution_id": "mine"}});
    bench
        .installation
        .shell(&format!("echo '{command}' | \"$0\" publish --lines -"))
        .output()
        .expect("published");
    crate::support::wait("the Result", || {
        bench.installation.count(
            "registry.db",
            "SELECT COUNT(*) FROM result WHERE body LIKE '{\"status\":\"success\"%'",
        ) == 1
    });
    let body: String = bench
        .installation
        .open("registry.db")
        .query_row(
            "SELECT body FROM result WHERE body LIKE '{\"status\":\"success\"%'",
            [],
            |row| row.get(0),
        )
        .expect("a Result");
    let result: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let data = &result["data"];
    assert!(
        data["logic_version"].is_null(),
        "a folder has no commit: {data}"
    );
    assert_ne!(data["execution_id"], "mine");
    assert_eq!(
        data["claimed"],
        serde_json::json!({"logic_version": "v9", "execution_id": "mine"})
    );
}
