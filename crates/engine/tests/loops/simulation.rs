//! A seeded simulation: whatever goes wrong, every accepted command ends in exactly one place.
//!
//! Two workers and the results consumer run on the fabric in memory and a clock that the simulation moves. Workers crash while they handle
//! commands, calls fail before or after their effect, messages arrive twice and in another order, handlers fail, hang and panic. A failing
//! seed is in the message; `SIMULATION_SEED=n` runs it alone.

use crate::support::{World, settle_down};
use pudato_engine::{CancellationToken, Jitter};
use pudato_messaging::Operations;
use pudato_protocol::{Command, Object, Result as Reply, Status, decode_claim};
use pudato_registry::{RegistryStore, StepStatus};
use std::sync::Arc;

const SEEDS: u64 = 100;
const COMMANDS: usize = 12;

#[test]
fn every_accepted_command_ends_in_exactly_one_place() {
    let seeds = match std::env::var("SIMULATION_SEED") {
        Ok(seed) => vec![seed.parse().expect("SIMULATION_SEED is a number")],
        Err(_) => (0..SEEDS).collect(),
    };
    let (mut answered, mut dead) = (0, 0);
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let ended = runtime.block_on(simulate(seed));
        answered += ended.0;
        dead += ended.1;
    }
    eprintln!("{answered} answered, {dead} dead-lettered");
    // A simulation in which nothing fails, or everything fails, would prove little.
    if std::env::var_os("SIMULATION_SEED").is_none() {
        assert!(
            answered > 500 && dead >= 10,
            "{answered} answered, {dead} dead-lettered"
        );
    }
}

#[test]
fn a_seed_repeats_its_run_exactly() {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let runs = async { [simulate(3).await, simulate(4).await, simulate(5).await] };
        runtime.block_on(runs)
    };
    assert_eq!(run(), run());
}

async fn simulate(seed: u64) -> (usize, usize) {
    let jitter = Arc::new(Jitter::seeded(seed));
    let world = World::new(seed, Arc::clone(&jitter)).await;
    let drain = CancellationToken::new();
    let mut workers = [world.worker(0, &drain).await, world.worker(1, &drain).await];
    let consumer = world.results_consumer(&drain).await;
    let mut accepted = Vec::new();
    let mut crashes = 0;
    for round in 0..400 {
        if accepted.len() < COMMANDS && jitter.up_to(3) == 0 {
            let command = command(accepted.len());
            if world.publish(&command).await {
                accepted.push(command);
            }
        }
        settle_down().await;
        if crashes < 6 && jitter.up_to(25) == 0 {
            let n = usize::from(jitter.up_to(1) == 1);
            workers[n].crash();
            workers[n] = world.worker(round + 2, &drain).await;
            crashes += 1;
        }
        for command in &accepted {
            world.assert_somewhere(seed, command).await;
        }
        world.advance_up_to_ms(4_000);
    }
    world.stop_faults();
    for _ in 0..600 {
        settle_down().await;
        world.advance_up_to_ms(30_000);
        if world.is_quiet().await {
            break;
        }
    }
    drain.cancel();
    settle_down().await;
    let mut ended = (0, 0);
    for command in &accepted {
        match place(seed, &world, command).await {
            Place::Answered => ended.0 += 1,
            Place::Dead => ended.1 += 1,
        }
    }
    for worker in &mut workers {
        worker.crash();
    }
    drop(consumer);
    ended
}

enum Place {
    Answered,
    Dead,
}

/// Checks where a command ended: answered and recorded, or in the dead-letter queue with its sender notified.
async fn place(seed: u64, world: &World, command: &Command) -> Place {
    let id = command.correlation_id.as_str();
    let left = world
        .fabric
        .find("correlation_id", id)
        .await
        .expect("in memory");
    let queues: Vec<&str> = left.iter().map(|stored| stored.queue.as_str()).collect();
    let dead = queues.contains(&"pudato-test-dlq");
    assert!(
        queues.iter().all(|queue| *queue == "pudato-test-dlq"),
        "seed {seed}: {id} is left on {queues:?}"
    );
    let step_id = command.step_id.as_deref().expect("a step");
    let step = world.registry.get_step(step_id).await.expect("in memory");
    let step = step.unwrap_or_else(|| panic!("seed {seed}: {id} was not answered"));
    assert!(
        step.status.is_terminal(),
        "seed {seed}: {id} is {:?}",
        step.status
    );
    let results = world.registry.results_of(id).await.expect("in memory");
    let last = results
        .iter()
        .filter_map(|stored| decode_claim::<Reply>(stored.body.as_bytes()).ok());
    let statuses: Vec<Status> = last.map(|result| result.status).collect();
    assert!(!statuses.is_empty(), "seed {seed}: {id} has no Result");
    if dead {
        // A copy of the command may have been answered before, since it may arrive twice.
        let told = statuses.contains(&Status::Error);
        assert!(
            told,
            "seed {seed}: the sender of {id} was not notified that it was given up"
        );
        return Place::Dead;
    }
    let is_success = statuses.contains(&Status::Success);
    assert!(
        is_success || step.status == StepStatus::Failed,
        "seed {seed}: {id}: {statuses:?}"
    );
    Place::Answered
}

fn command(n: usize) -> Command {
    let mut payload = Object::new();
    payload.insert("n".into(), n.into());
    let action = if n.is_multiple_of(2) { "read" } else { "once" };
    let mut command = Command::new("test", action, payload);
    command.correlation_id = format!("request-{n}");
    command.job_id = Some("job-1".into());
    command.step_id = Some(format!("step-{n}"));
    command
}
