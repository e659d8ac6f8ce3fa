//! Checks steps against pudato's own services before anything is sent, without a running service.

use super::{FileError, Pipeline, Step};
use crate::builtin;
use crate::settings::variables::nearest;
use pudato_protocol::Object;
use std::path::Path;

impl Pipeline {
    /// Checks the action and the payload fields of every step of pudato's own services. Returns the steps of other services, which cannot
    /// be checked.
    ///
    /// # Errors
    /// All errors at once, each with its step and its line in `file`.
    pub fn check(&self, file: &Path) -> Result<Vec<&Step>, FileError> {
        let (mut wrong, mut others) = (Vec::new(), Vec::new());
        for step in &self.steps {
            match builtin::actions(&step.r#type) {
                Some(actions) => wrong.extend(step.check(actions)),
                None => others.push(step),
            }
        }
        wrong.sort_by_key(|(line, _)| *line);
        match wrong.is_empty() {
            true => Ok(others),
            false => Err(FileError {
                file: file.to_owned(),
                wrong,
            }),
        }
    }
}

impl Step {
    fn check(&self, actions: &[pudato_handler::Action]) -> Vec<(usize, String)> {
        let name = &self.name;
        let Some(action) = actions.iter().find(|known| known.is_named(&self.action)) else {
            let known: Vec<&str> = actions.iter().map(|known| known.name).collect();
            let near = nearest(&self.action, known.iter().copied()).unwrap_or_default();
            let what = format!(
                "step {name}: action: {} has no action {:?}; did you mean {near}? The actions are {}",
                self.r#type,
                self.action,
                known.join(", ")
            );
            return vec![(self.line("action"), what)];
        };
        // Each field by itself, so that all unknown fields are reported.
        let alone = self
            .payload
            .iter()
            .map(|(name, value)| Object::from_iter([(name.clone(), value.clone())]));
        let unknown = alone.filter_map(|one| action.check_fields(&one).err());
        let mut errors: Vec<_> = unknown.collect();
        if errors.is_empty() && self.r#type == "query" {
            errors.extend(pudato_query::check_payload(&self.payload).err());
        }
        let told = errors.into_iter().map(|error| {
            let line = self.line(&error.field);
            (line, format!("step {name}: {error}"))
        });
        told.collect()
    }

    /// The line of a field, or of the nearest field around it; 0 if none is known.
    fn line(&self, field: &str) -> usize {
        let mut around = field;
        loop {
            // The bytes of a file are sent in a field with another name than in the pipeline file.
            let names = [around, around.trim_end_matches("_base64")];
            if let Some(line) = names.iter().find_map(|name| self.lines.get(*name)) {
                return *line;
            }
            match around.rfind(['.', '[']) {
                Some(end) => around = &around[..end],
                None => return self.lines.get("action").copied().unwrap_or_default(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Files;

    fn check(text: &str) -> Result<usize, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("p.yaml");
        std::fs::write(&file, text).expect("written");
        let files = Files {
            outside: false,
            bytes_max: 1_000_000,
        };
        let pipeline = Pipeline::read(&file, files).expect("a pipeline");
        let checked = pipeline.check(&file).map(|others| others.len());
        checked.map_err(|error| {
            let place = format!("{}:", file.display());
            error.to_string().replace(&place, "")
        })
    }

    #[test]
    fn unknown_fields_are_reported_with_their_step_their_line_and_a_suggestion() {
        let text = "name: p
steps:
  - name: put
    type: storage
    action: put_object
    payload:
      container: lake
      pathh: x
      data: a
      ttl: 5
  - {name: ask, type: query, action: execute_sq, payload: {sql: SELECT 1}}
  - name: read
    type: query
    action: execute
    payload:
      sql: SELECT 1
      sources:
        s: {container: lake, path: x.csv}
        t:
          container: lake
          path: y.csv
          formt: csv
  - name: build
    type: transform
    action: build
    payload:
      selct: [a]
  - {name: jobs, type: registry, action: query_jobs, payload: {pipline: p}}
  - {name: own, type: geocode, action: anything, payload: {at: all}}
";
        let error = check(text).expect_err("refused");
        let lines: Vec<&str> = error.lines().collect();
        for (line, begin, part) in [
            (0, "8: step put: payload.pathh: ", "did you mean path?"),
            (
                1,
                "10: step put: payload.ttl: ",
                "expected some of container",
            ),
            (
                2,
                "11: step ask: action: query has no action \"execute_sq\"",
                "did you mean execute_sql?",
            ),
            (
                3,
                "22: step read: payload.sources.t.formt: ",
                "did you mean format?",
            ),
            (4, "27: step build: payload.selct: ", "did you mean select?"),
            (
                5,
                "28: step jobs: payload.pipline: ",
                "did you mean pipeline?",
            ),
        ] {
            let found = lines.get(line).copied().unwrap_or_default();
            assert!(
                found.starts_with(begin) && found.contains(part),
                "{begin}: {error}"
            );
        }
        assert_eq!(lines.len(), 6, "{error}");
    }

    #[test]
    fn known_fields_pass_and_steps_of_other_services_are_listed() {
        let text = "name: p
steps:
  - {name: put, type: storage, action: put_object, payload: {container: lake, path: x, data_base64: YQ==}}
  - {name: ask, type: query, action: execute, payload: {sql: 'SELECT $1', parameters: [1], into: {container: lake, path: y.csv}}}
  - {name: own, type: geocode, action: anything, payload: {at: all}}
";
        assert_eq!(check(text), Ok(1));
    }
}
