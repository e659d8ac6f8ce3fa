//! Builds the graph hop by hop, starting from the dataset that the query names.

use super::{Limits, LineageReader, Neighbour, Probe, Relation, StepNeighbours};
use crate::batch::{ADDED, READ};
use crate::error::Error;
use crate::model::{self, Edge, Graph, GraphQuery, Node, Walk};
use pudato_protocol::{Dataset, Timestamp};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Walks from a dataset. `root` is `None` if no Result has named the dataset yet.
pub(crate) async fn walk(
    reader: &mut impl LineageReader,
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
        walker.from(reader, root, &limits).await?;
    }
    walker.graph(reader, dataset, &limits).await
}

/// A node before it is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Dataset(i64),
    /// A step, restricted to the output in the second field; 0 if the step does not report which inputs made which output.
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
    neighbour: Neighbour,
}

/// A probe that waits for its turn, `depth` steps away from the root.
#[derive(Debug, Clone, Copy)]
struct Todo {
    probe: Probe,
    depth: u64,
    /// Downstream only: the step that wrote the dataset and read it again in the same run.
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
    known: HashMap<i64, Arc<StepNeighbours>>,
    asked: HashSet<Probe>,
    truncated: Option<&'static str>,
}

impl Walker<'_> {
    async fn from(
        &mut self,
        reader: &mut impl LineageReader,
        root: i64,
        limits: &Limits,
    ) -> Result<(), Error> {
        self.node(Key::Dataset(root));
        let relation = match (self.is_upstream, self.query.all_runs) {
            (true, false) => Relation::LastWriter {
                until_us: limits.until_us,
                not: 0,
            },
            (true, true) => Relation::Writers,
            (false, _) => Relation::Readers { from_us: None },
        };
        let probe = Probe {
            dataset: root,
            relation,
        };
        let mut level = vec![Todo {
            probe,
            depth: 0,
            own: None,
        }];
        while !level.is_empty() {
            level.retain(|todo| self.asked.insert(todo.probe));
            let asked: Vec<Probe> = level.iter().map(|todo| todo.probe).collect();
            let answers = reader.probe(&asked, limits).await?;
            let found: Vec<(Todo, Vec<Neighbour>)> = level.into_iter().zip(answers).collect();
            self.learn(reader, &found, limits).await?;
            level = Vec::new();
            for (todo, neighbours) in found {
                for neighbour in &neighbours {
                    self.step(todo, neighbour, &mut level);
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

    /// Looks up the steps that the walk meets for the first time.
    async fn learn(
        &mut self,
        reader: &mut impl LineageReader,
        found: &[(Todo, Vec<Neighbour>)],
        limits: &Limits,
    ) -> Result<(), Error> {
        let met = found
            .iter()
            .filter(|(todo, _)| todo.depth < self.query.depth);
        let met =
            met.flat_map(|(_, neighbours)| neighbours.iter().map(|neighbour| neighbour.other));
        let mut seen = HashSet::new();
        let new = met.filter(|id| !self.known.contains_key(id) && seen.insert(*id));
        // The graph cannot show more steps than this.
        let most = usize::try_from(limits.neighbours_max).unwrap_or(usize::MAX);
        let new: Vec<i64> = new.take(most).collect();
        let neighbours = reader.steps(&new, limits).await?;
        self.known
            .extend(new.into_iter().zip(neighbours.into_iter().map(Arc::new)));
        Ok(())
    }

    /// Adds a neighbouring step, and the datasets beyond it.
    fn step(&mut self, todo: Todo, neighbour: &Neighbour, next: &mut Vec<Todo>) {
        // A step that reads a dataset before it writes it does not read its own output.
        let wrote_it = matches!(todo.probe.relation, Relation::Readers { from_us: Some(_) });
        if wrote_it && todo.own == Some(neighbour.other) {
            return;
        }
        if todo.depth == self.query.depth {
            self.truncated.get_or_insert("depth");
            return;
        }
        let Some(known) = self.known.get(&neighbour.other).map(Arc::clone) else {
            self.truncated = Some("max_nodes");
            return;
        };
        // The write kept the older contents, so the writer before it counts as well.
        if let (Relation::LastWriter { until_us, not }, ADDED) =
            (todo.probe.relation, neighbour.kind)
        {
            let until_us = until_us.min(neighbour.last_us.saturating_sub(1));
            // A step writes nothing before it begins, so it need not be excluded earlier than that. Without the exclusion, all
            // probes for this instant are equal, and the walk asks once.
            let began = self.known.get(&not).and_then(|own| own.started_us);
            let not = match began {
                Some(began) if began > until_us => 0,
                _ => not,
            };
            let relation = Relation::LastWriter { until_us, not };
            next.push(Todo {
                probe: Probe {
                    relation,
                    ..todo.probe
                },
                ..todo
            });
        }
        if self.is_upstream {
            self.above(todo, neighbour, &known, next);
        } else if neighbour.kind != READ {
            self.read_again(todo, neighbour.other, next);
        } else {
            self.below(todo, neighbour, &known, next, false);
        }
    }

    /// Adds a step that read its own output again, together with the older contents that the write kept.
    fn read_again(&mut self, todo: Todo, step: i64, next: &mut Vec<Todo>) {
        let Some(known) = self.known.get(&step).map(Arc::clone) else {
            return;
        };
        let (input, is_there) = (todo.probe.dataset, todo.depth < self.query.depth);
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
            .neighbours
            .iter()
            .find(|neighbour| neighbour.kind != READ && neighbour.other == input);
        if let Some(wrote) = wrote {
            let neighbour = Neighbour {
                other: step,
                kind: READ,
                ..*wrote
            };
            self.below(todo, &neighbour, &known, next, true);
        }
    }

    fn above(
        &mut self,
        todo: Todo,
        neighbour: &Neighbour,
        known: &StepNeighbours,
        next: &mut Vec<Todo>,
    ) {
        let (step, output) = (neighbour.other, todo.probe.dataset);
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
        self.edge(place, at, step, neighbour);
        if !is_new {
            return;
        }
        let reads = known
            .neighbours
            .iter()
            .filter(|neighbour| neighbour.kind == READ);
        let reads: HashMap<i64, &Neighbour> = reads
            .map(|neighbour| (neighbour.other, neighbour))
            .collect();
        let wrote = |dataset: i64| {
            let mut writes = known
                .neighbours
                .iter()
                .filter(|neighbour| neighbour.kind != READ);
            writes.find(|neighbour| neighbour.other == dataset)
        };
        let mut inputs: Vec<(i64, bool)> = if from.is_empty() {
            reads.keys().map(|dataset| (*dataset, false)).collect()
        } else {
            from.into_iter().collect()
        };
        inputs.sort_unstable();
        for (input, is_own) in inputs {
            // A step has no read edge for a dataset that it made itself; the write edge carries the numbers.
            let through = reads.get(&input).copied().or_else(|| wrote(input));
            let through = through.copied().unwrap_or(Neighbour {
                other: input,
                kind: READ,
                last_us: neighbour.last_us,
                count: 1,
                row_count: None,
                rows_changed: None,
            });
            let Some(other) = self.node(Key::Dataset(input)) else {
                return;
            };
            self.edge(other, place, step, &through);
            let relation = match (self.query.all_runs, is_own) {
                (true, _) => Relation::Writers,
                // This step made the input itself, at the latest when its last Result was written.
                (false, true) => Relation::LastWriter {
                    until_us: through.last_us,
                    not: 0,
                },
                (false, false) => Relation::LastWriter {
                    until_us: known.started_us.unwrap_or(i64::MAX).min(self.until_us),
                    not: step,
                },
            };
            let probe = Probe {
                dataset: input,
                relation,
            };
            next.push(Todo {
                probe,
                depth: todo.depth + 1,
                own: None,
            });
        }
    }

    fn below(
        &mut self,
        todo: Todo,
        neighbour: &Neighbour,
        known: &StepNeighbours,
        next: &mut Vec<Todo>,
        is_own: bool,
    ) {
        let (step, input) = (neighbour.other, todo.probe.dataset);
        let Some(at) = self.places.get(&Key::Dataset(input)).copied() else {
            return;
        };
        let paired: HashSet<i64> = known.pairs.iter().map(|(output, _, _)| *output).collect();
        let from = known
            .pairs
            .iter()
            .filter(|(_, from, own)| *from == input && *own == is_own);
        let from: HashSet<i64> = from.map(|(output, _, _)| *output).collect();
        let writes = known
            .neighbours
            .iter()
            .filter(|neighbour| neighbour.kind != READ);
        let mut writes: Vec<&Neighbour> = writes
            .filter(|neighbour| {
                from.contains(&neighbour.other) || (!is_own && !paired.contains(&neighbour.other))
            })
            .collect();
        writes.sort_unstable_by_key(|neighbour| neighbour.other);
        if writes.is_empty() && !is_own {
            // The step made nothing from the dataset, so it is shown as a reader without outputs.
            if let Some(place) = self.node(Key::Step(step, 0)) {
                self.edge(at, place, step, neighbour);
            }
        }
        for wrote in writes {
            let output = wrote.other;
            let own = if from.contains(&output) { output } else { 0 };
            let Some(place) = self.node(Key::Step(step, own)) else {
                return;
            };
            self.edge(at, place, step, neighbour);
            let Some(other) = self.node(Key::Dataset(output)) else {
                return;
            };
            self.edge(place, other, step, wrote);
            let from_us = (!self.query.all_runs).then_some(wrote.last_us);
            let probe = Probe {
                dataset: output,
                relation: Relation::Readers { from_us },
            };
            next.push(Todo {
                probe,
                depth: todo.depth + 1,
                own: Some(step),
            });
        }
    }

    /// The index of a node, which is added if it is new; `None` if the graph is full.
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

    fn edge(&mut self, from: usize, to: usize, step: i64, neighbour: &Neighbour) {
        let new = self.edges.len();
        if *self.between.entry((from, to)).or_insert(new) == new {
            self.edges.push(Link {
                from,
                to,
                step,
                neighbour: *neighbour,
            });
        }
    }

    /// Looks up the names of the nodes and builds the graph.
    async fn graph(
        self,
        reader: &mut impl LineageReader,
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
        let nodes = reader.dataset_nodes(&datasets, limits).await?;
        let datasets: HashMap<i64, Node> = datasets.into_iter().zip(nodes).collect();
        let nodes = reader.step_nodes(&steps).await?;
        let steps: HashMap<i64, Node> = steps.into_iter().zip(nodes).collect();
        let named = |key: &Key| {
            let found = match key {
                Key::Dataset(id) => datasets.get(id),
                Key::Step(id, _) => steps.get(id),
            };
            found.cloned().map(|node| node.with_id(key.id()))
        };
        let mut nodes: Vec<Node> = self.nodes.iter().filter_map(named).collect();
        self.fill_row_counts_from_readers(&mut nodes);
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
            row_count: link.neighbour.row_count,
            rows_changed: link.neighbour.rows_changed,
            last_run: Timestamp::from_unix_us(link.neighbour.last_us)
                .as_str()
                .to_owned(),
            count: link.neighbour.count,
        });
        Ok(Graph {
            location: dataset.location(),
            edges: edges.collect(),
            nodes,
            truncated: self.truncated.map_or(json!(false), Value::from),
        })
    }

    /// Gives each dataset that no step wrote the row count that its latest reader in the graph reported.
    fn fill_row_counts_from_readers(&self, nodes: &mut [Node]) {
        let mut read: HashMap<String, (i64, u64)> = HashMap::new();
        for link in self.edges.iter().filter(|link| link.neighbour.kind == READ) {
            let Some(rows) = link.neighbour.row_count else {
                continue;
            };
            let last = read
                .entry(self.nodes[link.from].id())
                .or_insert((i64::MIN, rows));
            if link.neighbour.last_us > last.0 {
                *last = (link.neighbour.last_us, rows);
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
