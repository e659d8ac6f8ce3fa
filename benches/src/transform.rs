//! What a build costs beside dbt alone: a generated project of 500 models, built by `pudato up` and by dbt in turn.

use crate::Outcome;
use crate::figures::{Figures, percentile};
use crate::up::Up;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const MODELS: usize = 500;
const ROUNDS: usize = 5;

pub fn measure(figures: &mut Figures) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    generate(&project)?;
    let dbt = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/dbt");
    let up = Up::start_with(&[
        ("DBT_PROJECT_DIR", project.display().to_string()),
        ("PUDATO_DBT", dbt.display().to_string()),
    ])?;
    let (mut ratios, mut bare, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    let mut as_quiet = Vec::new();
    let mut built = Value::Null;
    for round in 0..=ROUNDS {
        let out = folder.path().join(format!("bare-{round}"));
        let alone = bare_build(&dbt, &project, &out, &[])?;
        let out = folder.path().join(format!("quiet-{round}"));
        let quiet = bare_build(&dbt, &project, &out, &AS_PUDATO)?;
        let started = Instant::now();
        built = up.call(&["transform", "build", "--timeout", "1200"])?;
        let took = started.elapsed().as_secs_f64();
        if round == 0 {
            // Files and programs are warm after the first.
            continue;
        }
        figures.note(&format!(
            "dbt alone {alone:.1} s, without its log file {quiet:.1} s, by pudato {took:.1} s"
        ));
        ratios.push(took / alone - 1.0);
        as_quiet.push(took / quiet - 1.0);
        bare.push(alone);
        ours.push(took);
    }
    let expected = edges_of_manifest(
        &folder
            .path()
            .join(format!("bare-{ROUNDS}/target/manifest.json")),
    )?;
    let found = edges_of_result(&built);
    if found != expected {
        return Err("the edges are not those that dbt's parent_map has".into());
    }
    figures.note(&format!(
        "{} edges, the same as of dbt's own manifest",
        found.len()
    ));
    figures.figure("transform.bare_s", percentile(&mut bare, 0.5), "s");
    figures.figure("transform.build_s", percentile(&mut ours, 0.5), "s");
    figures.figure(
        "transform.overhead_ratio",
        percentile(&mut ratios, 0.5),
        "ratio",
    );
    figures.figure(
        "transform.overhead_ratio_strict",
        percentile(&mut as_quiet, 0.5),
        "ratio",
    );
    Ok(())
}

/// What an independent script makes of a manifest: each model with each of its parents.
const SCRIPT: &str = "
import json, sys
manifest = json.load(open(sys.argv[1]))
name = lambda id: manifest['nodes'][id]['schema'] + '.' + manifest['nodes'][id]['alias']
for id, parents in manifest['parent_map'].items():
    for parent in set(parents):
        print(name(parent), name(id))
";

fn edges_of_manifest(manifest: &Path) -> Outcome<BTreeSet<String>> {
    let output = Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(manifest)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The same of a Result: its outputs with what each was made from.
fn edges_of_result(built: &Value) -> BTreeSet<String> {
    // Without the catalog, which the two warehouses are called after.
    let short = |location: &Value| {
        let name = location
            .as_str()
            .and_then(|location| location.rsplit('#').next());
        let name = name.and_then(|name| name.split_once('.'));
        name.map_or_else(String::new, |(_, name)| name.to_owned())
    };
    let outputs = built["outputs"].as_array().into_iter().flatten();
    let edges = outputs.flat_map(|output| {
        let from = output["metadata"]["from"].as_array().into_iter().flatten();
        let to = short(&output["location"]);
        from.map(move |from| format!("{} {to}", short(from)))
    });
    edges.collect()
}

/// How pudato has dbt log: it reads what dbt prints, and no file is written. Beside a dbt that logs so too, only what is pudato's own is seen.
const AS_PUDATO: [&str; 3] = [
    "--log-format=json",
    "--log-level=info",
    "--log-level-file=none",
];

/// Seconds of `dbt build` by itself, with these options beside the usual, on a warehouse of its own.
fn bare_build(dbt: &Path, project: &Path, out: &Path, options: &[&str]) -> Outcome<f64> {
    let started = Instant::now();
    let status = Command::new(dbt)
        .args(["--no-send-anonymous-usage-stats", "--no-version-check"])
        .args(options)
        .arg("build")
        .arg("--project-dir")
        .arg(project)
        .arg("--profiles-dir")
        .arg(project)
        .arg("--target-path")
        .arg(out.join("target"))
        .arg("--log-path")
        .arg(out.join("logs"))
        .env("DUCKDB_PATH", out.with_file_name("bare.duckdb"))
        .stdout(Stdio::null())
        .status()?;
    let took = started.elapsed().as_secs_f64();
    match status.success() {
        true => Ok(took),
        false => Err(format!("dbt build ended with {status}").into()),
    }
}

/// A project in which each model reads up to three earlier ones.
fn generate(project: &Path) -> Outcome<()> {
    let models = project.join("models");
    std::fs::create_dir_all(&models)?;
    std::fs::write(
        project.join("dbt_project.yml"),
        "name: shop\nversion: '1.0'\nprofile: shop\nmodels:\n  +materialized: table\n",
    )?;
    std::fs::write(
        project.join("profiles.yml"),
        "shop:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: \"{{ env_var('DUCKDB_PATH') }}\", threads: 2}\n",
    )?;
    let mut seed = 7_usize;
    for n in 0..MODELS {
        let mut sql = format!("select {n} as n");
        for _ in 0..n.min(3) {
            seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12_345) % (1 << 31);
            sql.push_str(&format!(
                " union all select n from {{{{ ref('m{}') }}}}",
                seed % n
            ));
        }
        std::fs::write(
            models.join(format!("m{n}.sql")),
            format!("select distinct n from ({sql}) limit 10"),
        )?;
    }
    Ok(())
}
