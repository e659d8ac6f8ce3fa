//! What lineage must be, worked out from what the honest senders sent. Nothing of pudato is used here: the rules are those of
//! docs/lineage.md, and a sender sends one command after the other, so that its commands have one order.

use std::collections::{BTreeSet, HashSet};

/// What one step read and wrote.
#[derive(Debug, Clone, Default)]
pub struct Step {
    pub id: String,
    pub job: String,
    /// Locations.
    pub reads: Vec<String>,
    pub writes: Vec<Write>,
}

/// One output of a step.
#[derive(Debug, Clone)]
pub struct Write {
    pub location: String,
    /// What was there before is still there.
    pub adds: bool,
    /// What it was made from; where that is nothing, from all that the step read.
    pub from: Vec<String>,
    /// The rows that there must be afterwards, where the step can know them.
    pub rows: Option<u64>,
    /// The rows that it must have inserted, updated or deleted, where it made nothing anew.
    pub changed: Option<u64>,
}

/// The steps of one sender, in the order in which they ran.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub steps: Vec<Step>,
}

/// From a dataset to a step, or from a step to a dataset.
pub type Edge = (String, String);

impl Model {
    /// Everything that a step read or wrote.
    pub fn datasets(&self) -> BTreeSet<&str> {
        let named = self.steps.iter().flat_map(|step| {
            let writes = step.writes.iter().map(|write| &write.location);
            step.reads.iter().chain(writes)
        });
        named.map(String::as_str).collect()
    }

    /// Who wrote a dataset, the latest first.
    pub fn producers(&self, location: &str) -> Vec<&str> {
        self.latest(|step| step.writes.iter().any(|write| write.location == location))
    }

    /// Who read it, the latest first.
    pub fn consumers(&self, location: &str) -> Vec<&str> {
        self.latest(|step| step.reads.iter().any(|read| read == location))
    }

    fn latest(&self, is_asked: impl Fn(&Step) -> bool) -> Vec<&str> {
        let steps = self.steps.iter().rev().filter(|step| is_asked(step));
        steps.map(|step| step.id.as_str()).collect()
    }

    /// All that leads to a dataset as it is at the end: each step read what was there when it ran.
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

    /// The writes that made what a dataset was before step number `before`: back to the last that replaced it.
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
