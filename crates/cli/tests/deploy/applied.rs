//! Terraform deploys everything, changes nothing the second time, keeps two systems apart, and removes everything.

use crate::deployed::Deployed;
use crate::terraform::{Terraform, variables};
use pudato_testing::Postgres;
use serde_json::Value;

const PUBLISHER: &str = "arn:aws:iam::111111111111:role/publisher";
const APPLY: [&str; 4] = ["apply", "-auto-approve", "-input=false", "-parallelism=30"];
const DESTROY: [&str; 4] = [
    "destroy",
    "-auto-approve",
    "-input=false",
    "-parallelism=30",
];
/// The state of the second system.
const STATE: &str = "-state=second.tfstate";

/// Runs Terraform for both systems at once, because it mostly waits.
fn both(terraform: &Terraform, args: [&str; 4], own: &[String], other: &[String]) {
    std::thread::scope(|scope| {
        scope.spawn(|| terraform.ok("local", &[&args[..], &[STATE]].concat(), other));
        terraform.ok("local", &args, own);
    });
}

#[test]
fn everything_is_deployed_works_and_is_removed() {
    let Some(terraform) = Terraform::new(&["local"]) else {
        return;
    };
    let Some(deployed) = Deployed::parts("terraform", "pudato") else {
        return;
    };
    let own = variables(&deployed, "pudato", &deployed.database.url);
    // A second system beside it, with another name. It has a database server of its own, because both create the same roles.
    let server = Postgres::start().expect("a server");
    let second = server.database().expect("a database");
    let mut other = variables(&deployed, "second", &second.url);
    // The topic is encrypted with a key of its own, which SNS may use, so messages arrive. Its publisher is of another account.
    other.push("encryption=kms".into());
    other.push(format!("publisher_arns=[\"{PUBLISHER}\"]"));
    both(&terraform, APPLY, &own, &other);
    let settings = terraform.ok("local", &["output", "-raw", "pudato_toml"], &[]);
    deployed.write_settings(&settings);

    deployed.check_pipeline();
    // The effective policies, read back and evaluated, and the event sources that invoke the functions.
    for script in ["security.py", "roles.py", "functions.py"] {
        println!("{}", deployed.script(script, &["pudato"]));
    }
    check_roles_of_the_database(&deployed);
    // `pudato` itself finds no difference.
    let doctor = deployed.installation.run(&["doctor", "--json"]);
    let found: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let findings = found["findings"].as_array().expect("a list");
    let dead = |finding: &&Value| {
        !finding
            .as_str()
            .unwrap_or_default()
            .contains("dead letters")
    };
    let more: Vec<_> = findings.iter().filter(dead).collect();
    assert!(more.is_empty(), "{more:#?}");

    let plan = ["plan", "-detailed-exitcode", "-input=false"];
    let again = terraform.run("local", &plan, &own);
    let said = String::from_utf8_lossy(&again.stdout);
    assert_eq!(
        again.status.code(),
        Some(0),
        "the second apply changes: {said}"
    );

    // Neither system gets messages of the other.
    let topics = deployed.script("names.py", &[]);
    assert!(topics.contains("second-storage-queue"), "{topics}");
    let evaluated = deployed.script("security.py", &["second", PUBLISHER]);
    println!("{evaluated}");
    println!("{}", deployed.script("roles.py", &["second", "kms"]));
    let before = deployed.results("true");
    let mut publish = vec!["arn:aws:sns:us-east-1:000000000000:second-storage-commands"];
    publish.push(
        r#"{"type": "storage", "action": "put_object", "correlation_id": "other", "payload": {"container": "lake", "path": "o", "data": "o"}}"#,
    );
    deployed.script("publish.py", &publish);
    let heard = || {
        let sql = "SELECT COUNT(*) FROM pudato.result WHERE correlation_id = 'other'";
        server.psql(&second.name, sql)
    };
    deployed.wait("answer of the second system", || {
        heard().is_ok_and(|count| count.trim() == "1")
    });
    assert_eq!(
        deployed.results("true"),
        before,
        "the first system got no message"
    );

    both(&terraform, DESTROY, &own, &other);
    assert_eq!(
        deployed.script("names.py", &[]).trim(),
        "",
        "nothing is left"
    );
}

/// No function has the owner's permissions in the registry's database, and a handler may use only its stored answers.
fn check_roles_of_the_database(deployed: &Deployed) {
    let ask = |role: &str, sql: &str| deployed.server.psql_as(role, &deployed.database.name, sql);
    ask("pudato_answers", "SELECT COUNT(*) FROM pudato.answer").expect("its answers");
    ask("pudato_registry", "SELECT COUNT(*) FROM pudato.result").expect("the registry");
    for (role, sql) in [
        ("pudato_answers", "SELECT body FROM pudato.result"),
        ("pudato_answers", "DELETE FROM pudato.job"),
        ("pudato_answers", "DROP TABLE pudato.answer"),
        ("pudato_registry", "DROP TABLE pudato.result"),
        ("pudato_registry", "CREATE ROLE another"),
    ] {
        let error = ask(role, sql).expect_err(sql);
        let is_denied = error.contains("permission denied") || error.contains("must be owner");
        assert!(is_denied, "{role}: {sql}: {error}");
    }
    // The roles with open connections.
    let connected = "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pudato' ORDER BY 1";
    let connected = deployed.sql(connected);
    let roles: Vec<&str> = connected.split_whitespace().collect();
    assert!(
        roles
            .iter()
            .all(|role| ["pudato_answers", "pudato_registry"].contains(role)),
        "{connected}"
    );
}
