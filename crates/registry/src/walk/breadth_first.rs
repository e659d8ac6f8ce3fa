//! The graph, hop by hop from the asked dataset.

use super::{Facts, Flow, Limits, Near, Side, StepFlows};
use crate::batch::{ADDED, READ};
use crate::error::Error;
use crate::model::{self, Edge, Graph, GraphQuery, Node, Walk};
use pudato_protocol::{Dataset, Timestamp};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Walks from a dataset: `None` where nobody named it yet.
pub(crate) async fn walk(
    facts: &mut impl Facts,
    root: Option<i64>,
    dataset: &Dataset,
    query: &GraphQuery,
) -> Result<Graph, Error> {
    let limits = Limits::of_graph(query);
    let mut walker = Walker {
        query,
        is_upstream: query.walk == Walk::Upstream,
        until_us: limits.until_us,
        nodes: Vec::new(),
        places: HashMap::new(),
        edges: Vec::new(),
        between: HashMap::new(),
        known: HashMap::new(),
        asked: HashSet::new(),
        truncated: None,
    };
    if let Some(root) = root {
        walker.from(facts, root, &limits).await?;
    }
    walker.graph(facts, dataset, &limits).await
}

/// A node before it is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Dataset(i64),
    /// A step, as far as it made the output that stands second; 0 where the step does not tell its outputs apart.
    Step(i64, i64),
}

impl Key {
    fn id(self) -> String {
        match self {
            Self::Dataset(id) => format!("dataset:{id}"),
            Self::Step(id, 0) => format!("step:{id}"),
            Self::Step(id, output) => format!("step:{id}:{output}"),
        }
    }
}

/// An edge before its ends are looked up.
struct Link {
    from: usize,
    to: usize,
    step: i64,
    flow: Flow,
}

/// Something to look at next, `depth` steps away from the asked dataset.
#[derive(Debug, Clone, Copy)]
struct Todo {
    near: Near,
    depth: u64,
    /// Downstream: the step that wrote the dataset and also read it again in the same run.
    own: Option<i64>,
}

struct Walker<'a> {
    query: &'a GraphQuery,
    is_upstream: bool,
    until_us: i64,
    nodes: Vec<Key>,
    places: HashMap<Key, usize>,
    edges: Vec<Link>,
    between: HashMap<(usize, usize), usize>,
    known: HashMap<i64, Arc<StepFlows>>,
    asked: HashSet<Near>,
    truncated: Option<&'static str>,
}

impl Walker<'_> {
    async fn from(
        &mut self,
        facts: &mut impl Facts,
        root: i64,
        limits: &Limits,
    ) -> Result<(), Error> {
        self.node(Key::Dataset(root));
        let side = match (self.is_upstream, self.query.all_runs) {
            (true, false) => Side::LastWriter {
                until_us: limits.until_us,
                not: 0,
            },
            (true, true) => Side::Writers,
            (false, _) => Side::Readers { from_us: None },
        };
        let near = Near {
            dataset: root,
            side,
        };
        let mut level = vec![Todo {
            near,
            depth: 0,
            own: None,
        }];
        while !level.is_empty() {
            level.retain(|todo| self.asked.insert(todo.near));
            let asked: Vec<Near> = level.iter().map(|todo| todo.near).collect();
            let answers = facts.near(&asked, limits).await?;
            let found: Vec<(Todo, Vec<Flow>)> = level.into_iter().zip(answers).collect();
            self.learn(facts, &found, limits).await?;
            level = Vec::new();
            for (todo, flows) in found {
                for flow in &flows {
                    self.step(todo, flow, &mut level);
                }
                if let Some(own) = todo.own {
                    self.read_again(todo, own, &mut level);
                }
            }
            if self.truncated == Some("max_nodes") {
                break;
            }
        }
        Ok(())
    }

    /// Looks up the steps that are met for the first time.
    async fn learn(
        &mut self,
        facts: &mut impl Facts,
        found: &[(Todo, Vec<Flow>)],
        limits: &Limits,
    ) -> Result<(), Error> {
        let met = found
            .iter()
            .filter(|(todo, _)| todo.depth < self.query.depth);
        let met = met.flat_map(|(_, flows)| flows.iter().map(|flow| flow.other));
        let mut seen = HashSet::new();
        let new = met.filter(|id| !self.known.contains_key(id) && seen.insert(*id));
        // More than can be shown need not be known.
        let most = usize::try_from(limits.flows).unwrap_or(usize::MAX);
        let new: Vec<i64> = new.take(most).collect();
        let flows = facts.steps(&new, limits).await?;
        self.known
            .extend(new.into_iter().zip(flows.into_iter().map(Arc::new)));
        Ok(())
    }

    /// Takes a step on the far side of a dataset, and the datasets beyond it.
    fn step(&mut self, todo: Todo, flow: &Flow, next: &mut Vec<Todo>) {
        // What a step read before it wrote is not what it wrote.
        let wrote_it = matches!(todo.near.side, Side::Readers { from_us: Some(_) });
        if wrote_it && todo.own == Some(flow.other) {
            return;
        }
        if todo.depth == self.query.depth {
            self.truncated.get_or_insert("depth");
            return;
        }
        let Some(known) = self.known.get(&flow.other).map(Arc::clone) else {
            self.truncated = Some("max_nodes");
            return;
        };
        // What was changed is also what it was before.
        if let (Side::LastWriter { until_us, not }, ADDED) = (todo.near.side, flow.kind) {
            let until_us = until_us.min(flow.last_us.saturating_sub(1));
            // No step wrote before it began: from here on all who come by ask the same, and it is asked once.
            let began = self.known.get(&not).and_then(|own| own.started_us);
            let not = match began {
                Some(began) if began > until_us => 0,
                _ => not,
            };
            let side = Side::LastWriter { until_us, not };
            next.push(Todo {
                near: Near { side, ..todo.near },
                ..todo
            });
        }
        if self.is_upstream {
            self.above(todo, flow, &known, next);
        } else if flow.kind != READ {
            self.read_again(todo, flow.other, next);
        } else {
            self.below(todo, flow, &known, next, false);
        }
    }

    /// The step that read again what it had written itself, and with it what was there before, where that stayed.
    fn read_again(&mut self, todo: Todo, step: i64, next: &mut Vec<Todo>) {
        let Some(known) = self.known.get(&step).map(Arc::clone) else {
            return;
        };
        let (input, is_there) = (todo.near.dataset, todo.depth < self.query.depth);
        let reads = known
            .pairs
            .iter()
            .any(|(_, from, own)| *own && *from == input);
        if !reads {
            return;
        }
        if !is_there {
            self.truncated.get_or_insert("depth");
            return;
        }
        let wrote = known
            .flows
            .iter()
            .find(|flow| flow.kind != READ && flow.other == input);
        if let Some(wrote) = wrote {
            let flow = Flow {
                other: step,
                kind: READ,
                ..*wrote
            };
            self.below(todo, &flow, &known, next, true);
        }
    }

    fn above(&mut self, todo: Todo, flow: &Flow, known: &StepFlows, next: &mut Vec<Todo>) {
        let (step, output) = (flow.other, todo.near.dataset);
        let paired = known.pairs.iter().filter(|(made, _, _)| *made == output);
        let from: HashMap<i64, bool> = paired.map(|(_, from, own)| (*from, *own)).collect();
        let key = Key::Step(step, if from.is_empty() { 0 } else { output });
        let is_new = !self.places.contains_key(&key);
        let (Some(at), Some(place)) = (
            self.places.get(&Key::Dataset(output)).copied(),
            self.node(key),
        ) else {
            return;
        };
        self.edge(place, at, step, flow);
        if !is_new {
            return;
        }
        let reads = known.flows.iter().filter(|flow| flow.kind == READ);
        let reads: HashMap<i64, &Flow> = reads.map(|flow| (flow.other, flow)).collect();
        let wrote = |dataset: i64| {
            let mut writes = known.flows.iter().filter(|flow| flow.kind != READ);
            writes.find(|flow| flow.other == dataset)
        };
        let mut inputs: Vec<(i64, bool)> = if from.is_empty() {
            reads.keys().map(|dataset| (*dataset, false)).collect()
        } else {
            from.into_iter().collect()
        };
        inputs.sort_unstable();
        for (input, is_own) in inputs {
            // A dataset that the step made itself has no edge of reading: it is as its writing says.
            let through = reads.get(&input).copied().or_else(|| wrote(input));
            let through = through.copied().unwrap_or(Flow {
                other: input,
                kind: READ,
                last_us: flow.last_us,
                count: 1,
                row_count: None,
                rows_changed: None,
            });
            let Some(other) = self.node(Key::Dataset(input)) else {
                return;
            };
            self.edge(other, place, step, &through);
            let side = match (self.query.all_runs, is_own) {
                (true, _) => Side::Writers,
                // The step that made it is this one: it wrote it in its last Result at the latest.
                (false, true) => Side::LastWriter {
                    until_us: through.last_us,
                    not: 0,
                },
                (false, false) => Side::LastWriter {
                    until_us: known.started_us.unwrap_or(i64::MAX).min(self.until_us),
                    not: step,
                },
            };
            let near = Near {
                dataset: input,
                side,
            };
            next.push(Todo {
                near,
                depth: todo.depth + 1,
                own: None,
            });
        }
    }

    fn below(
        &mut self,
        todo: Todo,
        flow: &Flow,
        known: &StepFlows,
        next: &mut Vec<Todo>,
        is_own: bool,
    ) {
        let (step, input) = (flow.other, todo.near.dataset);
        let Some(at) = self.places.get(&Key::Dataset(input)).copied() else {
            return;
        };
        let paired: HashSet<i64> = known.pairs.iter().map(|(output, _, _)| *output).collect();
        let from = known
            .pairs
            .iter()
            .filter(|(_, from, own)| *from == input && *own == is_own);
        let from: HashSet<i64> = from.map(|(output, _, _)| *output).collect();
        let writes = known.flows.iter().filter(|flow| flow.kind != READ);
        let mut writes: Vec<&Flow> = writes
            .filter(|flow| from.contains(&flow.other) || (!is_own && !paired.contains(&flow.other)))
            .collect();
        writes.sort_unstable_by_key(|flow| flow.other);
        if writes.is_empty() && !is_own {
            // Nothing was made from it: the step is shown as one that read it.
            if let Some(place) = self.node(Key::Step(step, 0)) {
                self.edge(at, place, step, flow);
            }
        }
        for wrote in writes {
            let output = wrote.other;
            let own = if from.contains(&output) { output } else { 0 };
            let Some(place) = self.node(Key::Step(step, own)) else {
                return;
            };
            self.edge(at, place, step, flow);
            let Some(other) = self.node(Key::Dataset(output)) else {
                return;
            };
            self.edge(place, other, step, wrote);
            let from_us = (!self.query.all_runs).then_some(wrote.last_us);
            let near = Near {
                dataset: output,
                side: Side::Readers { from_us },
            };
            next.push(Todo {
                near,
                depth: todo.depth + 1,
                own: Some(step),
            });
        }
    }

    /// Where a node stands; `None` when there is no room for it.
    fn node(&mut self, key: Key) -> Option<usize> {
        if let Some(place) = self.places.get(&key) {
            return Some(*place);
        }
        if self.nodes.len() as u64 >= self.query.max_nodes {
            self.truncated = Some("max_nodes");
            return None;
        }
        self.nodes.push(key);
        self.places.insert(key, self.nodes.len() - 1);
        Some(self.nodes.len() - 1)
    }

    fn edge(&mut self, from: usize, to: usize, step: i64, flow: &Flow) {
        let new = self.edges.len();
        if *self.between.entry((from, to)).or_insert(new) == new {
            self.edges.push(Link {
                from,
                to,
                step,
                flow: *flow,
            });
        }
    }

    /// Looks up what the nodes are called.
    async fn graph(
        self,
        facts: &mut impl Facts,
        dataset: &Dataset,
        limits: &Limits,
    ) -> Result<Graph, Error> {
        let (mut datasets, mut steps) = (Vec::new(), Vec::new());
        for key in &self.nodes {
            match key {
                Key::Dataset(id) => datasets.push(*id),
                Key::Step(id, _) => steps.push(*id),
            }
        }
        steps.sort_unstable();
        steps.dedup();
        let nodes = facts.dataset_nodes(&datasets, limits).await?;
        let datasets: HashMap<i64, Node> = datasets.into_iter().zip(nodes).collect();
        let nodes = facts.step_nodes(&steps).await?;
        let steps: HashMap<i64, Node> = steps.into_iter().zip(nodes).collect();
        let named = |key: &Key| {
            let found = match key {
                Key::Dataset(id) => datasets.get(id),
                Key::Step(id, _) => steps.get(id),
            };
            found.cloned().map(|node| node.with_id(key.id()))
        };
        let mut nodes: Vec<Node> = self.nodes.iter().filter_map(named).collect();
        self.count_what_nobody_wrote(&mut nodes);
        if nodes.is_empty() {
            nodes.push(unknown(dataset));
        }
        let edges = self.edges.iter().map(|link| Edge {
            from: self.nodes[link.from].id(),
            to: self.nodes[link.to].id(),
            step: match steps.get(&link.step) {
                Some(Node::Step { step_id, .. }) => step_id.clone(),
                _ => String::new(),
            },
            row_count: link.flow.row_count,
            rows_changed: link.flow.rows_changed,
            last_run: Timestamp::from_unix_us(link.flow.last_us)
                .as_str()
                .to_owned(),
            count: link.flow.count,
        });
        Ok(Graph {
            location: dataset.location(),
            edges: edges.collect(),
            nodes,
            truncated: self.truncated.map_or(json!(false), Value::from),
        })
    }

    /// Of a dataset that no step wrote the last of the steps that read it, and stand in the graph, tells the rows.
    fn count_what_nobody_wrote(&self, nodes: &mut [Node]) {
        let mut read: HashMap<String, (i64, u64)> = HashMap::new();
        for link in self.edges.iter().filter(|link| link.flow.kind == READ) {
            let Some(rows) = link.flow.row_count else {
                continue;
            };
            let last = read
                .entry(self.nodes[link.from].id())
                .or_insert((i64::MIN, rows));
            if link.flow.last_us > last.0 {
                *last = (link.flow.last_us, rows);
            }
        }
        for node in nodes {
            if let Node::Dataset {
                id,
                last_run: None,
                row_count: row_count @ None,
                ..
            } = node
            {
                *row_count = read.get(id).map(|(_, rows)| *rows);
            }
        }
    }
}

fn unknown(dataset: &Dataset) -> Node {
    Node::Dataset {
        id: model::UNKNOWN.into(),
        location: dataset.location(),
        namespace: dataset.namespace.clone(),
        name: dataset.name.clone(),
        last_run: None,
        row_count: None,
        rows_changed: None,
    }
}
