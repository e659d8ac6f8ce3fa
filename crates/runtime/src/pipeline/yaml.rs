//! YAML with the line of every value, and YAML as JSON.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::{Number, Value};

/// An error and its place.
pub(super) struct Wrong {
    /// The line, from 1.
    pub(super) line: usize,
    pub(super) what: String,
}

/// The line of a node, from 1.
pub(super) fn line(node: &MarkedYaml<'_>) -> usize {
    node.span.start.line()
}

pub(super) fn wrong(node: &MarkedYaml<'_>, what: impl Into<String>) -> Wrong {
    Wrong {
        line: line(node),
        what: what.into(),
    }
}

/// Reads the only document of a text.
pub(super) fn read(text: &str) -> Result<MarkedYaml<'_>, Wrong> {
    let documents = MarkedYaml::load_from_str(text);
    let mut documents = documents.map_err(|error| Wrong {
        line: error.marker().line(),
        what: error.info().to_owned(),
    })?;
    match documents.len() {
        1 => Ok(documents.remove(0)),
        0 => Err(Wrong {
            line: 1,
            what: "expected a pipeline, found nothing".into(),
        }),
        _ => Err(wrong(
            &documents[1],
            "expected one document, found another one",
        )),
    }
}

/// The kind of a node, for errors.
pub(super) fn kind(node: &MarkedYaml<'_>) -> &'static str {
    match &node.data {
        YamlData::Value(Scalar::Null) => "nothing",
        YamlData::Value(Scalar::Boolean(_)) => "a boolean",
        YamlData::Value(Scalar::Integer(_) | Scalar::FloatingPoint(_)) => "a number",
        YamlData::Value(Scalar::String(_)) => "a text",
        YamlData::Sequence(_) => "a list",
        YamlData::Mapping(_) => "keys with values",
        _ => "something else",
    }
}

/// The text of a node, if it is one.
pub(super) fn text<'a>(node: &'a MarkedYaml<'_>) -> Option<&'a str> {
    match &node.data {
        YamlData::Value(Scalar::String(text)) => Some(text),
        _ => None,
    }
}

/// A mapping's keys and values, in the order of the file.
pub(super) type Entries<'a, 'i> = Vec<(&'a str, &'a MarkedYaml<'i>, &'a MarkedYaml<'i>)>;

/// The entries of a mapping: key, the key's node, the value's node.
pub(super) fn entries<'a, 'i>(
    node: &'a MarkedYaml<'i>,
    what: &str,
) -> Result<Entries<'a, 'i>, Wrong> {
    let YamlData::Mapping(mapping) = &node.data else {
        return Err(wrong(
            node,
            format!("{what}: expected keys with values, found {}", kind(node)),
        ));
    };
    let (mut own, mut merged) = (Vec::with_capacity(mapping.len()), Vec::new());
    for (key, value) in mapping {
        match text(key) {
            Some(MERGE) => merged.extend(sources(value, what)?),
            Some(name) => own.push((name, key, value)),
            None => {
                let what = format!("{what}: expected a text as key, found {}", kind(key));
                return Err(wrong(key, what));
            }
        }
    }
    // Entries of the mapping itself override merged ones, and earlier merges override later ones.
    for entry in merged {
        if !own.iter().any(|(name, ..)| *name == entry.0) {
            own.push(entry);
        }
    }
    Ok(own)
}

/// The merge key of YAML 1.1, which takes over the entries of another mapping. YAML 1.2 has no such key, but an author who writes it means
/// this.
const MERGE: &str = "<<";

/// The entries to merge: those of a mapping, or of a list of mappings.
fn sources<'a, 'i>(node: &'a MarkedYaml<'i>, what: &str) -> Result<Entries<'a, 'i>, Wrong> {
    let what = format!("{what}: {MERGE}");
    let YamlData::Sequence(all) = &node.data else {
        return entries(node, &what);
    };
    let all = all.iter().map(|one| entries(one, &what));
    let all: Vec<Entries<'a, 'i>> = all.collect::<Result<_, _>>()?;
    Ok(all.into_iter().flatten().collect())
}

/// A whole number from this one on may change its value as a DOUBLE.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// The value as JSON. `file` is called for every mapping whose only key is `file`.
pub(super) fn json(
    node: &MarkedYaml<'_>,
    file: &mut dyn FnMut(&MarkedYaml<'_>, &str) -> Result<Value, Wrong>,
) -> Result<Value, Wrong> {
    Ok(match &node.data {
        YamlData::Value(Scalar::Null) => Value::Null,
        YamlData::Value(Scalar::Boolean(flag)) => (*flag).into(),
        YamlData::Value(Scalar::Integer(number)) => (*number).into(),
        YamlData::Value(Scalar::FloatingPoint(number)) if number.abs() >= WHOLE_MAX => {
            return Err(wrong(
                node,
                "expected a number of at most 64 bits, because the digits of a larger one would be lost; write it in quotes",
            ));
        }
        YamlData::Value(Scalar::FloatingPoint(number)) => {
            let number = Number::from_f64(**number);
            number
                .map(Value::Number)
                .ok_or_else(|| wrong(node, "expected a number that JSON can carry"))?
        }
        YamlData::Value(Scalar::String(text)) => text.as_ref().into(),
        YamlData::Sequence(items) => {
            let items = items.iter().map(|item| json(item, file));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        YamlData::Mapping(_) => {
            let entries = entries(node, "payload")?;
            if let [("file", _, path)] = entries[..]
                && let Some(path) = text(path)
            {
                return file(node, path);
            }
            let mut object = serde_json::Map::new();
            for (name, _, value) in entries {
                object.insert(name.to_owned(), json(value, file)?);
            }
            Value::Object(object)
        }
        _ => {
            return Err(wrong(
                node,
                "expected a text, a number, a boolean, a list, or keys with values; tags are not known",
            ));
        }
    })
}
