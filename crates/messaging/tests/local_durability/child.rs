//! Child processes: how they start, and what they do in each role.

use super::fabric::{message, name, open, take};
use pudato_messaging::local::LocalFabric;
use pudato_messaging::{Consumer, Publisher, Receive, Settlement};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const ROLE: &str = "PUDATO_TEST_ROLE";
const FOLDER: &str = "PUDATO_TEST_FOLDER";
/// Distinguishes the child's output from that of the test harness.
const SAYS: &str = "child says: ";
/// A child that prints nothing for this long is considered hanging.
pub const HANGS: Duration = Duration::from_secs(600);

/// A child process. Dropping it kills it.
pub struct Child {
    process: std::process::Child,
    said: mpsc::Receiver<String>,
}

impl Child {
    /// Starts a child in `role` on `folder`, and waits until it is ready.
    pub fn start(role: &str, folder: &Path) -> Self {
        let child = Self::launch(role, folder);
        assert_eq!(child.hear(), "ready");
        child
    }

    /// As `start`, without waiting.
    pub fn launch(role: &str, folder: &Path) -> Self {
        // Writes beyond the file size limit must fail, as on a full disk, instead of ending the process.
        let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
        let mut process = Command::new("sh")
            .args(["-c", script])
            .arg(std::env::current_exe().expect("this binary"))
            .args([
                "child::plays_its_role",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .args(["--test-threads", "1"])
            .env(ROLE, role)
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let output = process.stdout.take().expect("piped");
        let (tell, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some((_, text)) = line.split_once(SAYS) {
                    // The receiver is gone and needs no more output.
                    let _ = tell.send(text.to_owned());
                }
            }
        });
        Self { process, said }
    }

    /// The next line of its output.
    pub fn hear(&self) -> String {
        self.said
            .recv_timeout(HANGS)
            .expect("the child says something")
    }

    /// The output of the next moment.
    pub fn heard(&self) -> Vec<String> {
        let first = self.said.recv_timeout(Duration::from_millis(20));
        first.into_iter().chain(self.said.try_iter()).collect()
    }

    /// Sends an order, and returns the answer.
    pub fn order(&mut self, order: &str) -> String {
        let input = self.process.stdin.as_mut().expect("piped");
        writeln!(input, "{order}").expect("the child listens");
        self.hear()
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it with SIGKILL, and returns its output.
    pub fn kill(mut self) -> Vec<String> {
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
        self.said.iter().collect()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The child may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is run by the other tests, as a child of theirs"]
async fn plays_its_role() {
    let (Ok(role), Ok(folder)) = (std::env::var(ROLE), std::env::var(FOLDER)) else {
        return;
    };
    let fabric = open(Path::new(&folder)).await;
    say("ready");
    match role.as_str() {
        "publish" => publish(&fabric).await,
        "settle" => settle(&fabric).await,
        "receive" => receive(&fabric).await,
        "obey" => obey(&fabric).await,
        role => panic!("unknown role {role}"),
    }
}

fn say(text: &str) {
    let mut output = std::io::stdout().lock();
    // Without its parent, the child is of no use.
    writeln!(output, "{SAYS}{text}").expect("the parent listens");
    output.flush().expect("the parent listens");
}

/// Publishes to three queues and prints each accepted name, until it is killed.
async fn publish(fabric: &LocalFabric) {
    for number in 0.. {
        let name = format!("{number}");
        let sent = fabric.publish("work", vec![message(&name)]).await;
        let entries = sent.expect("accepted");
        assert!(entries.iter().all(Result::is_ok));
        say(&name);
    }
}

/// Turns commands into results, two at a time, until it is killed.
async fn settle(fabric: &LocalFabric) {
    let consumer = fabric.consumer("commands").await.expect("declared");
    loop {
        let deliveries = take(&consumer, 2).await;
        let settlements = deliveries.into_iter().map(|delivery| {
            let result = message(&name(&delivery.body));
            Settlement {
                publish: vec![("results".into(), result)],
                ..Settlement::of(delivery.lease)
            }
        });
        let settled = consumer.settle(settlements.collect()).await;
        assert!(settled.iter().all(Result::is_ok), "{settled:?}");
        say("settled");
    }
}

/// Receives messages and keeps them, with writes in between, until it is killed.
async fn receive(fabric: &LocalFabric) {
    let consumer = fabric.consumer("commands").await.expect("declared");
    let wait = Duration::from_secs(20);
    loop {
        match consumer.receive(Receive { max: 2, wait }).await {
            Ok(deliveries) => deliveries.iter().for_each(|it| say(&name(&it.body))),
            Err(error) => say(&format!("error: {error}")),
        }
        if let Err(error) = fabric.publish("results", vec![message("busy")]).await {
            say(&format!("error: {error}"));
        }
    }
}

/// Carries out orders, one per line.
async fn obey(fabric: &LocalFabric) {
    let consumer = fabric.consumer("commands").await.expect("declared");
    for line in std::io::stdin().lines() {
        let line = line.expect("the parent speaks");
        let outcome = match line.split_once(' ') {
            Some(("publish", name)) => {
                let sent = fabric.publish("commands", vec![message(name)]).await;
                sent.map(|_| "published".to_owned())
            }
            Some(("give_up", reason)) => {
                let delivery = take(&consumer, 1).await.remove(0);
                let given_up = consumer
                    .dead_letter(delivery.lease, reason, Vec::new())
                    .await;
                given_up.map(|()| "given up".to_owned())
            }
            Some(("receive", _)) => {
                let wait = Duration::ZERO;
                let received = consumer.receive(Receive { max: 1, wait }).await;
                received.map(|mut deliveries| {
                    let delivery = deliveries.remove(0);
                    format!("{} {:?}", name(&delivery.body), delivery.attempt)
                })
            }
            Some(("finish", _)) => {
                let leases = take(&consumer, 10).await.into_iter().map(|it| it.lease);
                let deleted = consumer.delete(leases.collect()).await;
                let good = deleted.iter().filter(|entry| entry.is_ok()).count();
                Ok(format!("finished {good} of {}", deleted.len()))
            }
            _ => panic!("unknown order {line:?}"),
        };
        match outcome {
            Ok(done) => say(&done),
            Err(error) => say(&format!("error {:?}: {error}", error.kind)),
        }
    }
}
