//! Counts the outcomes of Results and Events, and logs the counts now and then.

use super::Kind;

/// The outcome of a Result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// The Result changed the registry.
    pub applied: u64,
    /// The registry already had the Result.
    pub duplicate: u64,
    /// The Result came after one that ranks higher.
    pub superseded: u64,
    /// The Result named no step.
    pub skipped: u64,
    /// The Result contradicted the step that it named.
    pub claimed: u64,
    /// The Result could not be read or applied.
    pub dead_lettered: u64,
}

/// The counts since they were last logged.
#[derive(Default)]
pub(super) struct Report {
    tally: Tally,
    pub(super) next_ms: u64,
}

impl Report {
    pub(super) fn add(&mut self, some: Tally) {
        let all = &mut self.tally;
        all.applied += some.applied;
        all.duplicate += some.duplicate;
        all.superseded += some.superseded;
        all.skipped += some.skipped;
        all.claimed += some.claimed;
        all.dead_lettered += some.dead_lettered;
    }

    /// Logs the counts, if there are any.
    pub(super) fn log(&mut self, kind: Kind) {
        let tally = std::mem::take(&mut self.tally);
        if tally == Tally::default() {
            return;
        }
        let Tally {
            applied,
            duplicate,
            superseded,
            skipped,
            claimed,
            dead_lettered,
        } = tally;
        tracing::info!(
            applied,
            duplicate,
            superseded,
            skipped,
            claimed,
            dead_lettered,
            ?kind,
            "the results consumer wrote to the registry"
        );
    }
}
