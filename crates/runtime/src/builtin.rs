//! The actions and payload fields of pudato's own services, known without a running service.

use pudato_handler::Action;

/// The actions of one of pudato's own services; `None` for any other service.
pub fn actions(service: &str) -> Option<&'static [Action]> {
    match service {
        "storage" => Some(pudato_storage::ACTIONS),
        "query" => Some(&pudato_query::ACTIONS),
        "registry" => Some(pudato_registry::ACTIONS),
        #[cfg(feature = "dbt")]
        "transform" => Some(pudato_transform::ACTIONS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pudato_protocol::Object;

    /// Field names that other programs use in payloads. Each must be a field of an action, or be refused by name.
    #[test]
    fn no_field_name_of_other_programs_is_ignored() {
        let names = [
            "created_after",
            "created_before",
            "offset",
            "logic_version",
            "started_at",
            "completed_at",
        ];
        let mut known_somewhere = Vec::new();
        for service in ["storage", "query", "registry", "transform"] {
            let Some(actions) = actions(service) else {
                // A build without dbt does not have this service.
                continue;
            };
            for action in actions {
                let fields = action.fields.expect("every action says its fields");
                for name in names {
                    let payload = Object::from_iter([(name.to_owned(), 1.into())]);
                    match (action.check_fields(&payload), fields.contains(&name)) {
                        (Ok(()), true) => known_somewhere.push(name),
                        (Err(error), false) => {
                            let told = error.to_string();
                            let begin =
                                format!("payload.{name}: {} has no such field", action.name);
                            assert!(
                                told.starts_with(&begin) && told.contains("expected some of"),
                                "{told}"
                            );
                        }
                        (checked, _) => panic!("{service} {}: {name}: {checked:?}", action.name),
                    }
                }
            }
        }
        for name in names {
            assert!(
                known_somewhere.contains(&name),
                "{name}: no action has this field"
            );
        }
    }
}
