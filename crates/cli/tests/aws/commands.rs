//! What people do with an installation on AWS.

use crate::on_aws::OnAws;

#[test]
fn a_topology_is_applied_compared_mended_and_removed() {
    let Some(aws) = OnAws::new("a_topology_is_applied", "60") else {
        return;
    };
    let pudato = &aws.installation;
    assert_eq!(
        pudato.ok(&["topology", "diff"]).trim(),
        "everything is as it must be"
    );
    let again = pudato.run(&["topology", "apply"]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(said.contains("everything is as it must be"), "{said}");
    // Somebody changes this and that by hand.
    let url = format!("{}/000000000000/pudato-storage-queue", aws.emulator.url());
    aws.aws(&[
        "sqs",
        "set-queue-attributes",
        "--queue-url",
        &url,
        "--attributes",
        "VisibilityTimeout=7",
    ]);
    let dead = format!("{}/000000000000/pudato-query-dlq", aws.emulator.url());
    aws.aws(&["sqs", "delete-queue", "--queue-url", &dead]);
    aws.aws(&["sqs", "create-queue", "--queue-name", "pudato-old-queue"]);
    let output = pudato.run(&["topology", "diff"]);
    assert_eq!(output.status.code(), Some(1));
    let found = String::from_utf8_lossy(&output.stdout);
    for line in [
        "- queue pudato-storage-queue: VisibilityTimeout: expected 60, found 7",
        "- queue pudato-query-dlq: missing",
        "- queue pudato-old-queue: it belongs to nothing here",
    ] {
        assert!(found.contains(line), "{found}");
    }
    let mended = pudato.run(&["topology", "apply"]);
    let said = String::from_utf8_lossy(&mended.stderr);
    assert!(
        said.contains("changed queue pudato-storage-queue: VisibilityTimeout")
            && said.contains("created queue pudato-query-dlq"),
        "{said}"
    );
    let found: serde_json::Value =
        serde_json::from_slice(&pudato.run(&["topology", "diff", "--json"]).stdout).expect("JSON");
    assert_eq!(found["differences"].as_array().map(Vec::len), Some(1));
    let (code, said) = pudato.fails(&["topology", "destroy"]);
    assert!(
        code == 2 && said.contains("would remove pudato-results"),
        "{said}"
    );
    let removed = pudato.ok(&["topology", "destroy", "--yes"]);
    assert!(
        removed.contains("removed subscription of pudato-results-queue"),
        "{removed}"
    );
    let gone = pudato.ok(&["topology", "destroy", "--yes"]);
    assert_eq!(gone.trim(), "there was nothing to remove");
}

#[test]
fn everything_that_is_missing_is_named_at_once_and_nothing_starts() {
    let Some(aws) = OnAws::new("everything_that_is_missing", "60") else {
        return;
    };
    std::fs::write(aws.installation.folder.path().join("pudato.toml"), "").expect("written");
    let (code, said) = aws.installation.fails(&["runner", "--handler", "storage"]);
    assert_eq!(code, 3);
    assert!(
        said.contains("because AWS_ENDPOINT_URL is set") && said.contains("REGISTRY_DATABASE_URL"),
        "{said}"
    );
    let mut with_registry = crate::support::Installation::new();
    with_registry.set("AWS_ENDPOINT_URL", &aws.proxy.url());
    with_registry.set("AWS_ACCESS_KEY_ID", "test");
    with_registry.set("AWS_SECRET_ACCESS_KEY", "test");
    with_registry.set("AWS_REGION", "us-east-1");
    with_registry.set("REGISTRY_DATABASE_URL", "sqlite:registry.db");
    let (code, said) = with_registry.fails(&["runner", "--handler", "storage"]);
    assert_eq!(code, 3);
    for name in [
        "PUDATO_RESULTS_TOPIC_ARN",
        "PUDATO_EVENTS_TOPIC_ARN",
        "PUDATO_STORAGE_QUEUE_URL",
    ] {
        assert!(said.contains(name), "{said}");
    }
}
