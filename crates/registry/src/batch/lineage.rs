//! What a statement says was read and written.

use super::{ADDED, READ, REPLACED, no_nul};
use crate::error::Error;
use pudato_protocol::DataReference;
use serde_json::Value;
use std::collections::HashSet;

/// Operations of an output that leave what was there before (docs/lineage.md). One that changes rows in place names its own table
/// among its inputs and needs no such mark.
const ADDING: [&str; 2] = ["insert", "append"];

/// A dataset that a statement names.
pub(crate) struct Named<'a> {
    /// Where it stands in the locations of the batch.
    pub(crate) location: usize,
    /// [`READ`], [`REPLACED`] or [`ADDED`].
    pub(crate) kind: i64,
    pub(crate) position: i64,
    pub(crate) reference: &'a DataReference,
}

/// What one output was made from.
pub(crate) struct Pair {
    pub(crate) output: usize,
    pub(crate) input: usize,
    /// The step made the input itself.
    pub(crate) is_own: bool,
}

/// The datasets that are read and written, and what each output was made from.
pub(super) fn lineage<'a>(
    inputs: &'a [DataReference],
    outputs: &'a [DataReference],
    place: &mut impl FnMut(&'a str) -> usize,
) -> Result<(Vec<Named<'a>>, Vec<Pair>), Error> {
    let mut datasets = Vec::with_capacity(inputs.len() + outputs.len());
    for (references, is_output) in [(inputs, false), (outputs, true)] {
        for (position, reference) in (0..).zip(references) {
            no_nul("location", &reference.location)?;
            let operation = reference.metadata.get("operation").and_then(Value::as_str);
            let adds = operation.is_some_and(|operation| ADDING.contains(&operation));
            datasets.push(Named {
                location: place(&reference.location),
                kind: match (is_output, adds) {
                    (false, _) => READ,
                    (true, false) => REPLACED,
                    (true, true) => ADDED,
                },
                position,
                reference,
            });
        }
    }
    let read: HashSet<&str> = inputs.iter().map(|input| &*input.location).collect();
    let mut pairs = Vec::new();
    for output in outputs {
        let Some(Value::Array(from)) = output.metadata.get("from") else {
            continue;
        };
        for location in from.iter().filter_map(Value::as_str) {
            no_nul("location", location)?;
            pairs.push(Pair {
                output: place(&output.location),
                input: place(location),
                is_own: !read.contains(location),
            });
        }
    }
    Ok((datasets, pairs))
}
