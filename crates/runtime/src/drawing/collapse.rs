//! Makes a large graph readable: shows some of the many neighbours of a node, and how many more there are.

use pudato_registry::{Edge, Graph, Node, Walk};
use std::collections::{HashMap, HashSet};

/// The most neighbours of a node that are shown; a single box stands for the rest.
const SHOWN: usize = 12;

/// A box of the drawing.
pub(super) enum Drawn<'a> {
    /// A dataset or a step.
    Node(&'a Node),
    /// The neighbours of a node that are not shown: an id, and their number.
    More {
        /// The id of the box.
        id: String,
        /// The number of neighbours.
        count: usize,
    },
}

impl Drawn<'_> {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Node(node) => node.id(),
            Self::More { id, .. } => id,
        }
    }
}

/// The part of a graph that is drawn.
pub struct Picture<'a> {
    pub(super) location: &'a str,
    pub(super) walk: Walk,
    /// The boxes; the requested dataset is the first.
    pub(super) nodes: Vec<Drawn<'a>>,
    /// The edges, from and to, in the direction in which data flows.
    pub(super) edges: Vec<(String, String)>,
    /// The number of nodes of the graph that are not drawn.
    pub(super) hidden: usize,
    /// Why the lineage has more than the graph, if it has.
    pub(super) truncated: Option<&'a str>,
}

/// Chooses the nodes to draw; all of them if `full` is set.
pub(super) fn collapse(graph: &Graph, walk: Walk, full: bool) -> Picture<'_> {
    let mut next: HashMap<&str, Vec<&str>> = HashMap::new();
    for edge in &graph.edges {
        let (near, far) = ends(edge, walk);
        next.entry(near).or_default().push(far);
    }
    let most = if full { usize::MAX } else { SHOWN };
    let nodes: HashMap<&str, &Node> = graph.nodes.iter().map(|node| (node.id(), node)).collect();
    let mut picture = Picture {
        location: &graph.location,
        walk,
        nodes: Vec::new(),
        edges: Vec::new(),
        hidden: 0,
        truncated: graph.truncated.as_str(),
    };
    let mut shown: HashSet<&str> = HashSet::new();
    let mut queue: Vec<&str> = graph.nodes.first().map(Node::id).into_iter().collect();
    shown.extend(&queue);
    let (mut at, mut rest) = (0, Vec::new());
    while let Some(id) = queue.get(at).copied() {
        at += 1;
        picture
            .nodes
            .extend(nodes.get(id).map(|node| Drawn::Node(node)));
        let far = next.get(id).map(Vec::as_slice).unwrap_or_default();
        // A single remaining neighbour is drawn itself.
        let unseen = far.iter().filter(|far| !shown.contains(*far)).count();
        let mut room = if unseen == most.saturating_add(1) {
            unseen
        } else {
            most
        };
        let mut more = 0;
        for far in far {
            if !shown.contains(far) {
                if room == 0 {
                    more += 1;
                    continue;
                }
                room -= 1;
                shown.insert(far);
                queue.push(far);
            }
            picture.edges.push(flow(id, far, walk));
        }
        if more > 0 {
            let more_id = format!("more:{id}");
            picture.edges.push(flow(id, &more_id, walk));
            rest.push(Drawn::More {
                id: more_id,
                count: more,
            });
        }
    }
    // These boxes are below the ones that are shown.
    picture.nodes.extend(rest);
    picture.hidden = graph.nodes.len() - shown.len();
    picture
}

/// The two ends of an edge, the nearer one to the requested dataset first.
fn ends(edge: &Edge, walk: Walk) -> (&str, &str) {
    match walk {
        Walk::Upstream => (&edge.to, &edge.from),
        Walk::Downstream => (&edge.from, &edge.to),
    }
}

fn flow(near: &str, far: &str, walk: Walk) -> (String, String) {
    let (near, far) = (near.to_owned(), far.to_owned());
    match walk {
        Walk::Upstream => (far, near),
        Walk::Downstream => (near, far),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn graph(readers: usize) -> Graph {
        let dataset = |id: String| Node::Dataset {
            location: id.clone(),
            namespace: String::new(),
            name: id.clone(),
            id,
            last_run: None,
            row_count: None,
            rows_changed: None,
        };
        let nodes = (0..=readers).map(|n| dataset(format!("d{n}")));
        let edge = |n: usize| Edge {
            from: "d0".into(),
            to: format!("d{n}"),
            step: "s".into(),
            row_count: None,
            rows_changed: None,
            last_run: String::new(),
            count: 1,
        };
        Graph {
            location: "d0".into(),
            nodes: nodes.collect(),
            edges: (1..=readers).map(edge).collect(),
            truncated: json!(false),
        }
    }

    #[test]
    fn some_of_many_neighbours_are_shown_and_the_rest_is_counted() {
        let graph = graph(500);
        let picture = collapse(&graph, Walk::Downstream, false);
        assert_eq!((picture.nodes.len(), picture.edges.len()), (14, 13));
        assert_eq!(picture.hidden, 488);
        let more = picture.nodes.iter().find_map(|drawn| match drawn {
            Drawn::More { count, .. } => Some(*count),
            Drawn::Node(_) => None,
        });
        assert_eq!(more, Some(488));
        let full = collapse(&graph, Walk::Downstream, true);
        assert_eq!((full.nodes.len(), full.hidden), (501, 0));
    }

    #[test]
    fn a_single_remaining_neighbour_is_drawn() {
        let graph = graph(13);
        let picture = collapse(&graph, Walk::Downstream, false);
        assert_eq!((picture.nodes.len(), picture.hidden), (14, 0));
    }
}
