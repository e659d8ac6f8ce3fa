//! One hop: the steps that read or wrote a dataset.

use super::{Limits, LineageReader, Neighbour, Probe, Relation};
use crate::batch::READ;
use crate::error::Error;
use crate::model::{Direction, Hop, HopQuery, Node, OneHop};
use pudato_protocol::Dataset;

/// Finds the steps that wrote the dataset (producers) and the steps that read it (consumers).
pub(crate) async fn one_hop(
    reader: &mut impl LineageReader,
    root: Option<i64>,
    dataset: &Dataset,
    query: &HopQuery,
) -> Result<OneHop, Error> {
    let limits = Limits::of_hop(query);
    let relations = [
        (Direction::Consumers, Relation::Writers),
        (Direction::Producers, Relation::Readers { from_us: None }),
    ];
    let mut hops = [Vec::new(), Vec::new()];
    let mut truncated = false;
    for (hops, (unless, relation)) in hops.iter_mut().zip(relations) {
        let Some(dataset) = root.filter(|_| query.direction != unless) else {
            continue;
        };
        let found = reader
            .probe(&[Probe { dataset, relation }], &limits)
            .await?;
        let is_asked =
            |neighbour: &&Neighbour| (neighbour.kind == READ) == (unless == Direction::Producers);
        let found = found.iter().flatten().filter(is_asked);
        let mut steps: Vec<i64> = found.map(|neighbour| neighbour.other).collect();
        let most = usize::try_from(query.max_nodes).unwrap_or(usize::MAX);
        truncated |= steps.len() > most;
        steps.truncate(most);
        let nodes = reader.step_nodes(&steps).await?;
        hops.extend(nodes.into_iter().filter_map(hop));
    }
    let [producers, consumers] = hops;
    Ok(OneHop {
        location: dataset.location(),
        producers,
        consumers,
        truncated,
    })
}

fn hop(node: Node) -> Option<Hop> {
    let Node::Step {
        step_id,
        job_id,
        step_name,
        pipeline,
        action,
        status,
        completed_at,
        ..
    } = node
    else {
        return None;
    };
    Some(Hop {
        job_id,
        step_id,
        step_name: step_name.or(action),
        pipeline,
        status,
        completed_at,
    })
}
