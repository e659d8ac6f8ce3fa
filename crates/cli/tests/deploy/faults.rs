//! Real Lambdas that are killed, stopped at their timeout, and throttled. They are deployed with `pudato topology apply` and the SDK, so
//! these tests run without Terraform.

use crate::deployed::Deployed;
use std::process::Command;
use std::time::Duration;

const COMMANDS: usize = 60;
/// The timeout of a function. Its messages are redelivered after 6 times as long.
const TIMEOUT_S: u32 = 5;

impl Deployed {
    /// Publishes `COMMANDS` commands that put an object each.
    fn publish_many(&self, from: usize) {
        let topic = "arn:aws:sns:us-east-1:000000000000:pudato-storage-commands";
        let commands: Vec<String> = (from..from + COMMANDS)
            .map(|n| {
                format!(
                    "{{\"type\": \"storage\", \"action\": \"put_object\", \"correlation_id\": \"put-{n}\", \"step_id\": \"step-{n}\", \
                     \"timestamp\": \"2026-01-01T00:00:00Z\", \
                     \"payload\": {{\"container\": \"lake\", \"path\": \"{n}.txt\", \"data\": \"{n}\"}}}}"
                )
            })
            .collect();
        let mut args = vec![topic];
        args.extend(commands.iter().map(String::as_str));
        self.script("publish.py", &args);
    }

    fn put(&self) -> usize {
        self.results("correlation_id LIKE 'put-%'")
    }

    /// Checks that every command was answered once, and that none was given up.
    fn check_puts(&self, count: usize) {
        self.wait("every Result", || {
            let sql = "SELECT COUNT(DISTINCT correlation_id) FROM pudato.result WHERE correlation_id LIKE 'put-%'";
            self.sql(sql).trim() == count.to_string()
        });
        assert_eq!(self.put(), count, "a Result twice");
        assert_eq!(
            self.results(
                "correlation_id LIKE 'put-%' AND body NOT LIKE '{\"status\":\"success\"%'"
            ),
            0
        );
        for n in 0..count {
            let object = self.emulator.object("pudato-lake", &format!("{n}.txt"));
            assert_eq!(object.as_deref(), Ok(n.to_string().as_str()));
        }
        for queue in ["pudato-storage-dlq", "pudato-results-dlq"] {
            let listed = self.installation.ok(&["dlq", "list", queue, "--json"]);
            assert!(!listed.contains("message_id"), "{queue}: {listed}");
        }
    }

    /// Sends `signal` to every running function.
    fn signal(&self, signal: &str) -> usize {
        let pids = self.emulator.functions();
        for pid in &pids {
            let _ = Command::new("kill")
                .args([signal, &pid.to_string()])
                .status();
        }
        pids.len()
    }
}

#[test]
fn a_deployment_by_the_sdk_works_as_well() {
    let Some(deployed) = Deployed::by_sdk("what_the_sdk_deploys", 20) else {
        return;
    };
    deployed.check_pipeline();
}

/// The same happens if they use too much memory.
#[test]
fn functions_that_are_killed_lose_nothing_and_repeat_nothing() {
    let Some(deployed) = Deployed::by_sdk("functions_that_are_killed", TIMEOUT_S) else {
        return;
    };
    let mut killed = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| deployed.publish_many(0));
        for _ in 0..200 {
            killed += deployed.signal("-KILL");
            std::thread::sleep(Duration::from_millis(100));
            if deployed.put() == COMMANDS {
                break;
            }
        }
    });
    assert!(killed > 3, "{killed} were killed: {}", deployed.tail());
    deployed.check_puts(COMMANDS);
}

#[test]
fn functions_that_time_out_in_the_middle_of_a_batch_lose_nothing_and_repeat_nothing() {
    let Some(deployed) = Deployed::by_sdk("functions_that_lambda_ends", TIMEOUT_S) else {
        return;
    };
    let mut stopped = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| deployed.publish_many(0));
        for _ in 0..30 {
            // From here on the functions hang, until Lambda's own timeout ends them.
            stopped += deployed.signal("-STOP");
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    assert!(stopped > 0, "none was stopped: {}", deployed.tail());
    deployed.check_puts(COMMANDS);
}

#[test]
fn functions_that_are_throttled_do_their_work_later() {
    let Some(deployed) = Deployed::by_sdk("functions_that_are_throttled", TIMEOUT_S) else {
        return;
    };
    let throttle = |limit: &str| {
        deployed.script("throttle.py", &["pudato-storage", limit]);
    };
    throttle("0");
    deployed.publish_many(0);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(deployed.put(), 0, "nothing runs while it is throttled");
    throttle("none");
    deployed.check_puts(COMMANDS);
}
