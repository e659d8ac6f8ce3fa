//! The datasets that a node reads, found through the manifest's `parent_map`.

use crate::dbt::artifacts::Manifest;
use std::collections::BTreeSet;

/// The parents of a node that are datasets. An ephemeral model is not a dataset; its own parents take its place.
pub(crate) fn parents(manifest: &Manifest, id: &str) -> BTreeSet<String> {
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        for parent in manifest.parent_map.get(id).into_iter().flatten() {
            if !seen.insert(parent.as_str()) {
                continue;
            }
            let node = manifest.node(parent);
            let materialized = node.and_then(|node| node.config.materialized.as_deref());
            if materialized == Some("ephemeral") {
                open.push(parent);
            } else {
                found.insert(parent.clone());
            }
        }
    }
    found
}

/// The datasets that a node reads: its parents, and the datasets behind parents that are views from an earlier run. A view shows the data
/// that exists now, not the data from when it was created.
pub(super) fn datasets_read(
    manifest: &Manifest,
    id: &str,
    made: &BTreeSet<&str>,
) -> BTreeSet<String> {
    let mut found = parents(manifest, id);
    let mut open: Vec<String> = found.iter().cloned().collect();
    while let Some(id) = open.pop() {
        let node = manifest.node(&id);
        let materialized = node.and_then(|node| node.config.materialized.as_deref());
        if materialized != Some("view") || made.contains(&*id) {
            continue;
        }
        let new = parents(manifest, &id);
        open.extend(
            new.into_iter()
                .filter(|parent| found.insert(parent.clone())),
        );
    }
    found
}
