//! Fifty SIGKILLs, at random moments, to the worker and the consumer.

use crate::on_aws::OnAws;
use std::time::Duration;

const ROUNDS: u64 = 50;
const COMMANDS_OF_A_ROUND: usize = 20;

#[test]
fn fifty_kills_lose_nothing_and_do_nothing_twice() {
    let Some(aws) = OnAws::new("fifty_kills", "5") else {
        return;
    };
    // Each kill costs the messages in flight an attempt. Whether one of them is in flight again and again depends on the speed of the
    // machine, so the kills end before the attempts do.
    for name in ["storage", "results", "history"] {
        aws.allow_attempts(name, 4 * ROUNDS);
    }
    let (mut worker, mut consumer) = (aws.worker(), aws.consumer());
    // Twenty commands in every round of about a second and a half.
    let commands = usize::try_from(ROUNDS).expect("few") * COMMANDS_OF_A_ROUND;
    let publishing = aws.publish(0, commands, Duration::from_millis(70));
    let mut random = u64::from(std::process::id());
    eprintln!("seed {random}");
    for round in 0..ROUNDS {
        // Knuth's linear congruential generator.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(1_000 + (random >> 33) % 1_000));
        // Dropping sends SIGKILL.
        if round % 2 == 0 {
            drop(worker);
            worker = aws.worker();
        } else {
            drop(consumer);
            consumer = aws.consumer();
        }
    }
    aws.check(&publishing.accepted());
    drop((worker, consumer));
}
