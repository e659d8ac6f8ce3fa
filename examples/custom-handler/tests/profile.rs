//! A command to the service of one's own is answered, and its lineage recorded, like any other.

use custom_handler::Profile;
use pudato_runtime::protocol::{Command, Status};
use pudato_runtime::registry::{Direction, HopQuery};
use pudato_runtime::settings::Sources;
use pudato_runtime::{CancellationToken, Client, Installation, Role, Settings};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn its_commands_are_answered_and_leave_lineage() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data").display().to_string();
    let settings = Settings::load(&Sources {
        flags: BTreeMap::from([("PUDATO_DATA_DIR", data)]),
        environment: &|_| None,
        file: None,
    });
    let settings = settings.expect("settings");
    let pudato = Installation::open_with(settings, vec![Arc::new(Profile)]).await;
    let pudato = Arc::new(pudato.expect("opened"));
    let drain = CancellationToken::new();
    let (serving, stop) = (Arc::clone(&pudato), drain.clone());
    let served = tokio::spawn(async move {
        let parts = [Role::Worker("profile".into()), Role::Results];
        serving.run(&parts, stop).await
    });
    let payload = json!({"location": "file:///lake/a.csv", "data": "a,b\n1,\n2,3\n"});
    let payload = payload.as_object().cloned().expect("an object");
    let mut command = Command::new("profile", "profile_csv", payload);
    command.step_id = Some("step-1".into());
    let client = Client::new(&pudato);
    let result = client
        .call(&command, Duration::from_secs(30))
        .await
        .expect("answered");
    assert_eq!(result.status, Status::Success, "{:?}", result.errors);
    assert_eq!(result.data.expect("data")["empty_cells"], 1);
    let hop = pudato
        .registry
        .one_hop(HopQuery {
            location: "lake/a.csv".into(),
            direction: Direction::Consumers,
            environment: None,
            as_of: None,
            max_nodes: 10,
        })
        .await;
    assert_eq!(hop.expect("lineage").consumers[0].step_id, "step-1");
    drain.cancel();
    served.await.expect("no panic").expect("drained");
}
