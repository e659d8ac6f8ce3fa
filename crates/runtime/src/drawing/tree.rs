//! Lineage as a tree of text, and as a Mermaid diagram.

use super::Hints;
use super::collapse::{Drawn, Picture};
use crate::time::{seconds, thousands};
use pudato_registry::{Node, Walk};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

struct Tree<'a> {
    nodes: HashMap<&'a str, &'a Drawn<'a>>,
    next: HashMap<&'a str, Vec<&'a str>>,
    drawn: HashSet<&'a str>,
    out: String,
}

/// Draws the tree: a dataset, the steps that made it, the datasets that they read, and so on.
pub(super) fn draw(picture: &Picture<'_>, hints: &Hints) -> String {
    let mut next: HashMap<&str, Vec<&str>> = HashMap::new();
    for (from, to) in &picture.edges {
        let (near, far) = match picture.walk {
            Walk::Upstream => (to, from),
            Walk::Downstream => (from, to),
        };
        next.entry(near).or_default().push(far);
    }
    let nodes = picture.nodes.iter().map(|drawn| (drawn.id(), drawn));
    let mut tree = Tree {
        nodes: nodes.collect(),
        next,
        drawn: HashSet::new(),
        out: String::new(),
    };
    if let Some(root) = picture.nodes.first() {
        let _ = writeln!(tree.out, "{}", label(root));
        tree.drawn.insert(root.id());
        tree.below(root.id(), "");
    }
    tree.out.push_str(&rest(picture, hints));
    tree.out
}

/// What is not drawn, and how to see it.
fn rest(picture: &Picture<'_>, hints: &Hints) -> String {
    let mut out = String::new();
    if picture.hidden > 0 {
        let hidden = thousands(picture.hidden as u64);
        let _ = writeln!(
            out,
            "... {hidden} more are not drawn; use {} to draw them",
            hints.all
        );
    }
    if let Some(why) = picture.truncated {
        let limit = (hints.limit)(why);
        let _ = writeln!(out, "... there is more; increase {limit} to see it");
    }
    out
}

impl<'a> Tree<'a> {
    fn below(&mut self, id: &'a str, indent: &str) {
        let children = self.next.get(id).cloned().unwrap_or_default();
        for (n, child) in children.iter().enumerate() {
            let is_last = n + 1 == children.len();
            let (branch, deeper) = if is_last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            let text = self
                .nodes
                .get(child)
                .map_or_else(String::new, |drawn| label(drawn));
            // A node that was drawn before, or lies on a cycle, is not drawn again.
            let is_new = self.drawn.insert(child);
            let again = if is_new || !self.next.contains_key(child) {
                ""
            } else {
                "  (see above)"
            };
            let _ = writeln!(self.out, "{indent}{branch}{text}{again}");
            if is_new {
                self.below(child, &format!("{indent}{deeper}"));
            }
        }
    }
}

fn label(drawn: &Drawn<'_>) -> String {
    match drawn {
        Drawn::More { count, .. } => format!("+{} more", thousands(*count as u64)),
        Drawn::Node(node) => node_label(node),
    }
}

fn node_label(node: &Node) -> String {
    match node {
        Node::Dataset {
            location,
            row_count,
            rows_changed,
            ..
        } => match rows(*row_count, *rows_changed) {
            Some(rows) => format!("{location}  {rows}"),
            None => location.clone(),
        },
        Node::Step {
            step_id,
            step_name,
            handler,
            action,
            pipeline,
            status,
            completed_at,
            ..
        } => {
            let name = step_name.as_deref().unwrap_or(step_id);
            let work = [handler.as_deref(), action.as_deref()];
            let work: Vec<&str> = work.into_iter().flatten().collect();
            let mut text = format!("[{name}] {} {}", work.join(" "), status.as_str());
            if let Some(at) = completed_at {
                let _ = write!(text, " {}", seconds(at));
            }
            if let Some(pipeline) = pipeline {
                let _ = write!(text, "  {pipeline}");
            }
            text
        }
    }
}

/// The number of rows of a dataset, and how many of them its last writer changed, if they are known.
pub(super) fn rows(row_count: Option<u64>, rows_changed: Option<u64>) -> Option<String> {
    let rows = |count: u64| match count {
        1 => "1 row".to_owned(),
        _ => format!("{} rows", thousands(count)),
    };
    match (row_count, rows_changed) {
        (Some(all), Some(changed)) => {
            Some(format!("{} ({} changed)", rows(all), thousands(changed)))
        }
        (Some(all), None) => Some(rows(all)),
        (None, Some(changed)) => Some(format!("{} changed", rows(changed))),
        (None, None) => None,
    }
}

/// The graph for a Markdown page: datasets as boxes with round corners, steps as rectangles.
pub(super) fn mermaid(picture: &Picture<'_>) -> String {
    let id = |id: &str| id.replace(':', "_");
    let quoted = |text: &str| {
        text.replace('&', "&amp;")
            .replace('"', "&quot;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let mut out = String::from("flowchart LR\n");
    for drawn in &picture.nodes {
        let text = quoted(&label(drawn));
        let _ = match drawn {
            Drawn::Node(Node::Dataset { .. }) => {
                writeln!(out, "  {}([\"{text}\"])", id(drawn.id()))
            }
            _ => writeln!(out, "  {}[\"{text}\"]", id(drawn.id())),
        };
    }
    for (from, to) in &picture.edges {
        let _ = writeln!(out, "  {} --> {}", id(from), id(to));
    }
    out
}
