//! Lineage as a tree of text, and as a Mermaid diagram.

use crate::output::{thousands, time};
use pudato_runtime::registry::{Edge, Graph, Node, Walk};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

struct Tree<'a> {
    nodes: HashMap<&'a str, &'a Node>,
    next: HashMap<&'a str, Vec<&'a str>>,
    drawn: HashSet<&'a str>,
    out: String,
}

/// Draws the tree: data, the steps that made it, what they read, and so on.
pub fn draw(graph: &Graph, walk: Walk) -> String {
    let mut next: HashMap<&str, Vec<&str>> = HashMap::new();
    for Edge { from, to, .. } in &graph.edges {
        let (near, far) = match walk {
            Walk::Upstream => (to, from),
            Walk::Downstream => (from, to),
        };
        next.entry(near).or_default().push(far);
    }
    let mut tree = Tree {
        nodes: graph.nodes.iter().map(|node| (node.id(), node)).collect(),
        next,
        drawn: HashSet::new(),
        out: String::new(),
    };
    if let Some(root) = graph.nodes.first() {
        let _ = writeln!(tree.out, "{}", label(root));
        tree.drawn.insert(root.id());
        tree.below(root.id(), "");
    }
    if let Some(why) = graph.truncated.as_str() {
        let option = why.replace('_', "-");
        let _ = writeln!(tree.out, "... there is more; raise --{option} to see it");
    }
    tree.out
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
                .map_or_else(String::new, |node| label(node));
            // What was drawn before, or lies on a cycle, is not drawn again.
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

fn label(node: &Node) -> String {
    match node {
        Node::Dataset {
            location,
            row_count,
            ..
        } => match row_count {
            Some(rows) => format!("{location}  {} rows", thousands(*rows)),
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
                let _ = write!(text, " {}", time(at));
            }
            if let Some(pipeline) = pipeline {
                let _ = write!(text, "  {pipeline}");
            }
            text
        }
    }
}

/// The graph for a Markdown page: data as boxes with round corners, steps as boxes.
pub fn mermaid(graph: &Graph) -> String {
    let id = |id: &str| id.replace(':', "_");
    let quoted = |text: &str| {
        text.replace('&', "&amp;")
            .replace('"', "&quot;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let mut out = String::from("flowchart LR\n");
    for node in &graph.nodes {
        let text = quoted(&label(node));
        let _ = match node {
            Node::Dataset { .. } => writeln!(out, "  {}([\"{text}\"])", id(node.id())),
            Node::Step { .. } => writeln!(out, "  {}[\"{text}\"]", id(node.id())),
        };
    }
    for edge in &graph.edges {
        let _ = writeln!(out, "  {} --> {}", id(&edge.from), id(&edge.to));
    }
    out
}
