//! pudato understands messages of other programs, and they understand pudato's messages.

use crate::on_aws::OnAws;

const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:pudato-storage-commands";

fn command(id: &str, extra: &str) -> String {
    format!(
        "{{\"type\":\"storage\",\"action\":\"put_object\",\"correlation_id\":\"{id}\",\"step_id\":\"{id}\",\
         \"payload\":{{\"container\":\"lake\",\"path\":\"{id}.txt\",\"data\":\"by hand\"{extra}}}}}"
    )
}

fn is_written(aws: &OnAws, id: &str) -> bool {
    let sql = format!("SELECT COUNT(*) FROM step WHERE step_id = '{id}' AND status = 'success'");
    aws.installation.count("registry.db", &sql) == 1
}

#[test]
fn a_handmade_message_is_understood_raw_or_enveloped_and_with_a_key_named_message() {
    let Some(aws) = OnAws::new("a_message_by_hand", "30") else {
        return;
    };
    let _serving = [aws.worker(), aws.consumer()];
    let publish = |id: &str, extra: &str| {
        let message = command(id, extra);
        aws.aws(&[
            "sns",
            "publish",
            "--topic-arn",
            TOPIC,
            "--message",
            &message,
        ]);
        aws.wait(id, || is_written(&aws, id));
    };
    publish("cli-raw", "");
    publish("cli-message-key", ",\"metadata\":{\"Message\":\"mine\"}");
    // A subscription without raw delivery, as the console creates it.
    let listed = aws.aws(&[
        "sns",
        "list-subscriptions-by-topic",
        "--topic-arn",
        TOPIC,
        "--query",
        "Subscriptions[0].SubscriptionArn",
        "--output",
        "text",
    ]);
    aws.aws(&[
        "sns",
        "set-subscription-attributes",
        "--subscription-arn",
        listed.trim(),
        "--attribute-name",
        "RawMessageDelivery",
        "--attribute-value",
        "false",
    ]);
    publish("cli-wrapped", "");
    publish(
        "cli-wrapped-message-key",
        ",\"metadata\":{\"Message\":\"mine\"}",
    );
    // Straight to the queue, without a topic.
    let queue = format!("{}/000000000000/pudato-storage-queue", aws.emulator.url());
    aws.aws(&[
        "sqs",
        "send-message",
        "--queue-url",
        &queue,
        "--message-body",
        &command("cli-sqs", ""),
    ]);
    aws.wait("cli-sqs", || is_written(&aws, "cli-sqs"));
    let difference = aws.installation.fails(&["topology", "diff"]);
    assert_eq!(difference.0, 1, "{}", difference.1);
}

/// The programs of a document in one language.
fn programs<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let rest = document.split("```").skip(1).step_by(2);
    let fenced = rest.filter_map(|fenced| fenced.split_once('\n'));
    fenced
        .filter(|(named, _)| *named == language)
        .map(|(_, program)| program)
        .collect()
}

#[test]
fn the_programs_of_the_docs_publish_and_consume_without_pudato() {
    let Some(aws) = OnAws::new("the_programs_of_the_docs", "30") else {
        return;
    };
    let _serving = [aws.worker(), aws.consumer()];
    let document = include_str!("../../../../docs/messages.md");
    let run = |mut program: std::process::Command, script: &str| {
        let output = program.output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let scripts = programs(document, "sh");
    assert_eq!(scripts.len(), 1, "the AWS CLI");
    for script in scripts {
        let mut shell = aws.tool("sh");
        shell.args(["-ec", script]);
        assert!(run(shell, script).contains("MessageId"));
        aws.wait("the AWS CLI", || is_written(&aws, "from-aws-cli"));
    }
    let event = "SELECT COUNT(*) FROM event WHERE body LIKE '%geocode.addresses_found%'";
    let scripts = programs(document, "python");
    let shown = [
        ("success", "from-boto3"),
        ("", ""),
        ("answered 1", "from-geocode"),
        ("success", "from-extended"),
    ];
    assert_eq!(scripts.len(), shown.len(), "{scripts:?}");
    for (script, (printed, id)) in scripts.into_iter().zip(shown) {
        let mut python = aws.tool("python");
        python.args(["-c", script]);
        let out = run(python, script);
        assert!(out.contains(printed), "{out}");
        aws.wait(id, || match id {
            "" => aws.installation.count("registry.db", event) == 1,
            id => is_written(&aws, id),
        });
    }
    let lineage = aws.installation.ok(&["lineage", "geocoded.csv"]);
    assert!(lineage.contains("objects/addresses.csv"), "{lineage}");
}

#[test]
fn a_result_over_the_limit_is_read_by_the_extended_client_of_aws() {
    let Some(aws) = OnAws::new("a_result_over_the_limit", "30") else {
        return;
    };
    // A separate queue that receives the Results.
    let queue = aws.aws(&[
        "sqs",
        "create-queue",
        "--queue-name",
        "mine",
        "--query",
        "QueueUrl",
        "--output",
        "text",
    ]);
    let results = "arn:aws:sns:us-east-1:000000000000:pudato-results";
    aws.aws(&[
        "sns",
        "subscribe",
        "--topic-arn",
        results,
        "--protocol",
        "sqs",
        "--notification-endpoint",
        "arn:aws:sqs:us-east-1:000000000000:mine",
        "--attributes",
        "RawMessageDelivery=true",
    ]);
    let _serving = [aws.worker(), aws.consumer()];
    let large = aws.installation.folder.path().join("large.txt");
    std::fs::write(&large, "0123456789".repeat(40_000)).expect("written");
    // The command is over the limit of its topic as well.
    let put = "data=@large.txt";
    aws.installation.ok(&[
        "call",
        "storage",
        "put_object",
        "container=lake",
        "path=large.txt",
        put,
    ]);
    let got = aws.installation.ok(&[
        "call",
        "storage",
        "get_object",
        "container=lake",
        "path=large.txt",
    ]);
    assert!(got.len() > 400_000);
    let script = format!(
        "import boto3, sqs_extended_client, json
sqs = boto3.client('sqs')
sqs.large_payload_support = 'pudato-claims'
sizes = []
while len(sizes) < 2:
    for message in sqs.receive_message(QueueUrl='{}', WaitTimeSeconds=5, MessageAttributeNames=['All'])['Messages']:
        result = json.loads(message['Body'])
        sizes.append(len(message['Body']))
print(max(sizes))",
        queue.trim()
    );
    let output = aws.python(&["-c", &script]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let size: usize = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .expect("a number");
    assert!(size > 400_000, "{size}");
}
