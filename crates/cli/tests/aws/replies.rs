//! Callers that reach topics and queues but not the registry.

use crate::on_aws::OnAws;
use crate::support::Installation;
use serde_json::Value;

/// A caller elsewhere: it knows the topics and the buckets, and its settings name a registry that cannot be reached.
fn caller(aws: &OnAws) -> Installation {
    let mut caller = Installation::new();
    for (name, value) in [
        ("AWS_ENDPOINT_URL", aws.proxy.url().as_str()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("PUDATO_REPLIES", "queue"),
        ("REGISTRY_DATABASE_URL", "secretsmanager:of-somebody-else"),
    ] {
        caller.set(name, value);
    }
    let settings = std::fs::read_to_string(aws.installation.folder.path().join("pudato.toml"));
    let settings = settings.expect("settings");
    let is_shared = |line: &&str| !line.starts_with("registry_database_url");
    let settings: Vec<&str> = settings.lines().filter(is_shared).collect();
    let file = caller.folder.path().join("pudato.toml");
    std::fs::write(file, settings.join("\n")).expect("written");
    caller
}

/// The names of the reply queues that exist.
fn queues(aws: &OnAws) -> Vec<String> {
    let answer = aws
        .emulator
        .sqs("ListQueues", "{\"QueueNamePrefix\":\"pudato-reply-\"}");
    let answer: Value = serde_json::from_str(&answer.expect("an answer")).expect("JSON");
    let urls = answer["QueueUrls"].as_array().into_iter().flatten();
    let names = urls.filter_map(|url| url.as_str()?.rsplit('/').next());
    names.map(str::to_owned).collect()
}

/// The number of reply queues that are still subscribed to the Results.
fn subscriptions(aws: &OnAws) -> usize {
    let heard = aws.aws(&[
        "sns",
        "list-subscriptions-by-topic",
        "--topic-arn",
        "arn:aws:sns:us-east-1:000000000000:pudato-results",
        "--query",
        "Subscriptions[].Endpoint",
        "--output",
        "text",
    ]);
    heard.matches("-reply-").count()
}

#[test]
fn a_caller_without_the_registry_gets_its_result_on_a_queue_of_its_own_and_leaves_nothing_behind() {
    let Some(aws) = OnAws::new("a_caller_without_the_registry", "60") else {
        return;
    };
    let mut up = aws.installation.serve(&["up"]);
    aws.wait("pudato up", || {
        aws.installation.data().join("up.lock").exists()
    });
    let caller = caller(&aws);
    // A reply queue whose caller was killed a day ago, and one whose caller may still wait.
    for second in ["1000000000", "4000000000"] {
        let name = format!("pudato-reply-{second}-0a1b2c3d");
        aws.aws(&["sqs", "create-queue", "--queue-name", &name]);
        let endpoint = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
        let topic = "arn:aws:sns:us-east-1:000000000000:pudato-results";
        let args = ["--topic-arn", topic, "--protocol", "sqs"];
        let endpoint = ["--notification-endpoint", &endpoint];
        aws.aws(&[&["sns", "subscribe"], &args[..], &endpoint[..]].concat());
    }
    let found = aws.installation.run(&["topology", "diff"]);
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(
        found.contains("- queue pudato-reply-1000000000-0a1b2c3d: it belongs to nothing here")
            && !found.contains("pudato-reply-4000000000"),
        "{found}"
    );

    // Over the limit of a message: the command and the answer are claims.
    let text = "every number has a source\n".repeat(50_000);
    std::fs::write(caller.folder.path().join("a.txt"), &text).expect("written");
    let put = ["container=lake", "path=a.txt", "data=@a.txt"];
    caller.ok(&[&["call", "storage", "put_object"], &put[..]].concat());
    let got = caller.ok(&[
        "call",
        "storage",
        "get_object",
        "container=lake",
        "path=a.txt",
    ]);
    let got: Value = serde_json::from_str(&got).expect("JSON");
    assert_eq!(got["data"].as_str(), Some(text.as_str()));
    let (code, said) = caller.fails(&["call", "storage", "fly", "--correlation-id", "no \"such\""]);
    assert!(code == 1 && said.contains("fly"), "{code}: {said}");

    assert_eq!(queues(&aws), ["pudato-reply-4000000000-0a1b2c3d"]);
    assert_eq!(subscriptions(&aws), 1, "of the one that may be in use");
    // A command that reads the registry itself needs it, and says so.
    let (code, said) = caller.fails(&["lineage", "a.txt"]);
    assert!(
        code == 4 && said.contains("secretsmanager:of-somebody-else"),
        "{said}"
    );
    up.signal("-TERM");
    assert_eq!(up.ended(), Some(0));
}

#[test]
fn a_caller_that_is_interrupted_or_times_out_leaves_no_queue_behind() {
    let Some(aws) = OnAws::new("a_caller_that_is_interrupted", "60") else {
        return;
    };
    let caller = caller(&aws);
    let call = ["call", "storage", "list_objects", "container=lake"];
    let (code, said) = caller.fails(&[&call[..], &["--timeout", "1"]].concat());
    assert!(code == 5 && said.contains("pudato trace"), "{code}: {said}");
    assert_eq!(queues(&aws), [""; 0]);

    let mut calling = caller.serve(&call);
    aws.wait("its command", || aws.depth("pudato-storage-queue") == 2);
    assert_eq!(queues(&aws).len(), 1);
    calling.signal("-INT");
    assert_eq!(calling.ended(), Some(130));
    assert_eq!(queues(&aws), [""; 0]);
    assert_eq!(subscriptions(&aws), 0);
}
