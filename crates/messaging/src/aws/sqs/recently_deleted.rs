//! Remembers deleted messages for a while. SQS may deliver one of them again, and it is then deleted again.

use std::collections::{HashSet, VecDeque};

/// The most ids to remember, and for how long.
const COUNT_MAX: usize = 10_000;
const KEEP_MS: u64 = 15 * 60 * 1_000;

#[derive(Default)]
pub(super) struct RecentlyDeleted {
    ids: HashSet<String>,
    order: VecDeque<(u64, String)>,
}

impl RecentlyDeleted {
    pub(super) fn insert(&mut self, id: &str, now_ms: u64) {
        if self.ids.insert(id.to_owned()) {
            self.order.push_back((now_ms, id.to_owned()));
        }
        while self.order.len() > COUNT_MAX
            || self
                .order
                .front()
                .is_some_and(|(at, _)| at + KEEP_MS < now_ms)
        {
            if let Some((_, old)) = self.order.pop_front() {
                self.ids.remove(&old);
            }
        }
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handled_is_remembered_for_a_while_and_not_for_ever() {
        let mut handled = RecentlyDeleted::default();
        handled.insert("old", 0);
        handled.insert("new", KEEP_MS + 1);
        assert!(!handled.contains("old") && handled.contains("new"));
        for n in 0..=COUNT_MAX {
            handled.insert(&n.to_string(), KEEP_MS + 2);
        }
        assert!(!handled.contains("new") && !handled.contains("0"));
        assert!(handled.contains(&COUNT_MAX.to_string()));
    }
}
