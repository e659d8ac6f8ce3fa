//! The commands of the program on AWS.

use crate::on_aws::OnAws;

#[test]
fn a_topology_is_applied_compared_repaired_and_removed() {
    let Some(aws) = OnAws::new("a_topology_is_applied", "60") else {
        return;
    };
    let pudato = &aws.installation;
    assert_eq!(pudato.ok(&["topology", "diff"]).trim(), "no differences");
    let again = pudato.run(&["topology", "apply"]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(said.contains("nothing was changed"), "{said}");
    // Somebody changes a few things by hand.
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
fn all_missing_settings_are_named_at_once_and_nothing_starts() {
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

#[test]
fn the_doctor_sends_a_test_message_through_every_topic_and_names_each_problem() {
    let Some(aws) = OnAws::new("the_doctor", "60") else {
        return;
    };
    let pudato = &aws.installation;
    let mut up = pudato.serve(&["up"]);
    aws.wait("pudato up", || pudato.data().join("up.lock").exists());
    assert_eq!(pudato.ok(&["doctor"]).trim(), "no problems found");
    // A subscription is lost, and somebody turns encryption off.
    let topic = "arn:aws:sns:us-east-1:000000000000:pudato-storage-commands";
    let listed = aws.aws(&[
        "sns",
        "list-subscriptions-by-topic",
        "--topic-arn",
        topic,
        "--query",
        "Subscriptions[0].SubscriptionArn",
        "--output",
        "text",
    ]);
    aws.aws(&["sns", "unsubscribe", "--subscription-arn", listed.trim()]);
    let url = format!("{}/000000000000/pudato-results-queue", aws.emulator.url());
    aws.aws(&[
        "sqs",
        "set-queue-attributes",
        "--queue-url",
        &url,
        "--attributes",
        "SqsManagedSseEnabled=false",
    ]);
    let found = pudato.run(&["doctor"]);
    assert_eq!(found.status.code(), Some(1));
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    for line in [
        "- subscription of pudato-storage-queue to pudato-storage-commands: missing",
        "- queue pudato-results-queue: SqsManagedSseEnabled: expected true, found false",
        "- topic pudato-storage-commands: its test message was not answered",
    ] {
        assert!(found.contains(line), "{found}");
    }
    assert!(!found.contains("topic pudato-query-commands"), "{found}");
    up.signal("-TERM");
    assert_eq!(up.ended(), Some(0));
    // The last polls of the worker still wait at the emulator, and would receive the message although the worker has ended.
    aws.proxy.wait_for_none("SQS ReceiveMessage");
    pudato.ok(&["publish", "query", "execute_sql", "sql=SELECT 1"]);
    let found = pudato.run(&["doctor"]);
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    for line in [
        "- pudato-query-queue: no reader took a message in 5 s; waiting: 1",
        "- topic pudato-query-commands: its test message was not answered",
        "- topic pudato-events: the registry did not have its test message after",
    ] {
        assert!(found.contains(line), "{found}");
    }
}

#[test]
fn dead_letters_are_listed_filtered_and_replayed() {
    let Some(aws) = OnAws::new("dead_letters_are_listed", "30") else {
        return;
    };
    let pudato = &aws.installation;
    let worker = aws.worker();
    let topic = "arn:aws:sns:us-east-1:000000000000:pudato-storage-commands";
    for (n, kind) in ["one", "one", "other"].into_iter().enumerate() {
        let attributes = format!("kind={{DataType=String,StringValue={kind}}}");
        let message = format!("{{\"type\": {n}");
        aws.aws(&[
            "sns",
            "publish",
            "--topic-arn",
            topic,
            "--message",
            &message,
            "--message-attributes",
            &attributes,
        ]);
    }
    aws.wait("three dead letters", || {
        aws.depth("pudato-storage-dlq") == 3
    });
    drop(worker);
    let list = || -> serde_json::Value {
        let listed = pudato.ok(&["dlq", "list", "pudato-storage-dlq", "--json"]);
        serde_json::from_str(&listed).expect("JSON")
    };
    let listed = list();
    assert_eq!(listed["count"], 3);
    // Browsing is not an attempt, although SQS counts it as a receive.
    for listed in [&listed, &list(), &list()] {
        let dead = listed["dead_letters"].as_array().expect("a list");
        assert!(dead.iter().all(|one| one["attempts"] == 1), "{listed}");
    }
    let reason = listed["dead_letters"][0]["reason"]
        .as_str()
        .unwrap_or_default();
    assert!(reason.contains("expected a JSON object"), "{reason}");
    let replay = |args: &[&str]| {
        pudato.ok(&[&["dlq", "replay", "--all", "pudato-storage-dlq"], args].concat())
    };
    let would = replay(&["--where", "kind=one", "--where", "reason=JSON", "--dry-run"]);
    assert_eq!(would.trim(), "would be replayed: 2");
    assert_eq!(aws.depth("pudato-storage-dlq"), 3);
    assert_eq!(
        replay(&["--where", "kind=one", "--rate", "1"]).trim(),
        "replayed: 2"
    );
    assert_eq!(aws.depth("pudato-storage-queue"), 2);
    // Replays all remaining messages, with SQS's own task.
    assert_eq!(replay(&[]).trim(), "replayed: 1");
    assert_eq!(
        (
            aws.depth("pudato-storage-dlq"),
            aws.depth("pudato-storage-queue")
        ),
        (0, 3)
    );
    // The replayed messages are the ones that were sent, and are handled.
    let _worker = aws.worker();
    aws.wait("three dead letters again", || {
        aws.depth("pudato-storage-dlq") == 3
    });
    let listed = pudato.ok(&["dlq", "list", "pudato-storage-dlq", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let mut kinds: Vec<&str> = (0..3)
        .filter_map(|n| listed["dead_letters"][n]["attributes"]["kind"].as_str())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["one", "one", "other"]);
    let (code, said) = pudato.fails(&["dlq", "replay", "--all", "pudato-storage-queue"]);
    assert!(
        code == 2 && said.contains("is not a dead-letter queue"),
        "{said}"
    );
}

#[test]
fn the_cost_of_a_command_is_counted() {
    let Some(aws) = OnAws::new("the_cost_of_a_command", "30") else {
        return;
    };
    let pudato = &aws.installation;
    let (code, said) = pudato.fails(&["cost"]);
    assert!(
        code == 1 && said.contains("has counted a command on AWS yet"),
        "{said}"
    );
    let (mut worker, mut consumer) = (aws.worker(), aws.consumer());
    let accepted = aws.publish(0, 500, std::time::Duration::ZERO).accepted();
    aws.check(&accepted);
    for serving in [&mut worker, &mut consumer] {
        serving.signal("-TERM");
        assert_eq!(serving.ended(), Some(0));
    }
    let cost: serde_json::Value =
        serde_json::from_str(&pudato.ok(&["cost", "--json"])).expect("JSON");
    assert_eq!(cost["commands"], 500);
    let verbs = cost["verbs"].as_array().expect("verbs");
    let of = |name: &str| {
        let verb = verbs.iter().find(|verb| verb["verb"] == name);
        verb.and_then(|verb| verb["calls_per_1000_commands"].as_f64())
            .unwrap_or_else(|| panic!("{name} in {cost}"))
    };
    // Three messages for a command; ten messages in a call if they are sent together.
    let publishes = of("SNS PublishBatch");
    assert!((300.0..900.0).contains(&publishes), "{publishes}");
    assert!(of("SQS ReceiveMessage") >= 300.0 && of("SQS DeleteMessageBatch") >= 300.0);
    assert!((1_000.0..1_010.0).contains(&of("S3 PutObject")), "{cost}");
    let counted = aws.emulator.requests();
    let receives = counted
        .iter()
        .filter(|line| line.contains("ReceiveMessage"))
        .count() as f64;
    let said = of("SQS ReceiveMessage") / 2.0;
    assert!(
        (said - receives).abs() <= 3.0,
        "{said} said, {receives} logged"
    );
    assert!(pudato.ok(&["cost"]).contains("$ PER 1,000,000 COMMANDS"));
}

#[test]
fn a_missing_queue_ends_its_worker_with_advice() {
    let Some(aws) = OnAws::new("a_queue_that_is_gone", "30") else {
        return;
    };
    let mut worker = aws.worker();
    let mut consumer = aws.consumer();
    let accepted = aws.publish(0, 1, std::time::Duration::ZERO).accepted();
    aws.check(&accepted);
    let url = format!("{}/000000000000/pudato-storage-queue", aws.emulator.url());
    aws.aws(&["sqs", "delete-queue", "--queue-url", &url]);
    // After several attempts, since a new queue takes a minute to be known everywhere.
    assert_eq!(worker.ended(), Some(4));
    let log = aws.installation.logged();
    assert!(
        log.contains("queue pudato-storage-queue")
            && log.contains("create it, or correct its name, ARN or URL"),
        "{log}"
    );
    consumer.signal("-TERM");
    assert_eq!(consumer.ended(), Some(0));
}

#[test]
fn secrets_are_read_and_answers_are_stored_where_the_settings_say() {
    let Some(mut aws) = OnAws::new("secrets_are_read", "30") else {
        return;
    };
    let url = "sqlite:data/registry.db";
    aws.aws(&[
        "secretsmanager",
        "create-secret",
        "--name",
        "pudato/registry",
        "--secret-string",
        url,
    ]);
    aws.aws(&[
        "ssm",
        "put-parameter",
        "--name",
        "/pudato/registry",
        "--type",
        "SecureString",
        "--value",
        url,
    ]);
    aws.aws(&[
        "dynamodb",
        "create-table",
        "--table-name",
        "answers",
        "--billing-mode",
        "PAY_PER_REQUEST",
        "--attribute-definitions",
        "AttributeName=id,AttributeType=S",
        "--key-schema",
        "AttributeName=id,KeyType=HASH",
    ]);
    aws.installation
        .set("PUDATO_IDEMPOTENCY_URL", "dynamodb:answers");
    for (n, reference) in ["secretsmanager:pudato/registry", "ssm:/pudato/registry"]
        .into_iter()
        .enumerate()
    {
        aws.installation.set("REGISTRY_DATABASE_URL", reference);
        let (mut worker, mut consumer) = (aws.worker(), aws.consumer());
        let accepted = aws
            .publish(n * 10, n * 10 + 10, std::time::Duration::ZERO)
            .accepted();
        assert_eq!(accepted.len(), 10);
        aws.check(&accepted);
        for serving in [&mut worker, &mut consumer] {
            serving.signal("-TERM");
            assert_eq!(serving.ended(), Some(0));
        }
    }
    let kept = aws.aws(&[
        "dynamodb",
        "scan",
        "--table-name",
        "answers",
        "--select",
        "COUNT",
        "--query",
        "Count",
    ]);
    assert_eq!(kept.trim(), "20");
    aws.installation
        .set("REGISTRY_DATABASE_URL", "ssm:/pudato/nothing");
    let (code, said) = aws.installation.fails(&["call", "registry", "query_jobs"]);
    assert!(code == 4 && said.contains("ssm:/pudato/nothing"), "{said}");
}

#[test]
fn a_command_to_a_topic_without_subscribers_is_refused_at_once() {
    let Some(aws) = OnAws::new("a_command_that_nobody_hears", "60") else {
        return;
    };
    let pudato = &aws.installation;
    // Without a dbt project, the topology has a topic of transform but no queue.
    for verb in ["call", "publish"] {
        let (code, said) = pudato.fails(&[verb, "transform", "build"]);
        assert!(
            code == 1 && said.contains("topic pudato-transform-commands has no subscriber"),
            "{said}"
        );
        assert!(!said.contains("not lost"), "{said}");
    }
    // A topic with a subscriber whose worker does not run: pudato reports only what it can know.
    let (code, said) = pudato.fails(&[
        "call",
        "query",
        "execute_sql",
        "sql=SELECT 1",
        "--timeout",
        "2",
    ]);
    assert!(
        code == 5 && said.contains("pudato-query-queue has about 1 waiting"),
        "{said}"
    );
    assert!(
        said.contains("no program on this machine is handling it"),
        "{said}"
    );
}
