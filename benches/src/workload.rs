//! Results of a million steps, each with four inputs and four outputs: chains, fan-outs, diamonds, cycles, each of which runs five
//! times, and a hub that every tenth step reads. `check_lineage.py` makes the same by itself; a change here is a change there.

use pudato_runtime::protocol::{DataReference, Object, Result as Reply, Timestamp, encode};
use pudato_runtime::registry::Incoming;
use pudato_runtime::sha256_hex;
use std::sync::Arc;

/// 2026-01-01T00:00:00Z. Step `i` ends half a second after it began, `i` seconds later.
const START_US: i64 = 1_767_225_600_000_000;

/// How often each runs, one run after the other. The more steps there are the more of them there are, so that the same question has
/// an answer of the same size.
const RUNS: u64 = 5;

/// The dataset that every tenth step reads.
pub const HUB: &str = "s3://bench/hub/0";

/// Inputs and outputs of step `i`.
pub fn names(i: u64) -> ([String; 4], [String; 4]) {
    let j = i / 5;
    let each = |name: &dyn Fn(u64) -> String| [0, 1, 2, 3].map(name);
    let (inputs, outputs): ([String; 4], [String; 4]) = match i % 5 {
        // Chains of 50 steps.
        0 => {
            let (chain, place) = (j / 50 / RUNS, j % 50);
            (
                each(&|k| format!("chain/{chain}/{place}/{k}")),
                each(&|k| format!("chain/{chain}/{}/{k}", place + 1)),
            )
        }
        // One step whose outputs twenty others read.
        1 => {
            let (fan, reader) = (j / 21 / RUNS, j % 21);
            let source = each(&|k| format!("fan/{fan}/source/{k}"));
            match reader {
                0 => (each(&|k| format!("fan/{fan}/raw/{k}")), source),
                _ => (source, each(&|k| format!("fan/{fan}/{reader}/{k}"))),
            }
        }
        // One step, two that read it, one that reads both; ten of these one after the other.
        2 => {
            let (block, corner) = (j / 4, j % 4);
            let (group, level) = (block / 10 / RUNS, block % 10);
            let of = |level: u64, corner: u64| {
                each(&|k| format!("diamond/{group}/{level}/{corner}/{k}"))
            };
            let top = of(level, 0);
            let inputs = match corner {
                0 => of(level, 4),
                1 | 2 => top,
                _ => {
                    let (left, right) = (of(level, 1), of(level, 2));
                    let [a, b, ..] = left;
                    let [c, d, ..] = right;
                    [a, b, c, d]
                }
            };
            // The last corner of a level is what the next begins with.
            let outputs = match corner {
                3 => of(level + 1, 4),
                corner => of(level, corner),
            };
            (inputs, outputs)
        }
        // Rings of 8 steps that run again and again.
        3 => {
            let (ring, place) = (j / 8 / RUNS, j % 8);
            (
                each(&|k| format!("ring/{ring}/{place}/{k}")),
                each(&|k| format!("ring/{ring}/{}/{k}", (place + 1) % 8)),
            )
        }
        _ => {
            let mut inputs = each(&|k| format!("hub/in/{}/{k}", j / RUNS));
            if j.is_multiple_of(2) {
                inputs[0] = "hub/0".into();
            }
            (inputs, each(&|k| format!("hub/out/{}/{k}", j / RUNS)))
        }
    };
    let location = |name: String| format!("s3://bench/{name}");
    (inputs.map(location), outputs.map(location))
}

/// The Result of step `i`, which reads and writes what step `like` does. Twenty steps are a job.
fn result(i: u64, like: u64) -> Reply {
    let number = i64::try_from(i).unwrap_or(i64::MAX);
    let (inputs, outputs) = names(like);
    let mut result = Reply::success(format!("request-{i}"), Object::new());
    result.timestamp = Timestamp::from_unix_us(START_US + number * 1_000_000 + 500_000);
    result.duration_ms = 500;
    result.job_id = Some(format!("job-{:012x}", i / 20));
    result.step_id = Some(format!("step-{i:012x}"));
    result.handler = Some("query".into());
    let reference = |location: String| {
        DataReference::new("file", location)
            .with("row_count", i % 1_000)
            .with("size", 4_096)
    };
    result.inputs = inputs.map(reference).into();
    result.outputs = outputs.map(reference).into();
    result
}

/// As it arrives at the results consumer. Steps read and write anew what others did `repeated_after` steps before.
pub fn incoming(i: u64, repeated_after: u64) -> Incoming {
    let result = result(i, i % repeated_after);
    let body = encode(&result);
    Incoming {
        identity: sha256_hex(body.as_bytes()),
        body: body.into(),
        recorded_at: result.timestamp.clone(),
        result: Arc::new(result),
    }
}
