//! The datasets that a statement reports as read or written.

use super::{ADDED, READ, REPLACED, no_nul};
use crate::error::Error;
use pudato_protocol::{DataReference, canonical};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;

/// Operations of an output that leave nothing of the old contents (docs/lineage.md). `alter` and `rename` keep them, but report what they
/// changed among their inputs. Any other word keeps the old contents: `insert`, `merge`, `delete` and so on, and also unknown words,
/// because you can check a graph that shows too much, but a graph that leaves something out looks complete.
const REPLACING: [&str; 7] = [
    "create",
    "overwrite",
    "replace",
    "truncate",
    "drop",
    "alter",
    "rename",
];

/// Whether the output still holds its old contents. An output without an operation was replaced, as a file is.
fn keeps(output: &DataReference) -> bool {
    let Some(operation) = output
        .metadata
        .get("operation")
        .filter(|one| !one.is_null())
    else {
        return false;
    };
    let operation = operation.as_str().unwrap_or_default();
    !REPLACING
        .iter()
        .any(|known| operation.eq_ignore_ascii_case(known))
}

/// A reference from a statement to a dataset.
pub(crate) struct DatasetRef<'a> {
    /// The index into [`Batch::locations`](super::Batch::locations).
    pub(crate) location: usize,
    /// [`READ`], [`REPLACED`] or [`ADDED`].
    pub(crate) kind: i64,
    pub(crate) position: i64,
    pub(crate) reference: &'a DataReference,
}

/// One input of one output.
pub(crate) struct Pair {
    pub(crate) output: usize,
    pub(crate) input: usize,
    /// The step wrote the input itself.
    pub(crate) is_own: bool,
}

/// Collects the datasets that a statement read and wrote, and the inputs of each output.
pub(super) fn lineage<'a>(
    inputs: &'a [DataReference],
    outputs: &'a [DataReference],
    place: &mut impl FnMut(&'a str) -> usize,
) -> Result<(Vec<DatasetRef<'a>>, Vec<Pair>), Error> {
    let mut datasets = Vec::with_capacity(inputs.len() + outputs.len());
    for (references, is_output) in [(inputs, false), (outputs, true)] {
        for (position, reference) in (0..).zip(references) {
            no_nul("location", &reference.location)?;
            datasets.push(DatasetRef {
                location: place(&reference.location),
                kind: match is_output {
                    false => READ,
                    true if keeps(reference) => ADDED,
                    true => REPLACED,
                },
                position,
                reference,
            });
        }
    }
    let read = inputs.iter().map(|input| canonical(&input.location));
    let read: HashSet<Cow<'_, str>> = read.collect();
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
                is_own: !read.contains(&canonical(location)),
            });
        }
    }
    Ok((datasets, pairs))
}
