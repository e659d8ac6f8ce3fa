//! Reading and writing messages, beside what serde_json needs to look at the same bytes.

use crate::Outcome;
use crate::figures::{Figures, percentile};
use pudato_runtime::protocol::{Command, Event, Message, Result as Reply, decode, encode};
use serde::de::IgnoredAny;
use serde_json::Value;
use std::hint::black_box;
use std::time::Instant;

/// Rounds, of which the median counts; ours and the baseline take turns, so that both see the same machine.
const ROUNDS: usize = 15;
/// How long one side of a round runs.
const ROUND_NS: u128 = 3_000_000;

pub fn measure(figures: &mut Figures) -> Outcome<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/valid.jsonl");
    let (mut decodes, mut encodes) = (Vec::new(), Vec::new());
    figures.note("bytes  scan ns  decode ns  ratio  encode ratio  kind");
    for line in std::fs::read_to_string(path)?.lines() {
        let line: Value = serde_json::from_str(line)?;
        let (kind, form) = (text(&line, "kind")?, text(&line, "form")?);
        let body = text(&line, "body")?;
        let (scan, decode, encode) = match kind {
            "command" => one::<Command>(body)?,
            "result" => one::<Reply>(body)?,
            _ => one::<Event>(body)?,
        };
        figures.note(&format!(
            "{:>5}  {scan:>7.0}  {decode:>9.0}  {:>5.2}  {encode:>12.2}  {kind} {form}",
            body.len(),
            decode / scan
        ));
        decodes.push(decode / scan);
        encodes.push(encode);
    }
    figures.figure(
        "codec.decode_ratio_median",
        percentile(&mut decodes, 0.5),
        "ratio",
    );
    figures.figure(
        "codec.encode_ratio_median",
        percentile(&mut encodes, 0.5),
        "ratio",
    );
    Ok(())
}

fn text<'a>(line: &'a Value, name: &str) -> Outcome<&'a str> {
    Ok(line[name].as_str().ok_or_else(|| format!("no {name}"))?)
}

/// Nanoseconds of a scan, of a decode with every field read, and how many times longer encoding takes than serde_json
/// needs for the same value.
fn one<M: Message>(body: &str) -> Outcome<(f64, f64, f64)> {
    let layers = layers(body);
    let message: M = decode(body.as_bytes())?;
    let value = serde_json::to_value(&message)?;
    let (mut scans, mut decodes, mut encodes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        scans.push(time(|| {
            for layer in &layers {
                let _ = black_box(serde_json::from_str::<IgnoredAny>(black_box(layer)));
            }
        }));
        decodes.push(time(|| {
            let _ = black_box(decode::<M>(black_box(body.as_bytes())));
        }));
        let baseline = time(|| {
            let _ = black_box(serde_json::to_string(black_box(&value)));
        });
        let ours = time(|| {
            black_box(encode(black_box(&message)));
        });
        encodes.push(ours / baseline);
    }
    Ok((
        percentile(&mut scans, 0.5),
        percentile(&mut decodes, 0.5),
        percentile(&mut encodes, 0.5),
    ))
}

/// The texts that a reader must look at: the envelope, and what is inside.
fn layers(body: &str) -> Vec<String> {
    let mut layers = vec![body.to_owned()];
    while let Some(last) = layers.last()
        && let Ok(value) = serde_json::from_str::<Value>(last)
        && value["Type"] == "Notification"
        && value.get("TopicArn").is_some()
        && let Some(message) = value["Message"].as_str()
    {
        layers.push(message.to_owned());
    }
    layers
}

/// Nanoseconds of one call.
fn time(mut call: impl FnMut()) -> f64 {
    let (started, mut calls) = (Instant::now(), 0_u32);
    while started.elapsed().as_nanos() < ROUND_NS {
        for _ in 0..16 {
            call();
        }
        calls += 16;
    }
    started.elapsed().as_nanos() as f64 / f64::from(calls)
}
