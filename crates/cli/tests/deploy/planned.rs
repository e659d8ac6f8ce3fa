//! The configuration for AWS itself is well-formed, valid, and can be planned; a configuration that cannot work is refused before anything
//! is created.

use crate::deployed::Deployed;
use crate::terraform::{Terraform, WORKER, sentence, variables};
use std::process::{Command, Output};

const ENVIRONMENTS: [&str; 3] = ["local", "aws", WORKER];

/// Plans `environments/aws` with the values of its example.
fn plan(terraform: &Terraform, deployed: &Deployed, variables: &[&str]) -> Output {
    let mut plan = terraform.command("aws");
    plan.args(["plan", "-input=false", "-no-color", "-refresh=false"]);
    plan.arg("-var-file=terraform.tfvars.example");
    // The VPC of the example does not exist; the network of this one is looked up.
    let vpc = deployed.script("vpc.py", &[]);
    plan.args(["-var", &format!("vpc_id={}", vpc.trim())]);
    for variable in variables {
        plan.args(["-var", variable]);
    }
    // The plan must ask for the caller's identity; nothing is created.
    plan.env("AWS_ENDPOINT_URL", deployed.emulator.url());
    plan.env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test");
    plan.output().expect("terraform runs")
}

#[test]
fn the_configuration_for_aws_is_valid_and_can_be_planned() {
    let Some(terraform) = Terraform::new(&ENVIRONMENTS) else {
        return;
    };
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
    for environment in ENVIRONMENTS {
        terraform.ok(environment, &["validate"], &[]);
    }
    let packages = &variables(&deployed, "pudato", "")[3];
    let publisher = "publisher_arns=[\"arn:aws:iam::000000000000:role/publisher\"]";
    let workers = ["query_worker=true", "transform_worker=true"];
    for more in [
        ["encryption=sqs", publisher],
        ["encryption=kms", publisher],
        workers,
    ] {
        let all: Vec<&str> = [packages.as_str()].into_iter().chain(more).collect();
        let output = plan(&terraform, &deployed, &all);
        let said = sentence(&output.stderr);
        assert!(output.status.success(), "plan with {more:?}: {said}");
        let planned = String::from_utf8_lossy(&output.stdout);
        assert!(planned.contains("aws_db_instance.registry"), "{planned}");
        // The worker's queue is among its settings as well.
        assert_eq!(
            planned.contains("PUDATO_TRANSFORM_QUEUE_URL"),
            more == workers,
            "{planned}"
        );
    }
}

#[test]
fn a_configuration_that_cannot_work_on_aws_is_refused_with_advice() {
    let Some(terraform) = Terraform::new(&["aws"]) else {
        return;
    };
    let Some(deployed) = Deployed::parts("terraform", "pudato") else {
        return;
    };
    let packages = &variables(&deployed, "pudato", "")[3];
    let cases: [(&[&str], &str); 3] = [
        (
            &[packages, "route_table_ids=[]"],
            "route_table_ids: S3's endpoint needs",
        ),
        (
            &[packages, "database_connections_max=39"],
            "database_connections_max: the functions may have 40",
        ),
        // There are no packages beside this copy.
        (&["architecture=arm64"], "target/packages/arm64/core.zip"),
    ];
    for (more, said) in cases {
        let refused = plan(&terraform, &deployed, more);
        let found = sentence(&refused.stderr);
        assert!(!refused.status.success(), "{more:?} must be refused");
        assert!(found.contains(said), "{more:?}: {found}");
    }
}

#[test]
fn a_visibility_timeout_that_is_too_short_for_its_function_is_refused() {
    let Some(terraform) = Terraform::new(&["local"]) else {
        return;
    };
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
