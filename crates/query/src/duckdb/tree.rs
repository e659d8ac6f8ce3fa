//! Parses JSON that DuckDB writes about a statement, without recursion, because it is as deep as the statement is nested.

use std::collections::BTreeMap;

/// The values of a text, identified by numbers. The first is the whole.
pub(super) struct Tree {
    values: Vec<Value>,
}

/// A value. Its children are numbers.
pub(super) enum Value {
    Object(BTreeMap<String, usize>),
    Array(Vec<usize>),
    Text(String),
    /// A number, a boolean or null.
    Other,
}

/// The open array or object during parsing.
struct Open {
    value: usize,
    /// The name of the next value, in an object.
    key: Option<String>,
}

impl Tree {
    /// Parses `json`; `None` if it is malformed.
    pub(super) fn read(json: &str) -> Option<Self> {
        let mut tree = Self { values: Vec::new() };
        let mut open: Vec<Open> = Vec::new();
        let mut rest = json.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_key = open.last().is_some_and(|open| {
                open.key.is_none() && matches!(tree.values[open.value], Value::Object(_))
            });
            let (value, length) = match first {
                ',' => {
                    rest = rest[1..].trim_start();
                    continue;
                }
                '}' | ']' => {
                    open.pop()?;
                    rest = rest[1..].trim_start();
                    continue;
                }
                '"' => {
                    let length = text_length(rest)?;
                    let text: String = serde_json::from_str(&rest[..length]).ok()?;
                    if is_key {
                        open.last_mut()?.key = Some(text);
                        rest = rest[length..].trim_start().strip_prefix(':')?.trim_start();
                        continue;
                    }
                    (Value::Text(text), length)
                }
                '{' => (Value::Object(BTreeMap::new()), 1),
                '[' => (Value::Array(Vec::new()), 1),
                _ => {
                    let is_part = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
                    let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                    (length > 0).then_some((Value::Other, length))?
                }
            };
            let id = tree.values.len();
            let goes_on = matches!(value, Value::Object(_) | Value::Array(_));
            tree.values.push(value);
            match open.last_mut() {
                Some(parent) => match &mut tree.values[parent.value] {
                    Value::Object(fields) => {
                        fields.insert(parent.key.take()?, id);
                    }
                    Value::Array(items) => items.push(id),
                    _ => return None,
                },
                None if id > 0 => return None,
                None => {}
            }
            if goes_on {
                open.push(Open {
                    value: id,
                    key: None,
                });
            }
            rest = rest[length..].trim_start();
        }
        (open.is_empty() && !tree.values.is_empty()).then_some(tree)
    }

    pub(super) fn value(&self, id: usize) -> &Value {
        &self.values[id]
    }

    /// A field of an object.
    pub(super) fn field(&self, id: usize, name: &str) -> Option<usize> {
        match self.value(id) {
            Value::Object(fields) => fields.get(name).copied(),
            _ => None,
        }
    }

    pub(super) fn text(&self, id: usize) -> Option<&str> {
        match self.value(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text in a field of an object.
    pub(super) fn text_of(&self, id: usize, name: &str) -> Option<&str> {
        self.text(self.field(id, name)?)
    }

    /// The items of an array.
    pub(super) fn items(&self, id: usize) -> &[usize] {
        match self.value(id) {
            Value::Array(items) => items,
            _ => &[],
        }
    }
}

/// The bytes of the text at the start of `json`, with its quotes.
fn text_length(json: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (n, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(n + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn json_is_read_however_deep_it_is() {
        let tree = Tree::read(r#" {"a": [1, {"b": "x\"}\u00fc"}, null], "c": {}} "#).expect("JSON");
        let items = tree.items(tree.field(0, "a").expect("a"));
        assert_eq!(items.len(), 3);
        assert_eq!(tree.text_of(items[1], "b"), Some("x\"}ü"));
        assert!(tree.field(0, "c").is_some() && tree.field(0, "d").is_none());

        let depth = 100_000;
        let deep = "[".repeat(depth) + &"]".repeat(depth);
        let mut id = 0;
        let tree = Tree::read(&deep).expect("JSON");
        while let [inner] = tree.items(id) {
            id = *inner;
        }
        assert_eq!(id, depth - 1);

        for wrong in ["", "[", "]", "{\"a\" 1}", "\"a", "1 [", "[] []"] {
            assert!(Tree::read(wrong).is_none(), "{wrong}");
        }
    }
}
