//! The expected lineage, derived from the commands of the honest senders without pudato's code. The rules are those of docs/lineage.md. A
//! sender sends one command after the other, so its commands have one order.

use std::collections::{BTreeSet, HashSet};

/// The inputs and outputs of one step.
#[derive(Debug, Clone, Default)]
pub struct Step {
    pub id: String,
    pub job: String,
    /// The locations of the inputs.
    pub reads: Vec<String>,
    pub writes: Vec<Write>,
}

/// One output of a step.
#[derive(Debug, Clone)]
pub struct Write {
    pub location: String,
    /// Whether the previous contents remain.
    pub adds: bool,
    /// The inputs that the output was made from; if there are none, all inputs of the step.
    pub from: Vec<String>,
    /// The expected number of rows afterwards, if the step can know it.
    pub rows: Option<u64>,
    /// The expected number of inserted, updated or deleted rows, if the output was not rebuilt.
    pub changed: Option<u64>,
}

/// The steps of one sender, in the order in which they ran.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub steps: Vec<Step>,
}

/// An edge from a dataset to a step, or from a step to a dataset.
pub type Edge = (String, String);

impl Model {
    /// Every location that a step read or wrote.
    pub fn datasets(&self) -> BTreeSet<&str> {
        let named = self.steps.iter().flat_map(|step| {
            let writes = step.writes.iter().map(|write| &write.location);
            step.reads.iter().chain(writes)
        });
        named.map(String::as_str).collect()
    }

    /// The steps that wrote a dataset, the latest first.
    pub fn producers(&self, location: &str) -> Vec<&str> {
        self.latest(|step| step.writes.iter().any(|write| write.location == location))
    }

    /// The steps that read it, the latest first.
    pub fn consumers(&self, location: &str) -> Vec<&str> {
        self.latest(|step| step.reads.iter().any(|read| read == location))
    }

    fn latest(&self, is_asked: impl Fn(&Step) -> bool) -> Vec<&str> {
        let steps = self.steps.iter().rev().filter(|step| is_asked(step));
        steps.map(|step| step.id.as_str()).collect()
    }

    /// The upstream lineage of a dataset as it is at the end: each step read the state at the time when it ran.
    pub fn upstream(&self, location: &str) -> BTreeSet<Edge> {
        let mut edges = BTreeSet::new();
        let mut seen = HashSet::new();
        let mut todo = vec![(location.to_owned(), self.steps.len())];
        while let Some((location, before)) = todo.pop() {
            if !seen.insert((location.clone(), before)) {
                continue;
            }
            for (n, write) in self.writers(&location, before) {
                let step = &self.steps[n];
                edges.insert((step.id.clone(), location.clone()));
                let from = match write.from.is_empty() {
                    true => &step.reads,
                    false => &write.from,
                };
                for input in from {
                    edges.insert((input.clone(), step.id.clone()));
                    todo.push((input.clone(), n));
                }
            }
        }
        edges
    }

    /// The writes that made the state of a dataset before step number `before`: back to the last one that replaced it.
    fn writers(&self, location: &str, before: usize) -> Vec<(usize, &Write)> {
        let mut found = Vec::new();
        for n in (0..before).rev() {
            let writes = self.steps[n].writes.iter();
            for write in writes.filter(|write| write.location == location) {
                found.push((n, write));
                if !write.adds {
                    return found;
                }
            }
        }
        found
    }
}
