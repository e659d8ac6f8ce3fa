//! How long one command takes when there is no queue, and how long a wake-up takes.

use crate::Outcome;
use crate::publisher::now_ms;
use crate::up::{Up, role, target};
use pudato_runtime::messaging::local::LocalFabric;
use pudato_runtime::messaging::{
    Consumer, Message, Publisher, QueueConfig, Receive, Subscription, SystemClock, Topology,
};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

/// Milliseconds from each publish call to its row in the registry, at a steady pace. The registry is looked at every half
/// millisecond, which is in the figures.
pub fn paced(per_second: usize, count: usize) -> Outcome<Vec<f64>> {
    let up = Up::start()?;
    let folder = up.data().join("objects/bench");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("small.txt"), "x")?;
    let registry = up.registry()?;
    let folder = up.data().display().to_string();
    let mut publisher = role(&[
        "publisher",
        &folder,
        "head",
        &count.to_string(),
        &per_second.to_string(),
    ])?
    .stdout(Stdio::piped())
    .spawn()?;
    let printed = publisher.stdout.take().ok_or("no output")?;
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(printed).lines().map_while(Result::ok);
        lines
            .filter_map(|line| {
                let (n, at) = line.split_once(' ')?;
                Some((n.parse().ok()?, at.parse().ok()?))
            })
            .collect::<HashMap<usize, f64>>()
    });
    let mut seen: HashMap<usize, f64> = HashMap::new();
    let mut last = 0;
    let mut statement =
        registry.prepare("SELECT id, step_id FROM step WHERE id > ? AND status = 'success'")?;
    while seen.len() < count {
        let mut rows = statement.query([last])?;
        let now_ms = now_ms();
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            let step: String = row.get(1)?;
            if let Some(n) = step.rsplit('-').next().and_then(|n| n.parse().ok()) {
                seen.insert(n, now_ms);
            }
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    publisher.wait()?;
    let sent = reader.join().map_err(|_| "the reader panicked")?;
    Ok(seen
        .iter()
        .filter_map(|(n, at)| Some(at - sent.get(n)?))
        .collect())
}

const TOPIC: &str = "wake-topic";
const QUEUE: &str = "wake-queue";

async fn fabric(folder: &Path) -> Outcome<LocalFabric> {
    let fabric = LocalFabric::open(folder, Arc::new(SystemClock))?;
    let topology = Topology {
        topics: vec![TOPIC.into()],
        queues: vec![QueueConfig::new(QUEUE)],
        subscriptions: vec![Subscription::new(TOPIC, QUEUE)],
    };
    fabric.declare(topology).await?;
    Ok(fabric)
}

/// Milliseconds from a publish call in this process to the end of a receive that waited in another.
pub fn wakes(count: usize) -> Outcome<Vec<f64>> {
    let folder = tempfile::tempdir_in(target()?)?;
    let path = folder.path().join("data");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let fabric = fabric(&path).await?;
        let path = path.display().to_string();
        let mut waiter = role(&["waiter", &path, &count.to_string()])?
            .stdout(Stdio::piped())
            .spawn()?;
        let printed = waiter.stdout.take().ok_or("no output")?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        for _ in 0..count {
            let message = Message {
                body: format!("{{\"sent_ms\":{}}}", now_ms()),
                attributes: BTreeMap::new(),
            };
            for entry in fabric.publish(TOPIC, vec![message]).await? {
                entry?;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let lines = BufReader::new(printed).lines().map_while(Result::ok);
        let waits = lines.filter_map(|line| line.parse().ok()).collect();
        waiter.wait()?;
        Ok(waits)
    })
}

/// The process that waits: prints how long each message took.
pub fn waiter(folder: &str, count: &str) -> Outcome<()> {
    let count: usize = count.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let fabric = fabric(Path::new(folder)).await?;
        let consumer = fabric.consumer(QUEUE).await?;
        let receive = Receive {
            max: 10,
            wait: Duration::from_secs(20),
        };
        let mut seen = 0;
        while seen < count {
            let received = consumer.receive(receive).await?;
            let now_ms = now_ms();
            let mut leases = Vec::new();
            for delivery in received {
                let body: serde_json::Value = serde_json::from_slice(&delivery.body)?;
                println!("{}", now_ms - body["sent_ms"].as_f64().ok_or("no time")?);
                leases.push(delivery.lease);
                seen += 1;
            }
            for outcome in consumer.delete(leases).await {
                outcome?;
            }
        }
        Ok(())
    })
}
