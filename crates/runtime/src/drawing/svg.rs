//! Lineage as a picture with one rank per hop. Data flows from left to right, or from top to bottom if the graph is long, so that a page
//! shows it at a readable size.

use super::collapse::{Drawn, Picture};
use super::tree::rows;
use crate::time::{seconds, thousands};
use pudato_registry::{Node, Walk};
use std::collections::HashMap;
use std::fmt::Write;

const BOX_WIDTH: usize = 300;
const BOX_HEIGHT: usize = 54;
/// The gaps between ranks, and between the boxes of a rank.
const GAP_RANK: usize = 56;
const GAP_BESIDE: usize = 22;
const MARGIN: usize = 24;
const FOOT: usize = 26;
/// The number of characters that fit into a box.
const CHARS_MAX: usize = 36;
/// With more ranks than this, data flows down.
const RANKS_BESIDE_MAX: usize = 5;

/// The direction in which data flows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Right,
    Down,
}

impl Flow {
    /// The size of a box along the flow and across it.
    fn sizes(self) -> (usize, usize) {
        match self {
            Self::Right => (BOX_WIDTH, BOX_HEIGHT),
            Self::Down => (BOX_HEIGHT, BOX_WIDTH),
        }
    }

    /// The corner of a box at this position along the flow and across it.
    fn corner(self, along: usize, across: usize) -> (usize, usize) {
        match self {
            Self::Right => (along, across),
            Self::Down => (across, along),
        }
    }
}

/// Draws the graph as a complete SVG file.
pub(super) fn draw(graph: &Picture<'_>) -> String {
    let walk = graph.walk;
    let ranks = ranks(graph);
    let last = ranks.values().copied().max().unwrap_or(0);
    let flow = if last < RANKS_BESIDE_MAX {
        Flow::Right
    } else {
        Flow::Down
    };
    let (box_along, box_across) = flow.sizes();
    let mut counts = vec![0; last + 1];
    for rank in ranks.values() {
        counts[*rank] += 1;
    }
    let widest = counts.iter().copied().max().unwrap_or(1);
    let mut seen = vec![0; last + 1];
    let mut places = HashMap::new();
    for node in &graph.nodes {
        let rank = ranks[node.id()];
        // Upstream, the walk begins at the end of the flow.
        let place = match walk {
            Walk::Upstream => last - rank,
            Walk::Downstream => rank,
        };
        let along = MARGIN + place * (box_along + GAP_RANK);
        // Ranks with fewer boxes are centred.
        let across =
            MARGIN + (2 * seen[rank] + widest - counts[rank]) * (box_across + GAP_BESIDE) / 2;
        seen[rank] += 1;
        places.insert(node.id(), flow.corner(along, across));
    }
    let along = 2 * MARGIN + (last + 1) * box_along + last * GAP_RANK;
    let across = 2 * MARGIN + widest * (box_across + GAP_BESIDE) - GAP_BESIDE;
    let (width, height) = flow.corner(along, across);
    let (width, height) = (
        width.max(MARGIN * 2 + graph.location.chars().count() * 7),
        height + FOOT,
    );
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <title>Lineage of {}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\" fill=\"#64748b\"/></marker></defs>\n",
        escape(graph.location)
    );
    for edge in &graph.edges {
        if let (Some(from), Some(to)) = (places.get(edge.0.as_str()), places.get(edge.1.as_str())) {
            arrow(&mut out, flow, *from, *to);
        }
    }
    for node in &graph.nodes {
        node_box(&mut out, node, places[node.id()]);
    }
    let more = graph.truncated;
    let mut foot = more.map_or(String::new(), |why| format!(" — there is more ({why})"));
    if graph.hidden > 0 {
        let _ = write!(
            foot,
            " — {} more are not drawn",
            thousands(graph.hidden as u64)
        );
    }
    let _ = write!(
        out,
        "<text x=\"{MARGIN}\" y=\"{}\" fill=\"#475569\" font-size=\"12\">{}{foot}</text>\n</svg>\n",
        height - MARGIN / 2,
        escape(graph.location)
    );
    out
}

/// The distance of each node from the start of the walk, along the longest path. An edge that leads back to a node of the same path does
/// not count: a step that changes a table also reads it.
fn ranks<'a>(graph: &'a Picture<'_>) -> HashMap<&'a str, usize> {
    let mut next: HashMap<&str, Vec<&str>> = HashMap::new();
    for (from, to) in &graph.edges {
        let (near, far) = match graph.walk {
            Walk::Upstream => (to.as_str(), from.as_str()),
            Walk::Downstream => (from.as_str(), to.as_str()),
        };
        next.entry(near).or_default().push(far);
    }
    // Depth first. For each node, whether it is on the current path; the nodes in the order in which they are left; and the edges that lead
    // on.
    let (mut is_on_way, mut left) = (HashMap::new(), Vec::new());
    let mut onward: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut way: Vec<(&str, usize)> = Vec::new();
    if let Some(root) = graph.nodes.first() {
        is_on_way.insert(root.id(), true);
        way.push((root.id(), 0));
    }
    while let Some((id, gone)) = way.last_mut() {
        let id = *id;
        let far = next.get(id).and_then(|far| far.get(*gone)).copied();
        *gone += 1;
        let Some(far) = far else {
            is_on_way.insert(id, false);
            left.push(id);
            way.pop();
            continue;
        };
        let met = is_on_way.get(far).copied();
        if met != Some(true) {
            onward.entry(id).or_default().push(far);
        }
        if met.is_none() {
            is_on_way.insert(far, true);
            way.push((far, 0));
        }
    }
    let mut ranks: HashMap<&str, usize> = graph.nodes.iter().map(|node| (node.id(), 0)).collect();
    // A node is left after all nodes beyond it.
    for id in left.into_iter().rev() {
        let beyond = ranks.get(id).copied().unwrap_or(0) + 1;
        for far in onward.get(id).into_iter().flatten() {
            if let Some(rank) = ranks.get_mut(far) {
                *rank = beyond.max(*rank);
            }
        }
    }
    ranks
}

fn arrow(out: &mut String, flow: Flow, from: (usize, usize), to: (usize, usize)) {
    let half = GAP_RANK / 2;
    let ((x1, y1), (c1, d1), (c2, d2), (x2, y2)) = match flow {
        Flow::Right => {
            let (x1, y1) = (from.0 + BOX_WIDTH, from.1 + BOX_HEIGHT / 2);
            let (x2, y2) = (to.0, to.1 + BOX_HEIGHT / 2);
            (
                (x1, y1),
                (x1 + half, y1),
                (x2.saturating_sub(half), y2),
                (x2, y2),
            )
        }
        Flow::Down => {
            let (x1, y1) = (from.0 + BOX_WIDTH / 2, from.1 + BOX_HEIGHT);
            let (x2, y2) = (to.0 + BOX_WIDTH / 2, to.1);
            (
                (x1, y1),
                (x1, y1 + half),
                (x2, y2.saturating_sub(half)),
                (x2, y2),
            )
        }
    };
    let _ = writeln!(
        out,
        "<path d=\"M{x1} {y1} C{c1} {d1} {c2} {d2} {x2} {y2}\" fill=\"none\" stroke=\"#64748b\" \
         stroke-width=\"1.5\" marker-end=\"url(#arrow)\"/>"
    );
}

fn node_box(out: &mut String, drawn: &Drawn<'_>, (x, y): (usize, usize)) {
    let (fill, stroke, radius) = match drawn {
        Drawn::More { .. } => ("#ffffff", "#94a3b8", 3),
        Drawn::Node(Node::Dataset { .. }) => ("#e0f2fe", "#0369a1", 14),
        Drawn::Node(Node::Step { status, .. }) if status.as_str() == "failed" => {
            ("#fee2e2", "#b91c1c", 3)
        }
        Drawn::Node(Node::Step { .. }) => ("#f1f5f9", "#475569", 3),
    };
    let (first, second, full) = match drawn {
        Drawn::Node(node) => texts(node),
        Drawn::More { count, .. } => {
            let more = format!("+{} more", thousands(*count as u64));
            (more.clone(), "not drawn".to_owned(), more)
        }
    };
    let (text_x, first_y, second_y) = (x + 12, y + 22, y + 41);
    let _ = writeln!(
        out,
        "<g><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"{radius}\" \
         fill=\"{fill}\" stroke=\"{stroke}\"/>\
         <text x=\"{text_x}\" y=\"{first_y}\" fill=\"#0f172a\" font-weight=\"600\">{}</text>\
         <text x=\"{text_x}\" y=\"{second_y}\" fill=\"#475569\" font-size=\"12\">{}</text></g>",
        escape(&full),
        escape(&first),
        escape(&second)
    );
}

fn texts(node: &Node) -> (String, String, String) {
    match node {
        Node::Dataset {
            location,
            row_count,
            rows_changed,
            ..
        } => {
            let rows = rows(*row_count, *rows_changed).unwrap_or_default();
            (ending(short(location)), rows, location.clone())
        }
        Node::Step {
            step_id,
            step_name,
            handler,
            action,
            status,
            completed_at,
            ..
        } => {
            let name = step_name.as_deref().unwrap_or(step_id);
            let at = completed_at.as_deref().map(seconds).unwrap_or_default();
            let work = [handler.as_deref(), action.as_deref()];
            let work: Vec<&str> = work.into_iter().flatten().collect();
            let full = format!("{name}: {} {} {at}", work.join(" "), status.as_str());
            // A step without a name is labelled with its action.
            let did = match step_name {
                None => action.as_deref().map(|action| format!("{action} · ")),
                Some(_) => None,
            };
            let second = format!("{}{} · {at}", did.unwrap_or_default(), status.as_str());
            (ending(name), second, full)
        }
    }
}

/// A table's name without its database, which is shown once at the bottom of the picture.
fn short(location: &str) -> &str {
    location.split_once('#').map_or(location, |(_, name)| name)
}

/// Cuts the beginning of a text, since the end says more: a location begins with folders of the machine.
fn ending(text: &str) -> String {
    let count = text.chars().count();
    if count <= CHARS_MAX {
        return text.to_owned();
    }
    let tail: String = text.chars().skip(count - (CHARS_MAX - 1)).collect();
    match tail.split_once('/') {
        Some((_, whole)) if whole.contains('/') => format!("…/{whole}"),
        _ => format!("…{tail}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(edges: &[(&str, &str)]) -> Picture<'static> {
        let mut ids: Vec<&str> = Vec::new();
        for id in edges.iter().flat_map(|(from, to)| [*to, *from]) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let node = |id: &&str| Drawn::More {
            id: (*id).to_owned(),
            count: 1,
        };
        Picture {
            location: "out",
            walk: Walk::Upstream,
            nodes: ids.iter().map(node).collect(),
            edges: edges
                .iter()
                .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
                .collect(),
            hidden: 0,
            truncated: None,
        }
    }

    #[test]
    fn a_step_that_changes_its_input_does_not_lengthen_the_path() {
        let picture = picture(&[
            ("export", "out"),
            ("table", "export"),
            ("update", "table"),
            ("table", "update"),
            ("make", "table"),
            ("raw", "make"),
            // Besides the long path there is a short one.
            ("raw", "export"),
        ]);
        let ranks = ranks(&picture);
        for (id, rank) in [
            ("out", 0),
            ("export", 1),
            ("table", 2),
            ("update", 3),
            ("make", 3),
            ("raw", 4),
        ] {
            assert_eq!(ranks[id], rank, "{id}");
        }
    }
}
