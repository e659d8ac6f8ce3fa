//! Lineage as a picture: data flows from left to right, one column per hop.

use crate::output::{thousands, time};
use pudato_runtime::registry::{Graph, Node, Walk};
use std::collections::HashMap;
use std::fmt::Write;

const BOX_WIDTH: usize = 250;
const BOX_HEIGHT: usize = 54;
const GAP_X: usize = 70;
const GAP_Y: usize = 22;
const MARGIN: usize = 24;
const FOOT: usize = 26;
/// Characters that fit into a box.
const CHARS_MAX: usize = 34;

/// Draws the graph as an SVG that stands by itself.
pub fn draw(graph: &Graph, walk: Walk) -> String {
    let columns = columns(graph, walk);
    let last = columns.values().copied().max().unwrap_or(0);
    let mut heights = vec![0; last + 1];
    let mut places = HashMap::new();
    for node in &graph.nodes {
        let column = columns[node.id()];
        // Upstream the walk begins at the end of the flow.
        let place = match walk {
            Walk::Upstream => last - column,
            Walk::Downstream => column,
        };
        let x = MARGIN + place * (BOX_WIDTH + GAP_X);
        let y = MARGIN + heights[column] * (BOX_HEIGHT + GAP_Y);
        heights[column] += 1;
        places.insert(node.id(), (x, y));
    }
    let rows = heights.iter().copied().max().unwrap_or(1);
    let width = 2 * MARGIN + (last + 1) * BOX_WIDTH + last * GAP_X;
    let height = 2 * MARGIN + rows * (BOX_HEIGHT + GAP_Y) + FOOT;
    // Shorter columns stand in the middle.
    for node in &graph.nodes {
        let column = columns[node.id()];
        if let Some((_, y)) = places.get_mut(node.id()) {
            *y += (rows - heights[column]) * (BOX_HEIGHT + GAP_Y) / 2;
        }
    }
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <title>Lineage of {}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\" fill=\"#64748b\"/></marker></defs>\n",
        escape(&graph.location)
    );
    for edge in &graph.edges {
        if let (Some(from), Some(to)) =
            (places.get(edge.from.as_str()), places.get(edge.to.as_str()))
        {
            arrow(&mut out, *from, *to);
        }
    }
    for node in &graph.nodes {
        node_box(&mut out, node, places[node.id()]);
    }
    let more = graph.truncated.as_str();
    let foot = more.map_or(String::new(), |why| format!(" — there is more ({why})"));
    let _ = write!(
        out,
        "<text x=\"{MARGIN}\" y=\"{}\" fill=\"#475569\" font-size=\"12\">{}{foot}</text>\n</svg>\n",
        height - MARGIN / 2,
        escape(&graph.location)
    );
    out
}

/// How far each node is from where the walk began, by the longest way that has no cycle.
fn columns(graph: &Graph, walk: Walk) -> HashMap<&str, usize> {
    let mut columns: HashMap<&str, usize> = graph.nodes.iter().map(|node| (node.id(), 0)).collect();
    // A longest way has fewer steps than there are nodes; a cycle would go on for ever.
    for _ in 0..graph.nodes.len().min(200) {
        let mut moved = false;
        for edge in &graph.edges {
            let (near, far) = match walk {
                Walk::Upstream => (edge.to.as_str(), edge.from.as_str()),
                Walk::Downstream => (edge.from.as_str(), edge.to.as_str()),
            };
            let root = graph.nodes.first().map(Node::id);
            let wanted = columns.get(near).copied().unwrap_or(0) + 1;
            let Some(column) = columns.get_mut(far) else {
                continue;
            };
            if *column < wanted && wanted < graph.nodes.len() && Some(far) != root {
                *column = wanted;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    columns
}

fn arrow(out: &mut String, from: (usize, usize), to: (usize, usize)) {
    let (x1, y1) = (from.0 + BOX_WIDTH, from.1 + BOX_HEIGHT / 2);
    let (x2, y2) = (to.0, to.1 + BOX_HEIGHT / 2);
    let (c1, c2) = (x1 + GAP_X / 2, x2.saturating_sub(GAP_X / 2));
    let _ = writeln!(
        out,
        "<path d=\"M{x1} {y1} C{c1} {y1} {c2} {y2} {x2} {y2}\" fill=\"none\" stroke=\"#64748b\" \
         stroke-width=\"1.5\" marker-end=\"url(#arrow)\"/>"
    );
}

fn node_box(out: &mut String, node: &Node, (x, y): (usize, usize)) {
    let (fill, stroke, radius) = match node {
        Node::Dataset { .. } => ("#e0f2fe", "#0369a1", 14),
        Node::Step { status, .. } if status.as_str() == "failed" => ("#fee2e2", "#b91c1c", 3),
        Node::Step { .. } => ("#f1f5f9", "#475569", 3),
    };
    let (first, second, full) = texts(node);
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
            ..
        } => {
            let rows = row_count.map_or(String::new(), |n| format!("{} rows", thousands(n)));
            (ending(location), rows, location.clone())
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
            let at = completed_at.as_deref().map(time).unwrap_or_default();
            let work = [handler.as_deref(), action.as_deref()];
            let work: Vec<&str> = work.into_iter().flatten().collect();
            let full = format!("{name}: {} {} {at}", work.join(" "), status.as_str());
            (ending(name), format!("{} · {at}", status.as_str()), full)
        }
    }
}

/// The end of a text tells more than its beginning: a location's begins with the machine's folders.
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
