//! One hop: the steps next to a dataset.

use super::{Facts, Flow, Limits, Near, Side};
use crate::batch::READ;
use crate::error::Error;
use crate::model::{Direction, Hop, HopQuery, Node, OneHop};
use pudato_protocol::Dataset;

/// The steps next to a dataset.
pub(crate) async fn one_hop(
    facts: &mut impl Facts,
    root: Option<i64>,
    dataset: &Dataset,
    query: &HopQuery,
) -> Result<OneHop, Error> {
    let limits = Limits::of_hop(query);
    let sides = [
        (Direction::Consumers, Side::Writers),
        (Direction::Producers, Side::Readers { from_us: None }),
    ];
    let mut hops = [Vec::new(), Vec::new()];
    let mut truncated = false;
    for (hops, (unless, side)) in hops.iter_mut().zip(sides) {
        let Some(dataset) = root.filter(|_| query.direction != unless) else {
            continue;
        };
        let found = facts.near(&[Near { dataset, side }], &limits).await?;
        let is_asked = |flow: &&Flow| (flow.kind == READ) == (unless == Direction::Producers);
        let found = found.iter().flatten().filter(is_asked);
        let mut steps: Vec<i64> = found.map(|flow| flow.other).collect();
        let most = usize::try_from(query.max_nodes).unwrap_or(usize::MAX);
        truncated |= steps.len() > most;
        steps.truncate(most);
        let nodes = facts.step_nodes(&steps).await?;
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
