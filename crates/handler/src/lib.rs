//! The handler trait, and the dispatch of Commands to actions.
//!
//! A service implements [`Handler`]; [`dispatch`] checks that a Command is meant for it, runs the action, and builds the Result, which
//! always carries the Command's ids and the lineage.
//!
//! ```
//! use pudato_handler::{Action, Answer, Effect, Failure, Handler, Request, dispatch};
//! use pudato_protocol::{Command, Object, Status, Timestamp};
//!
//! struct Greeter;
//!
//! #[async_trait::async_trait]
//! impl Handler for Greeter {
//!     fn service(&self) -> &str {
//!         "greeter"
//!     }
//!     fn actions(&self) -> &[Action] {
//!         const ACTIONS: &[Action] = &[Action::new("greet", Effect::Read)];
//!         ACTIONS
//!     }
//!     async fn handle(&self, request: Request<'_>) -> Result<Answer, Failure> {
//!         let mut payload = request.payload()?;
//!         let mut data = Object::new();
//!         data.insert("text".into(), format!("Hello, {}", payload.text("name")?).into());
//!         Ok(Answer::new(data))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let command = Command::new("greeter", "greet", Object::new());
//! let handled = dispatch(&Greeter, &command, None, &(), &Timestamp::now).await.expect("no backend is down");
//! assert_eq!(handled.result.status, Status::Error);
//! assert_eq!(handled.result.errors, ["payload.name: required, expected a string; it is missing"]);
//! # }
//! ```

mod dispatch;
mod handler;
mod redact;
mod secret_names;
mod waiting;

pub use dispatch::{Handled, Later, dispatch};
pub use handler::{
    Action, Answer, Effect, Failure, FollowUp, Handler, Identity, Progress, Request, check_fields,
    nearest,
};
pub use redact::redact;
pub use waiting::{Wait, Waiting, Waits, called};
