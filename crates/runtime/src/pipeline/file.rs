//! Reads a pipeline from its file. All errors in it are reported with their lines before anything is sent.

use super::order;
use super::yaml::{self, Wrong, entries, kind, text, wrong};
use super::{Pipeline, Step};
use crate::input;
use crate::settings::variables::nearest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pudato_protocol::Object;
use saphyr::{MarkedYaml, YamlData};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The default timeout of a step: longer than any action of pudato's own may run.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30 * 60);

/// The longest timeout: an SQS queue deletes a message that was not handled after 14 days at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(14 * 24 * 60 * 60);

const KEYS: [&str; 3] = ["name", "environment", "steps"];
const STEP_KEYS: [&str; 6] = ["name", "needs", "type", "action", "payload", "timeout"];

/// The errors in a pipeline file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1 (0: the file as a whole), and what was expected there.
    pub wrong: Vec<(usize, String)>,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (line, what)) in self.wrong.iter().enumerate() {
            let end = if n > 0 { "\n" } else { "" };
            match line {
                0 => write!(f, "{end}{}: {what}", self.file.display())?,
                _ => write!(f, "{end}{}:{line}: {what}", self.file.display())?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for FileError {}

/// Reads a file that a pipeline names.
type ReadFile<'a> = &'a dyn Fn(&str) -> std::io::Result<Vec<u8>>;

/// Which files a pipeline may name.
#[derive(Debug, Clone, Copy)]
pub struct Files {
    /// Whether files outside the folder of the pipeline's own file are allowed.
    pub outside: bool,
    /// The most bytes of each file.
    pub bytes_max: u64,
}

impl Files {
    fn read(self, folder: &Path, path: &str) -> std::io::Result<Vec<u8>> {
        let found = match self.outside {
            true => folder.join(path),
            false => input::inside(folder, path)?,
        };
        input::read_file(&found, self.bytes_max)
    }
}

impl Pipeline {
    /// Reads the file and every file that it names. Relative paths start at the folder of the pipeline file.
    ///
    /// # Errors
    /// All errors at once.
    pub fn read(file: &Path, files: Files) -> Result<Self, FileError> {
        let error = |wrong: Vec<Wrong>| FileError {
            file: file.to_owned(),
            wrong: wrong
                .into_iter()
                .map(|wrong| (wrong.line, wrong.what))
                .collect(),
        };
        let unreadable = |cause: &dyn fmt::Display| {
            let what = format!("cannot be read: {cause}");
            error(vec![Wrong { line: 0, what }])
        };
        let text = input::read_file(file, files.bytes_max).map_err(|cause| unreadable(&cause))?;
        let text = String::from_utf8(text).map_err(|cause| unreadable(&cause))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let read = |path: &str| files.read(folder, path);
        parse(&text, &read).map_err(error)
    }
}

fn parse(text: &str, read: ReadFile<'_>) -> Result<Pipeline, Vec<Wrong>> {
    let mut wrongs = Vec::new();
    let document = yaml::read(text).map_err(|wrong| vec![wrong])?;
    let entries = entries(&document, "the file").map_err(|wrong| vec![wrong])?;
    let (mut name, mut environment, mut steps) = (None, None, None);
    for (key, key_node, value) in entries {
        match key {
            "name" => name = take_name(value, "name", &mut wrongs),
            "environment" => environment = take_name(value, "environment", &mut wrongs),
            "steps" => steps = Some(value),
            other => wrongs.push(unknown(key_node, other, &KEYS)),
        }
    }
    let missing = |what: &str| wrong(&document, format!("{what}: required; it is missing"));
    if name.is_none() && wrongs.is_empty() {
        wrongs.push(missing("name"));
    }
    let steps = match steps.map(|steps| (steps, &steps.data)) {
        Some((_, YamlData::Sequence(steps))) if !steps.is_empty() => {
            self::steps(steps, read, &mut wrongs)
        }
        Some((node, _)) => {
            wrongs.push(wrong(
                node,
                format!("steps: expected a list of steps, found {}", kind(node)),
            ));
            Vec::new()
        }
        None => {
            wrongs.push(missing("steps"));
            Vec::new()
        }
    };
    if !wrongs.is_empty() {
        wrongs.sort_by_key(|wrong| wrong.line);
        return Err(wrongs);
    }
    Ok(Pipeline {
        name: name.unwrap_or_default(),
        environment: environment.unwrap_or_else(|| "dev".into()),
        steps,
    })
}

fn unknown(node: &MarkedYaml<'_>, key: &str, known: &[&str]) -> Wrong {
    let near = nearest(key, known.iter().copied()).unwrap_or_default();
    wrong(
        node,
        format!(
            "{key}: unknown key; did you mean {near}? Known are {}",
            known.join(", ")
        ),
    )
}

fn take_name(node: &MarkedYaml<'_>, what: &str, wrongs: &mut Vec<Wrong>) -> Option<String> {
    match text(node).filter(|text| !text.trim().is_empty()) {
        Some(text) => Some(text.to_owned()),
        None => {
            wrongs.push(wrong(
                node,
                format!("{what}: expected a text, found {}", kind(node)),
            ));
            None
        }
    }
}

/// A step as read, whose `needs` are still names.
struct Draft<'a, 'i> {
    node: &'a MarkedYaml<'i>,
    step: Step,
    needs: Vec<(&'a MarkedYaml<'i>, String)>,
}

fn steps(nodes: &[MarkedYaml<'_>], read: ReadFile<'_>, wrongs: &mut Vec<Wrong>) -> Vec<Step> {
    let drafts = nodes
        .iter()
        .filter_map(|node| match draft(node, read, wrongs) {
            Ok(draft) => Some(draft),
            Err(wrong) => {
                wrongs.push(wrong);
                None
            }
        });
    let mut drafts: Vec<Draft<'_, '_>> = drafts.collect();
    let names: Vec<String> = drafts.iter().map(|draft| draft.step.name.clone()).collect();
    for (n, draft) in drafts.iter_mut().enumerate() {
        let name = &names[n];
        if let Some(first) = names[..n].iter().position(|other| other == name) {
            let what = format!("name: {name:?} is the name of step {} already", first + 1);
            wrongs.push(wrong(draft.node, what));
        }
        for (node, need) in &draft.needs {
            match names.iter().position(|other| other == need) {
                Some(position) if !draft.step.needs.contains(&position) => {
                    draft.step.needs.push(position)
                }
                Some(_) => {}
                None => {
                    let near = nearest(need, names.iter().map(String::as_str)).unwrap_or_default();
                    wrongs.push(wrong(
                        node,
                        format!("needs: there is no step {need:?}; did you mean {near}?"),
                    ));
                }
            }
        }
    }
    let needs: Vec<&[usize]> = drafts.iter().map(|draft| &draft.step.needs[..]).collect();
    if let Err(circle) = order::order(&needs)
        && let Some(first) = circle.first()
    {
        let round: Vec<&str> = circle
            .iter()
            .chain([first])
            .map(|n| names[*n].as_str())
            .collect();
        let what = format!(
            "needs: these steps wait for each other: {}",
            round.join(" needs ")
        );
        wrongs.push(wrong(drafts[*first].node, what));
    }
    drafts.into_iter().map(|draft| draft.step).collect()
}

fn draft<'a, 'i>(
    node: &'a MarkedYaml<'i>,
    read: ReadFile<'_>,
    wrongs: &mut Vec<Wrong>,
) -> Result<Draft<'a, 'i>, Wrong> {
    let mut needs = Vec::new();
    let mut step = Step {
        name: String::new(),
        needs: Vec::new(),
        r#type: String::new(),
        action: String::new(),
        payload: Object::new(),
        timeout: TIMEOUT_DEFAULT,
        files: Vec::new(),
        lines: BTreeMap::new(),
    };
    let before = wrongs.len();
    for (key, key_node, value) in entries(node, "step")? {
        match key {
            "name" => step.name = take_name(value, "name", wrongs).unwrap_or_default(),
            "type" => step.r#type = take_name(value, "type", wrongs).unwrap_or_default(),
            "action" => {
                step.lines.insert("action".into(), yaml::line(key_node));
                step.action = take_name(value, "action", wrongs).unwrap_or_default();
            }
            "timeout" => match text(value).and_then(seconds) {
                Some(timeout) => step.timeout = timeout,
                None => wrongs.push(wrong(
                    value,
                    "timeout: expected a time such as 90s, 5m, 2h or 1d, at most 14d",
                )),
            },
            "needs" => match self::needs(value) {
                Ok(names) => needs = names,
                Err(wrong) => wrongs.push(wrong),
            },
            "payload" => match payload(value, read, &mut step.files) {
                Ok(payload) => {
                    step.lines.insert("payload".into(), yaml::line(key_node));
                    lines(value, "payload", &mut step.lines);
                    step.payload = payload;
                }
                Err(wrong) => wrongs.push(wrong),
            },
            other => wrongs.push(unknown(key_node, other, &STEP_KEYS)),
        }
    }
    if wrongs.len() == before {
        let required = [
            ("name", &step.name),
            ("type", &step.r#type),
            ("action", &step.action),
        ];
        for (what, _) in required.into_iter().filter(|(_, value)| value.is_empty()) {
            wrongs.push(wrong(
                node,
                format!("{what}: required in every step; it is missing"),
            ));
        }
    }
    Ok(Draft { node, step, needs })
}

fn needs<'a, 'i>(node: &'a MarkedYaml<'i>) -> Result<Vec<(&'a MarkedYaml<'i>, String)>, Wrong> {
    let YamlData::Sequence(items) = &node.data else {
        let what = format!(
            "needs: expected a list of names such as [ingest], found {}",
            kind(node)
        );
        return Err(wrong(node, what));
    };
    let names = items.iter().map(|item| match text(item) {
        Some(name) => Ok((item, name.to_owned())),
        None => Err(wrong(
            item,
            format!("needs: expected the name of a step, found {}", kind(item)),
        )),
    });
    names.collect()
}

/// A step's timeout.
fn seconds(text: &str) -> Option<Duration> {
    let timeout = crate::time::duration(text)?;
    (timeout > Duration::ZERO && timeout <= TIMEOUT_MAX).then_some(timeout)
}

fn payload(
    node: &MarkedYaml<'_>,
    read: ReadFile<'_>,
    files: &mut Vec<String>,
) -> Result<Object, Wrong> {
    let mut object = Object::new();
    for (name, _, value) in entries(node, "payload")? {
        let mut bytes = None;
        let mut file = |at: &MarkedYaml<'_>, path: &str| {
            let read = read(path).map_err(|error| wrong(at, format!("file: {path}: {error}")))?;
            files.push(path.to_owned());
            match String::from_utf8(read) {
                Ok(text) => Ok(text.into()),
                Err(error) if is_file(value) => {
                    bytes = Some(STANDARD.encode(error.as_bytes()));
                    Ok(Value::Null)
                }
                Err(_) => Err(wrong(at, format!("file: {path}: expected text in UTF-8"))),
            }
        };
        let json = yaml::json(value, &mut file)?;
        match bytes {
            // Bytes that are not text are sent in the field for bytes, as in the storage actions.
            Some(bytes) => object.insert(format!("{name}_base64"), bytes.into()),
            None => object.insert(name.to_owned(), json),
        };
    }
    Ok(object)
}

/// The lines of the fields below `node`.
fn lines(node: &MarkedYaml<'_>, path: &str, known: &mut BTreeMap<String, usize>) {
    for (name, key_node, value) in entries(node, "").unwrap_or_default() {
        let path = format!("{path}.{name}");
        lines(value, &path, known);
        known.insert(path, yaml::line(key_node));
    }
}

/// Whether the value of a payload's field is itself a `{file: ..}`.
fn is_file(node: &MarkedYaml<'_>) -> bool {
    matches!(entries(node, "").as_deref(), Ok([("file", _, _)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Pipeline, String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.sql"), "select 'ü'").expect("written");
        std::fs::write(folder.path().join("a.bin"), [0xff, 0x00]).expect("written");
        let file = folder.path().join("p.yaml");
        std::fs::write(&file, text).expect("written");
        let files = Files {
            outside: false,
            bytes_max: 1_000_000,
        };
        Pipeline::read(&file, files).map_err(|error| {
            error
                .to_string()
                .replace(&format!("{}:", file.display()), "")
        })
    }

    const GOOD: &str = "
name: p
steps:
  - {name: a, type: storage, action: put_object, payload: {container: c, path: x, data: {file: a.bin}}}
  - name: b
    needs: [a]
    type: query
    action: execute_sql
    payload:
      sql: {file: a.sql}
      max_rows: 5
      sources: {s: {container: c, path: raw/x.csv}}
    timeout: 5m
";

    #[test]
    fn a_pipeline_is_read_with_its_files() {
        let pipeline = read(GOOD).expect("a pipeline");
        assert_eq!(
            (pipeline.name.as_str(), pipeline.environment.as_str()),
            ("p", "dev")
        );
        let [a, b] = &pipeline.steps[..] else {
            panic!("two steps")
        };
        assert_eq!(a.payload["data_base64"], "/wA=");
        assert_eq!(b.payload["sql"], "select 'ü'");
        assert_eq!(b.payload["max_rows"], 5);
        assert_eq!(
            (b.needs.as_slice(), b.timeout),
            (&[0][..], Duration::from_secs(300))
        );
        assert_eq!(b.files, ["a.sql"]);
    }

    #[test]
    fn all_errors_are_reported_with_their_lines() {
        let error = read("nmae: p\nsteps:\n  - {name: a, type: storage, action: x, needs: [c]}\n  - {name: b, type: q}\n  - {name: b, type: q, action: x, payload: {sql: {file: none.sql}}, timeout: soon}\n").expect_err("refused");
        let lines: Vec<&str> = error.lines().collect();
        assert!(
            lines[0].starts_with("1: nmae: unknown key; did you mean name?"),
            "{error}"
        );
        assert!(
            lines.contains(&"3: needs: there is no step \"c\"; did you mean b?"),
            "{error}"
        );
        assert!(
            lines.contains(&"4: action: required in every step; it is missing"),
            "{error}"
        );
        assert!(
            error.contains("5: file: none.sql:") && error.contains("5: timeout: expected a time"),
            "{error}"
        );
        assert!(
            error.contains("5: name: \"b\" is the name of step 2 already"),
            "{error}"
        );
    }

    #[test]
    fn merged_fields_are_taken_over_unless_the_mapping_has_them_itself() {
        let text = "
name: p
steps:
  - name: a
    type: storage
    action: put_object
    payload: &base {container: c, path: x, data: a, if_none_match: '*'}
  - name: b
    type: storage
    action: put_object
    payload: {<<: *base, path: y}
  - name: c
    type: storage
    action: put_object
    payload: {<<: [{path: z}, *base]}
";
        let pipeline = read(text).expect("read");
        let payload = |n: usize| Value::Object(pipeline.steps[n].payload.clone());
        let right = |path: &str| serde_json::json!({"container": "c", "path": path, "data": "a", "if_none_match": "*"});
        assert_eq!(payload(1), right("y"));
        assert_eq!(payload(2), right("z"));
        let why = read(&text.replace("<<: *base, path", "<<: 5, path")).expect_err("refused");
        assert!(
            why.contains("11: payload: <<: expected keys with values"),
            "{why}"
        );
    }

    #[test]
    fn a_number_that_would_be_rounded_is_refused_with_its_line() {
        let text = GOOD.replace("max_rows: 5", "max_rows: 12345678901234567890123");
        let why = read(&text).expect_err("refused");
        assert!(why.contains("11: ") && why.contains("in quotes"), "{why}");
    }

    #[test]
    fn steps_that_wait_for_each_other_are_refused() {
        let error = read("name: p\nsteps:\n  - {name: a, type: t, action: x, needs: [b]}\n  - {name: b, type: t, action: x, needs: [a]}\n").expect_err("refused");
        assert_eq!(
            error,
            "3: needs: these steps wait for each other: a needs b needs a"
        );
    }

    #[test]
    fn a_file_that_is_not_a_pipeline_is_refused() {
        for (text, what) in [
            ("", "expected a pipeline"),
            ("[1]", "expected keys with values, found a list"),
            ("name: p", "steps: required"),
            ("name: p\nsteps: []", "steps: expected a list of steps"),
            ("name: p\nname: q\nsteps: []", "2: duplicated key"),
            ("name: [\n", ": "),
            ("a: b\n---\nc: d", "another one"),
        ] {
            let error = read(text).expect_err("refused");
            assert!(error.contains(what), "{text:?}: {error}");
        }
    }
}
