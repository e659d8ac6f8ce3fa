//! A topic or queue that takes less than it states, or than the one before it: the message becomes a claim, and nothing is refused.

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_sqs::types::QueueAttributeName;
use pudato_messaging::aws::{AwsFabric, Places};
use pudato_messaging::{
    ClaimStore, Consumer, Error, ErrorKind, Limits, Message, Operations, Publisher, QueueConfig,
    Receive, Subscription, SystemClock, Topology,
};
use pudato_testing::{Emulator, skipped};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Claims in memory.
#[derive(Default)]
struct Claims(Mutex<Vec<Vec<u8>>>);

impl Claims {
    fn count(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }
}

#[async_trait]
impl ClaimStore for Claims {
    fn container(&self) -> &str {
        "claims"
    }

    async fn put(&self, _key: &str, bytes: Vec<u8>) -> Result<(), Error> {
        self.0.lock().expect("no panic").push(bytes);
        Ok(())
    }

    async fn get(&self, _key: &str) -> Result<Vec<u8>, Error> {
        Err(Error::new(ErrorKind::NotFound, "nobody asks"))
    }
}

struct Bench {
    fabric: AwsFabric,
    claims: Arc<Claims>,
    config: SdkConfig,
}

/// An account with the topic `commands`, which states a limit of 1 MiB, and its queue `work`.
async fn bench(account: &str) -> Option<Bench> {
    let emulator = match Emulator::shared() {
        Ok(emulator) => emulator,
        Err(why) => {
            skipped("sizes_aws", &why);
            return None;
        }
    };
    let credentials = Credentials::new(account, "test", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(emulator.url())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let claims = Arc::new(Claims::default());
    let fabric = AwsFabric::new(&config, Places::default(), Arc::new(SystemClock));
    let fabric = fabric.with_claims(Arc::clone(&claims) as Arc<dyn ClaimStore>);
    fabric.declare(topology()).await.expect("declared");
    let sns = aws_sdk_sns::Client::new(&config);
    let set = sns
        .set_topic_attributes()
        .topic_arn(fabric.topic_arn("commands").expect("declared"))
        .attribute_name("MaximumMessageSize")
        .attribute_value("1048576");
    set.send().await.expect("set");
    Some(Bench {
        fabric,
        claims,
        config,
    })
}

fn topology() -> Topology {
    Topology {
        topics: vec!["commands".into()],
        queues: vec![
            QueueConfig::new("work").redrive(3, "dead"),
            QueueConfig::new("dead"),
        ],
        subscriptions: vec![Subscription::new("commands", "work")],
    }
}

fn message(bytes: usize) -> Message {
    Message {
        body: format!("\"{}\"", "x".repeat(bytes)),
        attributes: Default::default(),
    }
}

async fn published(bench: &Bench, messages: Vec<Message>) {
    let sent = bench.fabric.publisher().publish("commands", messages).await;
    for one in sent.expect("sent") {
        one.expect("accepted");
    }
}

async fn bytes_max(bench: &Bench) -> usize {
    let limits: Limits = bench
        .fabric
        .publisher()
        .limits("commands")
        .await
        .expect("known");
    limits.message_bytes_max
}

/// ministack 1.5.33 refuses messages over 256 KiB, whatever the topic states.
#[tokio::test]
async fn a_topic_that_takes_less_than_it_says_gets_a_claim_and_is_believed_no_more() {
    let Some(bench) = bench("200000000001").await else {
        return;
    };
    assert_eq!(bytes_max(&bench).await, 1_048_576);
    published(&bench, vec![message(10), message(300_000)]).await;
    assert_eq!(bench.claims.count(), 1);
    assert_eq!(bytes_max(&bench).await, 262_144);
    // A message that was prepared for the stated limit is still accepted.
    published(&bench, vec![message(400_000)]).await;
    assert_eq!(bench.claims.count(), 2);
    let consumer = bench.fabric.consumer("work").await.expect("declared");
    let mut bodies = Vec::new();
    while bodies.len() < 3 {
        let receive = Receive {
            max: 10,
            wait: Duration::from_secs(20),
        };
        let received = consumer.receive(receive).await.expect("received");
        assert!(!received.is_empty(), "{} of 3 arrived", bodies.len());
        bodies.extend(received.into_iter().map(|one| one.body));
    }
    let pointer = |body: &&Vec<u8>| String::from_utf8_lossy(body).contains("PayloadS3Pointer");
    assert_eq!(bodies.iter().filter(pointer).count(), 2);
}

#[tokio::test]
async fn a_dead_letter_queue_that_takes_less_than_its_queue_gets_a_claim() {
    let Some(bench) = bench("200000000003").await else {
        return;
    };
    let sqs = aws_sdk_sqs::Client::new(&bench.config);
    let url = bench.fabric.queue_url("dead").await.expect("declared");
    let set = sqs.set_queue_attributes().queue_url(url);
    let set = set.attributes(QueueAttributeName::MaximumMessageSize, "2048");
    set.send().await.expect("set");
    published(&bench, vec![message(3_000)]).await;
    let consumer = bench.fabric.consumer("work").await.expect("declared");
    let consumer = consumer.with_claims(Arc::clone(&bench.claims) as Arc<dyn ClaimStore>);
    let receive = Receive {
        max: 1,
        wait: Duration::from_secs(20),
    };
    let lease = consumer
        .receive(receive)
        .await
        .expect("received")
        .remove(0)
        .lease;
    let given_up = consumer.dead_letter(lease, "why", Vec::new()).await;
    given_up.expect("given up");
    assert_eq!(bench.claims.count(), 1);
    let counts = bench.fabric.counts("dead").await.expect("counted");
    assert_eq!(counts.visible, 1);
}

#[tokio::test]
async fn a_queue_that_takes_less_than_its_topic_is_named() {
    let Some(bench) = bench("200000000004").await else {
        return;
    };
    let before = bench
        .fabric
        .diff(&topology(), "pudato")
        .await
        .expect("compared");
    assert_eq!(before, [], "queues take 1 MiB");
    let sqs = aws_sdk_sqs::Client::new(&bench.config);
    let url = bench.fabric.queue_url("work").await.expect("declared");
    let set = sqs.set_queue_attributes().queue_url(url);
    let set = set.attributes(QueueAttributeName::MaximumMessageSize, "262144");
    set.send().await.expect("set");
    let found = bench
        .fabric
        .diff(&topology(), "pudato")
        .await
        .expect("compared");
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["queue work: MaximumMessageSize: expected 1048576, found 262144"]
    );
}
