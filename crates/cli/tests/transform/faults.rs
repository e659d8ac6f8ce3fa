//! A dbt that is killed, hangs, prints without end, is missing or too old; and a worker that is killed beside it.

use crate::project::{Bench, dbt, status};
use crate::support::wait;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const HEAVY: (&str, &str) = (
    "models/heavy.sql",
    "select count(*) as n from range(1000000000) where (range * 7) % 1000003 = 3",
);

impl Bench {
    /// A program that replaces dbt.
    fn replace_dbt(&mut self, script: &str) {
        let path = self.installation.folder.path().join("dbt");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .expect("executable");
        self.installation
            .set("PUDATO_DBT", &path.display().to_string());
    }

    /// Waits until dbt works: until it has the warehouse open.
    fn wait_until_it_works(&self) {
        let has_it_open = |pid: &u32| {
            let files = std::fs::read_dir(format!("/proc/{pid}/fd"));
            let files = files.into_iter().flatten().flatten();
            let mut files = files.filter_map(|file| std::fs::read_link(file.path()).ok());
            files.any(|file| file.ends_with("warehouse.duckdb"))
        };
        wait("a dbt at its work", || {
            self.running_dbt().iter().any(has_it_open)
        });
    }
}

fn kill(pids: &[u32]) {
    for pid in pids {
        let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
    }
}

#[test]
fn a_dbt_that_is_killed_runs_again_and_its_step_has_one_outcome() {
    let Some(bench) = Bench::new(&[HEAVY, ("models/quick.sql", "select 1 as n")]) else {
        return;
    };
    let _up = bench.up();
    let build = bench.begin("build", &["--step", "build", "--job", "job-1"]);
    bench.wait_until_it_works();
    // Kills only dbt, as the kernel does when memory runs out.
    kill(&bench.running_dbt());
    let (built, progress) = bench.end_with_progress(build);
    assert_eq!(built["status"], "success", "{built}");
    // A waiting caller sees the progress.
    assert!(progress.lines().any(|line| line == "1 of 2"), "{progress}");
    assert!(bench.installation.logged().contains("ended by signal 9"));
    let outcomes = "SELECT COUNT(*) FROM result WHERE body LIKE '{\"status\":\"success\"%' OR body LIKE '{\"status\":\"error\"%'";
    assert_eq!(bench.installation.count("registry.db", outcomes), 1);
    bench.check_clean();
}

#[test]
fn a_worker_that_is_killed_leaves_no_dbt_and_the_build_runs_again() {
    let Some(bench) = Bench::new(&[HEAVY]) else {
        return;
    };
    let up = bench.up();
    let build = bench.begin("build", &["--step", "build", "--job", "job-1"]);
    bench.wait_until_it_works();
    // The next run need not take long.
    std::fs::write(bench.project.join(HEAVY.0), "select 1 as n").expect("written");
    up.signal("-KILL");
    wait("the end of dbt after its worker was killed", || {
        bench.running().is_empty()
    });
    drop(up);
    let _up = bench.up();
    let built = bench.end(build);
    assert_eq!(
        built["status"],
        "success",
        "{built}\n{}",
        bench.installation.logged()
    );
    let steps = "SELECT COUNT(*) FROM step WHERE step_id = 'build' AND status = 'success'";
    assert_eq!(bench.installation.count("registry.db", steps), 1);
    let outcomes = "SELECT COUNT(*) FROM result WHERE body LIKE '{\"status\":\"success\"%' OR body LIKE '{\"status\":\"error\"%'";
    assert_eq!(bench.installation.count("registry.db", outcomes), 1);
    // The files of the killed run are removed when the next one opens.
    bench.check_clean();
}

/// A dbt that does not notice that its output is no longer read; its guard ends it.
#[test]
fn a_killed_worker_takes_down_a_dbt_that_ignores_signals() {
    let Some(mut bench) = Bench::new(&[("models/a.sql", "select 1 as n")]) else {
        return;
    };
    let real = dbt().display().to_string();
    let begun = bench.installation.folder.path().join("begun");
    // The second process is dbt itself.
    let script = format!(
        "[ -e {0} ] && exec {real} \"$@\"; touch {0}; trap '' TERM INT HUP PIPE; sleep 10000; exit 1",
        begun.display()
    );
    bench.replace_dbt(&script);
    let up = bench.up();
    let build = bench.begin("build", &["--step", "build", "--job", "job-1"]);
    wait("a dbt that runs", || begun.exists());
    up.signal("-KILL");
    // Without a signal it would sleep for hours.
    wait("the end of dbt", || bench.running().is_empty());
    drop(up);
    let _up = bench.up();
    let built = bench.end(build);
    assert_eq!(built["status"], "success", "{built}");
    bench.check_clean();
}

#[test]
fn a_dbt_that_hangs_is_stopped_at_its_time_limit_with_all_its_processes() {
    let Some(mut bench) = Bench::new(&[("models/a.sql", "select 1 as n")]) else {
        return;
    };
    bench.installation.set("PUDATO_TRANSFORM_SECONDS", "3");
    // It has a child process, and ignores the signals that it can.
    bench.replace_dbt("trap '' TERM INT HUP; sleep 10000 & echo \"$@\" > args; sleep 10000");
    let _up = bench.up();
    let built = bench.call("build", &[]);
    assert_eq!(built["status"], "error");
    assert!(
        built["errors"][0]
            .as_str()
            .is_some_and(|why| why.contains("longer than 3 s")),
        "{built}"
    );
    wait("the end of all that it started", || {
        let group = Command::new("pgrep")
            .args(["-f", "sleep 10000"])
            .output()
            .expect("pgrep");
        let pids = String::from_utf8_lossy(&group.stdout);
        let mut folders = pids
            .lines()
            .map(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default());
        !folders.any(|folder| folder.starts_with(&bench.project))
    });
    bench.check_clean();
}

#[test]
fn a_dbt_that_prints_100_mb_is_read_to_its_end() {
    let Some(mut bench) = Bench::new(&[("models/a.sql", "select 1 as n")]) else {
        return;
    };
    let real = dbt().display().to_string();
    bench.replace_dbt(&format!(
        "head -c 50000000 /dev/zero | tr '\\0' x; echo; head -c 50000000 /dev/zero | tr '\\0' '\\n' >&2; exec {real} \"$@\""
    ));
    let up = bench.up();
    let built = bench.call("build", &[]);
    assert_eq!(
        (built["status"].as_str(), status(&built, "model.shop.a")),
        (Some("success"), &json!("success"))
    );
    let peak = std::fs::read_to_string(format!("/proc/{}/status", up.0.id())).expect("a process");
    let peak = peak
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("a peak");
    let kib: u64 = peak
        .split_whitespace()
        .next()
        .and_then(|kib| kib.parse().ok())
        .expect("a number");
    assert!(kib < 400_000, "{kib} KiB");
}

#[test]
fn a_dbt_that_is_missing_too_old_or_not_dbt_is_named_with_what_to_install() {
    let Some(mut bench) = Bench::new(&[("models/a.sql", "select 1 as n")]) else {
        return;
    };
    bench.replace_dbt(r#"echo '{"info": {"name": "MainReportVersion", "level": "info", "msg": "v"}, "data": {"version": "=1.7.19"}}'; sleep 10000"#);
    {
        let _up = bench.up();
        let old = bench.call("build", &[]);
        assert!(
            old["errors"][0]
                .as_str()
                .is_some_and(|why| why.contains("1.7.19 is too old: pip install")),
            "{old}"
        );
    }
    bench.replace_dbt("echo 'dbt: no such command' >&2; exit 2");
    {
        let _up = bench.up();
        let none = bench.call("build", &[]);
        assert!(
            none["errors"][0]
                .as_str()
                .is_some_and(|why| why.contains("no such command")),
            "{none}"
        );
    }
    // Some other program, which is not dbt; its success means nothing.
    bench.replace_dbt("exit 0");
    {
        let _up = bench.up();
        let nothing = bench.call("build", &[]);
        assert_eq!(nothing["status"], "error", "{nothing}");
        assert!(
            nothing["errors"].to_string().contains("pip install"),
            "{nothing}"
        );
    }
    bench.installation.set("PUDATO_DBT", "/nowhere/dbt");
    let _up = bench.up();
    let missing = bench.call("build", &[]);
    assert!(
        missing["errors"][0]
            .as_str()
            .is_some_and(|why| why.contains("PUDATO_DBT: /nowhere/dbt")),
        "{missing}"
    );
    bench.check_clean();
}

/// A program may end and leave a child behind that keeps its output open.
#[test]
fn a_dbt_has_ended_even_if_a_child_of_it_still_runs() {
    let Some(mut bench) = Bench::new(&[("models/a.sql", "select 1 as n")]) else {
        return;
    };
    bench.installation.set("PUDATO_TRANSFORM_SECONDS", "500");
    let real = dbt().display().to_string();
    bench.replace_dbt(&format!("sleep 10000 & exec {real} \"$@\""));
    let _up = bench.up();
    let built = bench.call("build", &[]);
    assert_eq!(built["status"], "success", "{built}");
    bench.check_clean();
}

#[test]
fn a_dbt_version_that_the_project_excludes_is_refused_by_dbt() {
    let wants = "name: shop\nversion: '1.0'\nprofile: shop\nrequire-dbt-version: '>=99.0.0'\n";
    let files = [
        ("dbt_project.yml", wants),
        ("models/a.sql", "select 1 as n"),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    let built = bench.call("build", &[]);
    assert_eq!(built["status"], "error", "{built}");
    assert!(built["errors"].to_string().contains("99.0.0"), "{built}");
    bench.check_clean();
}

/// Artifacts of an earlier run in the project's own folder say nothing about this run.
#[test]
fn stale_artifacts_of_the_project_are_not_read() {
    let stale = r#"{"metadata": {"invocation_id": "old"}, "nodes": {}, "results": [{"unique_id": "model.shop.ghost", "status": "success"}]}"#;
    let files = [
        ("models/a.sql", "select 1 as n"),
        ("target/manifest.json", stale),
        ("target/run_results.json", stale),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    let built = bench.call("build", &[]);
    assert_eq!(
        crate::project::names(&built, "outputs"),
        ["warehouse.main.a"],
        "{built}"
    );
    let kept = std::fs::read_to_string(bench.project.join("target/manifest.json")).expect("there");
    assert_eq!(kept, stale, "and they are left alone");
    // An unreadable project is an error, not an empty success.
    std::fs::write(bench.project.join("models/broken.sql"), "{{ nothing(").expect("written");
    let broken = bench.call("build", &[]);
    assert_eq!(broken["status"], "error");
    assert!(broken["errors"].to_string().contains("broken"), "{broken}");
    assert_eq!(crate::project::names(&broken, "outputs"), [""; 0]);
}
