use super::data;
use crate::model::{Direction, GraphQuery, HopQuery, Walk};
use crate::store::RegistryStore;
use pudato_handler::Failure;
use pudato_protocol::{Fields, Object};

const DIRECTIONS: [&str; 5] = ["producers", "consumers", "both", "upstream", "downstream"];
/// The depth of a walk, by default.
const DEPTH_DEFAULT: u64 = 10;
const DEPTH_MAX: u64 = 100;
/// The number of nodes in an answer, by default.
const NODES_DEFAULT: u64 = 500;
const NODES_MAX: u64 = 10_000;

pub(super) async fn get(store: &dyn RegistryStore, mut payload: Fields) -> Result<Object, Failure> {
    let location = payload.name_text("location")?;
    let direction = payload.one_of("direction", &DIRECTIONS)?;
    let environment = payload.optional_text("environment")?;
    let depth = payload.whole_number("depth", 1..=DEPTH_MAX)?;
    let max_nodes = payload.whole_number("max_nodes", 1..=NODES_MAX)?;
    let max_nodes = max_nodes.unwrap_or(NODES_DEFAULT);
    let as_of = payload.optional_timestamp("as_of")?;
    let runs = payload.one_of("runs", &["latest", "all"])?;
    let walk = match direction.as_deref() {
        Some("upstream") => Walk::Upstream,
        Some("downstream") => Walk::Downstream,
        one_hop => {
            let direction = match one_hop {
                Some("producers") => Direction::Producers,
                Some("consumers") => Direction::Consumers,
                _ => Direction::Both,
            };
            let hop = store.one_hop(HopQuery {
                location,
                direction,
                environment,
                as_of,
                max_nodes,
            });
            let hop = hop.await?;
            let mut hop = data(&hop);
            match direction {
                Direction::Producers => drop(hop.shift_remove("consumers")),
                Direction::Consumers => drop(hop.shift_remove("producers")),
                Direction::Both => {}
            }
            return Ok(hop);
        }
    };
    let graph = store.graph(GraphQuery {
        location,
        walk,
        depth: depth.unwrap_or(DEPTH_DEFAULT),
        max_nodes,
        as_of,
        environment,
        all_runs: runs.as_deref() == Some("all"),
    });
    Ok(data(&graph.await?))
}
