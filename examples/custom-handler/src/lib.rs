//! A service of one's own: `profile` counts the rows and the empty cells of a CSV text.
//!
//! Its commands travel over the topic `pudato-profile-commands` and the queue `pudato-profile-queue`, which are made like
//! pudato's own; retries, dead letters, idempotency, lineage and `pudato trace` come with them.

use async_trait::async_trait;
use pudato_runtime::handler::{Action, Answer, Effect, Failure, Handler, Request};
use pudato_runtime::protocol::{DataReference, Object};

/// The handler.
pub struct Profile;

/// Running it twice changes nothing, so no answer needs to be kept.
const ACTIONS: &[Action] = &[Action::new("profile_csv", Effect::Read)];

#[async_trait]
impl Handler for Profile {
    fn service(&self) -> &str {
        "profile"
    }

    fn actions(&self) -> &[Action] {
        ACTIONS
    }

    async fn handle(&self, request: Request<'_>) -> Result<Answer, Failure> {
        // A missing or ill-typed field becomes an error Result that names it.
        let mut payload = request.payload()?;
        let location = payload.name_text("location")?;
        let text = payload.text("data")?;
        let (rows, empty) = count(&text);
        let mut data = Object::new();
        data.insert("rows".into(), rows.into());
        data.insert("empty_cells".into(), empty.into());
        let read = DataReference::new("file", location)
            .format("csv")
            .with("row_count", rows);
        Ok(Answer::new(data)
            .input(read)
            .event("profile.counted", Object::new()))
    }
}

/// Rows below the header, and cells with nothing in them.
fn count(text: &str) -> (usize, usize) {
    let rows = text.lines().skip(1).filter(|line| !line.is_empty());
    rows.fold((0, 0), |(rows, empty), line| {
        let cells = line.split(',').filter(|cell| cell.trim().is_empty());
        (rows + 1, empty + cells.count())
    })
}
