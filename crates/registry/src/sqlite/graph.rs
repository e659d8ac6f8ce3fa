//! The walk over datasets and steps. Every query of it is an index walk.

use super::micros;
use super::resolve::resolve;
use crate::error::Error;
use crate::fold::StepStatus;
use crate::model::{Edge, Graph, GraphQuery, Node, Walk};
use pudato_protocol::{Dataset, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};

/// The step read the dataset.
const READ: i64 = 0;
/// The step wrote the dataset.
const WROTE: i64 = 1;

/// Walks breadth first from the asked dataset.
pub(super) fn walk(connection: &Connection, query: &GraphQuery) -> Result<Graph, Error> {
    let found = resolve(connection, &query.location)?;
    let until_us = query.as_of.as_ref().map_or(i64::MAX, micros);
    let mut walker = Walker {
        connection,
        query,
        until_us,
        nodes: Vec::new(),
        seen: HashMap::new(),
        edges: Vec::new(),
        between: HashMap::new(),
        truncated: None,
    };
    match found.id {
        None => walker.nodes.push(unknown(&found.dataset)),
        Some(id) => walker.from(id)?,
    }
    Ok(Graph {
        location: found.dataset.location(),
        nodes: walker.nodes,
        edges: walker.edges,
        truncated: walker.truncated.map_or(json!(false), Value::from),
    })
}

struct Walker<'a> {
    connection: &'a Connection,
    query: &'a GraphQuery,
    until_us: i64,
    nodes: Vec<Node>,
    /// Key of a node, and where it stands.
    seen: HashMap<Key, usize>,
    edges: Vec<Edge>,
    /// Which edge connects two nodes.
    between: HashMap<(usize, usize), usize>,
    truncated: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Dataset(i64),
    Step(i64),
}

/// A dataset whose other side is still to be looked at.
struct Todo {
    dataset: i64,
    depth: u64,
    /// Going upstream: what the reader could see. Going downstream: the step that wrote it.
    reach: Reach,
}

#[derive(Clone, Copy)]
enum Reach {
    WrittenBy(i64),
    UntilUs(i64),
    Any,
}

/// Edges of one dataset and step, taken together.
struct Flow {
    other: i64,
    last_us: i64,
    count: u64,
    row_count: Option<u64>,
}

impl Walker<'_> {
    fn from(&mut self, dataset: i64) -> Result<(), Error> {
        let reach = match self.query.walk {
            Walk::Upstream => Reach::UntilUs(self.until_us),
            Walk::Downstream => Reach::Any,
        };
        self.dataset(dataset)?;
        let mut todo = VecDeque::from([Todo {
            dataset,
            depth: 0,
            reach,
        }]);
        // A dataset is looked at once per reach: what fed one reader may not be what fed another.
        let mut looked = HashMap::new();
        while let Some(next) = todo.pop_front() {
            let steps = self.steps(&next)?;
            if steps.is_empty() {
                continue;
            }
            if next.depth == self.query.depth {
                self.truncated.get_or_insert("depth");
                continue;
            }
            for flow in steps {
                if looked.insert((next.dataset, flow.other), ()).is_some() {
                    continue;
                }
                self.step(&next, &flow, &mut todo)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, next: &Todo, flow: &Flow, todo: &mut VecDeque<Todo>) -> Result<(), Error> {
        let Some(at) = self.dataset(next.dataset)? else {
            return Ok(());
        };
        let is_new = !self.seen.contains_key(&Key::Step(flow.other));
        let Some((step, started_us)) = self.step_node(flow.other)? else {
            return Ok(());
        };
        let upstream = self.query.walk == Walk::Upstream;
        let (from, to) = if upstream { (step, at) } else { (at, step) };
        self.edge(from, to, flow);
        if !is_new {
            return Ok(());
        }
        let far = if upstream { READ } else { WROTE };
        for beyond in self.datasets_of(flow.other, far)? {
            let Some(other) = self.dataset(beyond.other)? else {
                return Ok(());
            };
            let (from, to) = if upstream {
                (other, step)
            } else {
                (step, other)
            };
            self.edge(from, to, &beyond);
            let reach = match (upstream, self.query.all_runs) {
                (true, false) => Reach::UntilUs(started_us.unwrap_or(i64::MAX).min(self.until_us)),
                (false, false) => Reach::WrittenBy(flow.other),
                (_, true) => Reach::Any,
            };
            todo.push_back(Todo {
                dataset: beyond.other,
                depth: next.depth + 1,
                reach,
            });
        }
        Ok(())
    }

    /// The steps on the far side of a dataset.
    fn steps(&self, next: &Todo) -> Result<Vec<Flow>, Error> {
        let upstream = self.query.walk == Walk::Upstream;
        let side = if upstream { WROTE } else { READ };
        let mut flows = match next.reach {
            Reach::UntilUs(until_us) if upstream && !self.query.all_runs => {
                let last = self.producer(next.dataset, until_us)?;
                last.into_iter().collect()
            }
            _ => self.flows(next.dataset, side)?,
        };
        if let Reach::WrittenBy(writer) = next.reach {
            let mut kept = Vec::new();
            for flow in flows {
                let started_us = self.started_us(flow.other)?.unwrap_or(i64::MAX);
                let read = self.producer(next.dataset, started_us.min(self.until_us))?;
                if read.is_some_and(|producer| producer.other == writer) {
                    kept.push(flow);
                }
            }
            flows = kept;
        }
        Ok(flows)
    }

    /// The last step that wrote `dataset` at or before `until_us`.
    fn producer(&self, dataset: i64, until_us: i64) -> Result<Option<Flow>, Error> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT edge.step, edge.at_us, edge.row_count FROM edge
                 JOIN step ON step.id = edge.step LEFT JOIN job ON job.id = step.job
                 WHERE dataset = ?1 AND direction = 1 AND edge.at_us <= ?2 AND (?3 IS NULL OR job.environment = ?3)
                 ORDER BY edge.at_us DESC, edge.result DESC LIMIT 1",
            )?
            .query_row(
                params![dataset, until_us, self.query.environment],
                |row| {
                    Ok(Flow {
                        other: row.get(0)?,
                        last_us: row.get(1)?,
                        count: 1,
                        row_count: row.get(2)?,
                    })
                },
            )
            .optional()?;
        Ok(found)
    }

    fn flows(&self, dataset: i64, side: i64) -> Result<Vec<Flow>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT edge.step, MAX(edge.at_us), COUNT(*), edge.row_count FROM edge
             JOIN step ON step.id = edge.step LEFT JOIN job ON job.id = step.job
             WHERE dataset = ?1 AND direction = ?2 AND edge.at_us <= ?3 AND (?4 IS NULL OR job.environment = ?4)
             GROUP BY edge.step ORDER BY MAX(edge.at_us) DESC LIMIT ?5",
        )?;
        // One more than can be shown tells that there is more.
        let limit = self.query.max_nodes.saturating_add(1);
        let rows = statement.query_map(
            params![dataset, side, self.until_us, self.query.environment, limit],
            flow,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn datasets_of(&self, step: i64, side: i64) -> Result<Vec<Flow>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT dataset, MAX(at_us), COUNT(*), row_count FROM edge
             WHERE step = ? AND direction = ? AND at_us <= ? GROUP BY dataset ORDER BY dataset",
        )?;
        let rows = statement.query_map(params![step, side, self.until_us], flow)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn started_us(&self, step: i64) -> Result<Option<i64>, Error> {
        Ok(self
            .connection
            .prepare_cached("SELECT started_us FROM step WHERE id = ?")?
            .query_row([step], |row| row.get(0))?)
    }

    /// Where a dataset stands among the nodes; `None` when there is no room for it.
    fn dataset(&mut self, id: i64) -> Result<Option<usize>, Error> {
        if let Some(at) = self.seen.get(&Key::Dataset(id)) {
            return Ok(Some(*at));
        }
        let dataset = self
            .connection
            .prepare_cached("SELECT namespace, name FROM dataset WHERE id = ?")?
            .query_row([id], |row| {
                Ok(Dataset {
                    namespace: row.get(0)?,
                    name: row.get(1)?,
                })
            })?;
        let last = self.producer(id, self.until_us)?;
        let last_run = match &last {
            Some(flow) => self
                .connection
                .prepare_cached("SELECT step_id FROM step WHERE id = ?")?
                .query_row([flow.other], |row| row.get(0))
                .optional()?,
            None => None,
        };
        Ok(self.push(
            Key::Dataset(id),
            Node::Dataset {
                id: format!("dataset:{id}"),
                location: dataset.location(),
                namespace: dataset.namespace,
                name: dataset.name,
                last_run,
                row_count: last.and_then(|flow| flow.row_count),
            },
        ))
    }

    fn step_node(&mut self, id: i64) -> Result<Option<(usize, Option<i64>)>, Error> {
        let (node, started_us) = self
            .connection
            .prepare_cached(
                "SELECT step_id, job.job_id, COALESCE(step_name, step.action, seen_action), pipeline,
                 COALESCE(handler_type, seen_handler), COALESCE(step.action, seen_action), status,
                 CASE WHEN rank = 2 THEN at END, started_us
                 FROM step LEFT JOIN job ON job.id = step.job WHERE step.id = ?",
            )?
            .query_row([id], |row| {
                let status: String = row.get(6)?;
                let node = Node::Step {
                    id: format!("step:{id}"),
                    step_id: row.get(0)?,
                    job_id: row.get(1)?,
                    step_name: row.get(2)?,
                    pipeline: row.get(3)?,
                    handler: row.get(4)?,
                    action: row.get(5)?,
                    status: StepStatus::parse(&status).unwrap_or(StepStatus::Pending),
                    completed_at: row.get(7)?,
                };
                Ok((node, row.get(8)?))
            })?;
        if let Some(at) = self.seen.get(&Key::Step(id)) {
            return Ok(Some((*at, started_us)));
        }
        Ok(self.push(Key::Step(id), node).map(|at| (at, started_us)))
    }

    fn push(&mut self, key: Key, node: Node) -> Option<usize> {
        if self.nodes.len() as u64 >= self.query.max_nodes {
            self.truncated = Some("max_nodes");
            return None;
        }
        self.nodes.push(node);
        self.seen.insert(key, self.nodes.len() - 1);
        Some(self.nodes.len() - 1)
    }

    fn edge(&mut self, from: usize, to: usize, flow: &Flow) {
        if self.between.contains_key(&(from, to)) {
            return;
        }
        self.between.insert((from, to), self.edges.len());
        self.edges.push(Edge {
            from: self.nodes[from].id().to_owned(),
            to: self.nodes[to].id().to_owned(),
            row_count: flow.row_count,
            last_run: Timestamp::from_unix_us(flow.last_us).as_str().to_owned(),
            count: flow.count,
        });
    }
}

fn flow(row: &rusqlite::Row<'_>) -> rusqlite::Result<Flow> {
    Ok(Flow {
        other: row.get(0)?,
        last_us: row.get(1)?,
        count: row.get(2)?,
        row_count: row.get(3)?,
    })
}

fn unknown(dataset: &Dataset) -> Node {
    Node::Dataset {
        id: "dataset:0".into(),
        location: dataset.location(),
        namespace: dataset.namespace.clone(),
        name: dataset.name.clone(),
        last_run: None,
        row_count: None,
    }
}
