//! Terraform deploys everything, changes nothing the second time, keeps two systems apart, and removes all of it.

use crate::deployed::Deployed;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An example, from where the environments are.
const WORKER: &str = "../examples/transform-worker";
const VARIABLE: &str = "PUDATO_TERRAFORM_PLUGIN_DIR";

/// A copy of `terraform/` with the provider, so that nothing is left in the clone.
struct Terraform {
    folder: tempfile::TempDir,
}

impl Terraform {
    /// With the provider initialised for `environment`.
    ///
    /// # Errors
    /// There is no Terraform here, or no provider.
    fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../terraform");
        copy(&from, folder.path());
        let terraform = Self { folder };
        for environment in ["local", "aws", WORKER] {
            let mut init = vec!["init".to_owned(), "-input=false".to_owned()];
            if let Some(mirror) = std::env::var_os(VARIABLE) {
                init.push(format!("-plugin-dir={}", mirror.to_string_lossy()));
            }
            let mut command = terraform.command(environment);
            let output = command.args(init).output();
            let output = output.map_err(|error| format!("terraform: {error}"))?;
            if !output.status.success() {
                return Err("the AWS provider cannot be had".into());
            }
        }
        Ok(terraform)
    }

    fn command(&self, environment: &str) -> Command {
        let mut command = Command::new("terraform");
        let below = self.folder.path().join("environments");
        let folder = below.join(environment);
        command.current_dir(folder);
        command.env("TF_IN_AUTOMATION", "1").env("NO_COLOR", "1");
        command.env("CHECKPOINT_DISABLE", "1");
        // It may name a file that is not there.
        command.env_remove("TF_CLI_CONFIG_FILE");
        command
    }

    fn run(&self, environment: &str, args: &[&str], variables: &[String]) -> Output {
        let mut command = self.command(environment);
        command.args(args);
        for variable in variables {
            command.args(["-var", variable]);
        }
        command.output().expect("terraform runs")
    }

    fn ok(&self, environment: &str, args: &[&str], variables: &[String]) -> String {
        let output = self.run(environment, args, variables);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "terraform {args:?}: {said}");
        String::from_utf8(output.stdout).expect("text")
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_owned();
        // What somebody applied here is no part of it.
        let text = name.to_string_lossy();
        if text.starts_with(".terraform") || text.contains("tfstate") {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).expect("copied");
        }
    }
}

/// Says in one line that it was not done, and why; the same path runs without Terraform in `faults`.
fn terraform() -> Option<Terraform> {
    match Terraform::new() {
        Ok(terraform) => Some(terraform),
        Err(why) => {
            println!("terraform: not applied here: {why}; {VARIABLE} names a folder that has it");
            None
        }
    }
}

fn variables(deployed: &Deployed, prefix: &str, url: &str) -> Vec<String> {
    let package = |name: &str| -> PathBuf { deployed.packages.join(format!("{name}.zip")) };
    let (core, query) = (package("core"), package("query"));
    vec![
        format!("endpoint={}", deployed.emulator.url()),
        format!("prefix={prefix}"),
        format!("registry_database_url={url}"),
        format!(
            "packages={{core={:?},query={:?}}}",
            core.display().to_string(),
            query.display().to_string()
        ),
    ]
}

const APPLY: [&str; 4] = ["apply", "-auto-approve", "-input=false", "-parallelism=30"];

#[test]
fn everything_is_deployed_works_and_is_removed() {
    let Some(terraform) = terraform() else { return };
    let Some(deployed) = Deployed::parts("terraform", "pudato") else {
        return;
    };
    let own = variables(&deployed, "pudato", &deployed.database.url);
    terraform.ok("local", &APPLY, &own);
    let settings = terraform.ok("local", &["output", "-raw", "pudato_toml"], &[]);
    deployed.write_settings(&settings);

    deployed.check_pipeline();
    // The policies that are in force, read back and evaluated.
    let evaluated = deployed.script("security.py", &["pudato"]);
    println!("{evaluated}");
    // `pudato` itself finds nothing that is otherwise than it must be.
    let doctor = deployed.installation.run(&["doctor", "--json"]);
    let found: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let findings = found["findings"].as_array().expect("a list");
    let dead = |finding: &&Value| {
        !finding
            .as_str()
            .unwrap_or_default()
            .contains("dead letters")
    };
    let other: Vec<_> = findings.iter().filter(dead).collect();
    assert!(other.is_empty(), "{other:#?}");

    let plan = ["plan", "-detailed-exitcode", "-input=false"];
    let again = terraform.run("local", &plan, &own);
    let said = String::from_utf8_lossy(&again.stdout);
    assert_eq!(
        again.status.code(),
        Some(0),
        "the second apply changes: {said}"
    );

    // A second system, of another name, beside it: neither hears the other.
    let second = deployed.server.database().expect("a database");
    let other = variables(&deployed, "second", &second.url);
    // Encrypted with a key of its own, which SNS may use: what is published arrives.
    let mut other = other;
    other.push("encryption=kms".into());
    let state = ["-state=second.tfstate"];
    terraform.ok("local", &[&APPLY[..], &state].concat(), &other);
    let topics = deployed.script("names.py", &[]);
    assert!(topics.contains("second-storage-queue"), "{topics}");
    let before = deployed.results("true");
    let mut publish = vec!["arn:aws:sns:us-east-1:000000000000:second-storage-commands"];
    publish.push(
        r#"{"type": "storage", "action": "put_object", "correlation_id": "other", "payload": {"container": "lake", "path": "o", "data": "o"}}"#,
    );
    deployed.script("publish.py", &publish);
    let heard = || {
        let sql = "SELECT COUNT(*) FROM pudato.result WHERE correlation_id = 'other'";
        deployed.server.psql(&second.name, sql)
    };
    deployed.wait("answer of the second system", || {
        heard().is_ok_and(|count| count.trim() == "1")
    });
    assert_eq!(deployed.results("true"), before, "the first heard nothing");

    let destroy = [
        "destroy",
        "-auto-approve",
        "-input=false",
        "-parallelism=30",
    ];
    terraform.ok("local", &[&destroy[..], &state].concat(), &other);
    terraform.ok("local", &destroy, &own);
    assert_eq!(
        deployed.script("names.py", &[]).trim(),
        "",
        "nothing is left"
    );
}

#[test]
fn what_is_for_aws_is_valid_and_can_be_planned() {
    let Some(terraform) = terraform() else { return };
    let Some(deployed) = Deployed::parts("terraform", "pudato") else {
        return;
    };
    let root = terraform.folder.path();
    let mut format = Command::new("terraform");
    format.args(["fmt", "-check", "-recursive"]).arg(root);
    assert!(
        format.status().expect("terraform runs").success(),
        "terraform fmt"
    );
    for environment in ["local", "aws", WORKER] {
        terraform.ok(environment, &["validate"], &[]);
    }
    for encryption in ["sqs", "kms"] {
        let packages = &variables(&deployed, "pudato", "")[3];
        let variables = [
            "region=us-east-1",
            "containers={lake=\"acme-lake\"}",
            "claims_bucket=acme-claims",
            "vpc_id=vpc-1",
            "subnet_ids=[\"subnet-1\",\"subnet-2\"]",
            "publisher_arns=[\"arn:aws:iam::000000000000:role/publisher\"]",
            packages,
        ];
        let mut plan = terraform.command("aws");
        plan.args(["plan", "-input=false", "-refresh=false"]);
        for variable in variables {
            plan.args(["-var", variable]);
        }
        plan.args(["-var", &format!("encryption={encryption}")]);
        // Who it is must be asked; nothing is created.
        plan.env("AWS_ENDPOINT_URL", deployed.emulator.url());
        plan.env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test");
        let output = plan.output().expect("terraform runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "plan with {encryption}: {said}");
        let planned = String::from_utf8_lossy(&output.stdout);
        assert!(planned.contains("aws_db_instance.registry"), "{planned}");
    }
}

#[test]
fn a_queue_that_hides_messages_too_shortly_for_its_function_is_refused() {
    let Some(terraform) = terraform() else { return };
    let Some(deployed) = Deployed::parts("terraform", "pudato") else {
        return;
    };
    let mut variables = variables(&deployed, "pudato", "postgres://x@127.0.0.1/x");
    variables.push("visibility_seconds=179".into());
    let refused = terraform.run("local", &["plan", "-input=false"], &variables);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "it must be refused");
    assert!(said.contains("visibility_seconds"), "{said}");
}
