//! The same as `e2e`, over SNS, SQS and S3 of one emulator, beside what else the same calls could be.
//!
//! The emulator is the slowest part by far: it tops out at some hundred commands a second. So what counts is how much of that is
//! reached, and how many calls a command costs, which on AWS is the bill.

mod calls;
mod ceiling;
mod installation;
mod peer;

use crate::Outcome;
use crate::figures::{Figures, percentile};
use crate::publisher::{content, path};
use calls::Calls;
use installation::Installation;
use std::time::{Duration, Instant};

const COMMANDS: usize = 2_000;
const ROUNDS: usize = 3;
/// How long a queue that nothing comes to is watched.
const IDLE: Duration = Duration::from_secs(600);

pub fn measure(figures: &mut Figures) -> Outcome<()> {
    let installation = Installation::new()?;
    let warm = installation.throughput(100, 1_000_000)?;
    figures.note(&format!("warm-up: {warm:.0} commands/s"));
    // Side by side, three times: the machine is not equally fast at all times.
    let (mut ours, mut ratios, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let before = installation.emulator.requests().len();
        let per_second = installation.throughput(COMMANDS, round * COMMANDS)?;
        let counted = Calls::count(&installation.emulator.requests()[before..]);
        let ceiling = ceiling::per_second(&installation, COMMANDS)?;
        figures.note(&format!(
            "{per_second:.0}/s; the same work without pudato: {ceiling:.0}/s; {counted}"
        ));
        ours.push(per_second);
        ratios.push(per_second / ceiling);
        calls.push(counted.messaging() as f64 / COMMANDS as f64);
    }
    check_objects(&installation)?;
    let ours = percentile(&mut ours, 0.5);
    figures.figure("aws.commands_per_s", ours, "commands/s");
    figures.figure("aws.ceiling_ratio", percentile(&mut ratios, 0.5), "ratio");
    figures.figure(
        "aws.calls_per_command",
        percentile(&mut calls, 0.5),
        "calls",
    );
    match peer::per_second(&installation, COMMANDS) {
        Ok(peer) => {
            figures.note(&format!("boto3, one call per message: {peer:.0}/s"));
            figures.figure("aws.boto3_ratio", ours / peer, "ratio");
        }
        Err(why) => figures.note(&format!("boto3: not measured: {why}")),
    }
    let receives = idle(&installation)?;
    figures.figure("aws.idle_receives_per_hour", receives, "receives");
    Ok(())
}

/// Every object is there and whole.
fn check_objects(installation: &Installation) -> Outcome<()> {
    for n in 0..COMMANDS {
        if installation.object(&path(n))? != content(n) {
            return Err(format!("{} holds other bytes", path(n)).into());
        }
    }
    Ok(())
}

/// Receives of the storage queue in an hour, as its log shows them.
fn idle(installation: &Installation) -> Outcome<f64> {
    let receives = || {
        let requests = installation.emulator.requests();
        let is_receive = |line: &&String| line.contains("ReceiveMessage");
        requests.iter().filter(is_receive).count()
    };
    // What is on its way still is not idle.
    std::thread::sleep(Duration::from_secs(5));
    let (before, started) = (receives(), Instant::now());
    std::thread::sleep(IDLE);
    let hours = started.elapsed().as_secs_f64() / 3_600.0;
    let queues = installation.queues()? as f64;
    Ok((receives() - before) as f64 / hours / queues)
}
