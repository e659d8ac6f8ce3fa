//! Replaying dead letters.

use crate::installation::Installation;
use pudato_messaging::{Error, replay_paced};

impl Installation {
    /// Sends dead letters back to the queues they came from, at most `per_second` from each dead-letter queue per second. `found` has the
    /// dead-letter queues with the ids of their messages. Returns how many messages were moved.
    ///
    /// # Errors
    /// A queue is unknown, or the fabric cannot be reached. Messages that were moved by then stay moved.
    pub async fn replay(
        &self,
        found: &[(String, Vec<String>)],
        per_second: Option<u32>,
    ) -> Result<u64, Error> {
        let mut moved = 0;
        for (queue, ids) in found {
            moved += replay_paced(&*self.fabric.operations, queue, ids, None, per_second).await?;
        }
        Ok(moved)
    }
}
