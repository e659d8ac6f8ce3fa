//! Queries of lineage and maintenance of the registry.

use crate::support::{Installation, wait};
use serde_json::Value;

fn put(installation: &Installation, step: &str, path: &str) {
    let path = format!("path={path}");
    let put = [
        "call",
        "storage",
        "put_object",
        "container=lake",
        &path,
        "data=x",
    ];
    installation.ok(&[&put[..], &["--step", step]].concat());
}

#[test]
fn lineage_has_flags_and_a_large_graph_is_drawn_readably() {
    let installation = Installation::new();
    let _up = installation.up();
    let results: Vec<String> = (0..40)
        .map(|n| {
            format!(
                "step_id=reader-{n}|inputs:=[{{\"ref_type\":\"file\",\"location\":\"s3://x/hub\"}}]|\
                 outputs:=[{{\"ref_type\":\"file\",\"location\":\"s3://x/out-{n}\"}}]|status=success"
            )
        })
        .collect();
    for (n, update) in results.iter().enumerate() {
        let step = format!("step_id=reader-{n}");
        let name = format!("step_name=reader-{n}");
        let add = [
            "call",
            "registry",
            "add_step",
            "job_id=job-1",
            &step,
            &name,
            "handler_type=query",
            "action=execute_sql",
        ];
        installation.ok(&add);
        let fields: Vec<&str> = update.split('|').collect();
        installation.ok(&[&["call", "registry", "update_step"][..], &fields].concat());
    }
    let tree = installation.ok(&["lineage", "s3://x/hub", "--downstream"]);
    assert!(tree.contains("+28 more"), "{tree}");
    assert!(
        tree.contains("56 more are not drawn; use --full to draw them"),
        "{tree}"
    );
    let full = installation.ok(&["lineage", "s3://x/hub", "--downstream", "--full"]);
    assert_eq!(full.lines().count(), 81, "{full}");
    let svg = installation.ok(&["lineage", "s3://x/hub", "--downstream", "--format", "svg"]);
    assert!(
        svg.contains("+28 more") && svg.contains("56 more are not drawn"),
        "{svg}"
    );
    let few = installation.ok(&["lineage", "s3://x/hub", "--downstream", "--max-nodes", "5"]);
    assert!(few.contains("increase --max-nodes"), "{few}");
    let none = installation.ok(&[
        "lineage",
        "s3://x/hub",
        "--downstream",
        "--as-of",
        "2020-01-01T00:00:00Z",
        "--json",
    ]);
    let none: Value = serde_json::from_str(&none).expect("JSON");
    assert_eq!(none["edges"].as_array().map(Vec::len), Some(0));
    let up = installation.ok(&[
        "lineage",
        "s3://x/out-7",
        "--upstream",
        "--depth",
        "1",
        "--runs",
        "all",
    ]);
    assert!(
        up.contains("[reader-7]") && up.contains("s3://x/hub"),
        "{up}"
    );
    for wrong in [
        &["lineage"][..],
        &["lineage", "x", "--runs", "some"],
        &["lineage", "x", "--upstream", "--downstream"],
        &["lineage", "x", "--as-of", "yesterday"],
        &["lineage", "export", "--since", "yesterday"],
    ] {
        assert_eq!(installation.fails(wrong).0, 2, "{wrong:?}");
    }
}

/// A location in a query is a plain name (docs/lineage.md).
#[test]
fn a_wildcard_is_a_name_like_any_other() {
    let installation = Installation::new();
    let _up = installation.up();
    put(&installation, "step-1", "100%");
    put(&installation, "step-2", "100x");
    let found = installation.ok(&["lineage", "lake/100%", "--json"]);
    let found: Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(found["edges"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["edges"][0]["step"], "step-1");
    for nothing in ["%", "lake/%", "lake/100_", "lake/1%"] {
        let (code, error) = installation.fails(&["lineage", nothing]);
        assert_eq!(code, 1, "{nothing}: {error}");
    }
}

#[test]
fn old_records_are_pruned_and_the_origin_of_every_dataset_stays() {
    let installation = Installation::new();
    let _up = installation.up();
    for n in 0..4 {
        put(&installation, &format!("step-{n}"), "a.csv");
    }
    wait("four Results", || {
        installation.count("registry.db", "SELECT COUNT(*) FROM result") == 4
    });
    let dry = installation.ok(&[
        "registry",
        "prune",
        "--older-than",
        "0s",
        "--dry-run",
        "--json",
    ]);
    let dry: Value = serde_json::from_str(&dry).expect("JSON");
    assert_eq!(
        (&dry["results"], &dry["dry_run"]),
        (&3.into(), &true.into())
    );
    assert_eq!(
        installation.count("registry.db", "SELECT COUNT(*) FROM result"),
        4
    );
    let said = installation.ok(&["registry", "prune", "--older-than", "365d"]);
    assert!(said.starts_with("removed 0 Results"), "{said}");
    let said = installation.ok(&["registry", "prune", "--older-than", "0s"]);
    assert!(
        said.starts_with("removed 3 Results (3 edges), 3 steps"),
        "{said}"
    );
    let lineage = installation.ok(&["lineage", "lake/a.csv"]);
    assert!(lineage.contains("put_object"), "{lineage}");
    assert_eq!(
        installation
            .fails(&["registry", "prune", "--older-than", "7w"])
            .0,
        2
    );
    assert_eq!(installation.fails(&["registry", "prune"]).0, 2);
    let (code, error) = installation.fails(&["registry", "migrate"]);
    assert_eq!(code, 3, "{error}");
}

#[test]
fn a_command_of_another_sender_does_not_change_a_step_and_is_reported_to_all() {
    let installation = Installation::new();
    let _up = installation.up();
    put(&installation, "step-1", "raw/a.csv");
    let own = installation.ok(&["call", "registry", "get_step", "step_id=step-1"]);
    let other = [
        "call",
        "storage",
        "head_object",
        "container=lake",
        "path=none.csv",
        "--step",
        "step-1",
        "--correlation-id",
        "other-1",
    ];
    let (_, told) = installation.fails(&other);
    assert!(told.contains("not applied to the step step-1"), "{told}");
    let step = installation.ok(&["call", "registry", "get_step", "step_id=step-1"]);
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let (mut own, mut step) = (read(&own), read(&step));
    let claims = step["claims"].take();
    own["claims"].take();
    assert_eq!(step, own);
    assert_eq!(claims["count"], 1);
    assert_eq!(claims["latest"][0]["correlation_id"], "other-1");
    let trace = installation.ok(&["trace", "other-1"]);
    assert!(
        trace.contains("step step-1 (not applied: its correlation_id is not the step's)"),
        "{trace}"
    );
    let trace = read(&installation.ok(&["trace", "other-1", "--json"]));
    assert_eq!(trace["not_applied"][0]["step_id"], "step-1");
}

/// The data in a copied data folder keeps the names of the old place until `registry relocate` renames them.
#[test]
fn a_copied_data_folder_keeps_its_lineage() {
    let (old, new) = (Installation::new(), Installation::new());
    let mut up = old.up();
    put(&old, "ingest", "raw/a.csv");
    let make = [
        "call",
        "query",
        "execute_sql",
        "--step",
        "make",
        "sql=CREATE TABLE t AS FROM s",
        r#"sources:={"s": {"container": "lake", "path": "raw/a.csv"}}"#,
    ];
    old.ok(&make);
    assert_eq!(old.ok(&["doctor"]), "no problems found\n");
    up.signal("-TERM");
    up.ended();
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(old.data())
        .arg(new.data())
        .status();
    assert!(copied.expect("cp runs").success());

    // The output names the command to run, and that command works as printed.
    let found = new.run(&["doctor"]);
    let found = String::from_utf8(found.stdout).expect("text");
    let (was, is) = (old.data(), new.data());
    let (was, is) = (
        was.canonicalize().expect("a path"),
        is.canonicalize().expect("a path"),
    );
    let (was, is) = (was.display().to_string(), is.display().to_string());
    let command = format!("pudato registry relocate '{was}' '{is}'");
    assert!(
        found.contains("2 names of datasets") && found.contains(&command),
        "{found}"
    );
    let shell = |args: &str| {
        let command = command.replacen("pudato", "\"$0\"", 1);
        let output = new
            .shell(&format!("{command} {args}"))
            .output()
            .expect("a shell runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        String::from_utf8(output.stdout).expect("text")
    };
    let would = shell("--dry-run");
    assert!(would.ends_with("would change 2 names\n"), "{would}");
    let table = |folder: &str| format!("duckdb://{folder}/warehouse.duckdb#warehouse.main.t");
    assert!(
        would.contains(&format!("{} -> {}", table(&was), table(&is))),
        "{would}"
    );
    let tree = new.ok(&["lineage", "main.t"]);
    assert!(tree.contains(&was) && !tree.contains(&is), "{tree}");

    // The same place in another spelling changes nothing.
    let link = new.folder.path().join("link");
    std::os::unix::fs::symlink(&is, &link).expect("linked");
    let old_name = format!("{was}/objects/../");
    let done = new.ok(&["registry", "relocate", &old_name, "link/", "--json"]);
    let done: Value = serde_json::from_str(&done).expect("JSON");
    assert_eq!((&done["datasets"], &done["merged"]), (&2.into(), &0.into()));
    let again = new.ok(&["registry", "relocate", &was, &is]);
    assert_eq!(
        again,
        format!("no dataset is in {was}; nothing was changed\n")
    );
    assert_eq!(new.ok(&["doctor"]), "no problems found\n");

    // Lineage continues under the new names.
    let _up = new.up();
    let change = [
        "call",
        "query",
        "execute_sql",
        "--step",
        "change",
        "sql=INSERT INTO t FROM t",
    ];
    new.ok(&change);
    let tree = new.ok(&["lineage", "main.t"]);
    for name in ["[change]", "[make]", "[ingest]"] {
        assert!(tree.contains(name), "{tree}");
    }
    assert!(!tree.contains(&was), "{tree}");
    let (code, error) = new.fails(&["registry", "relocate", &was, "nowhere"]);
    assert!(
        code == 2 && error.contains("expected the folder where the data is now"),
        "{error}"
    );
    // The original folder keeps its own names.
    assert!(old.ok(&["lineage", "main.t"]).contains(&was));
}
