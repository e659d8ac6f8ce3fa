/// A dataset's identity, as OpenLineage names it (its naming specification): where the data lives, and its name there.
/// [`Dataset::parse`] and [`Dataset::location`] are inverse to each other.
///
/// ```
/// use pudato_protocol::Dataset;
///
/// let object = Dataset::parse("s3://lake/raw/a.csv");
/// assert_eq!((object.namespace.as_str(), object.name.as_str()), ("s3://lake", "raw/a.csv"));
/// let table = Dataset::parse("duckdb:///data/w.duckdb#w.main.t");
/// assert_eq!((table.namespace.as_str(), table.name.as_str()), ("duckdb:///data/w.duckdb", "w.main.t"));
/// assert_eq!(table.location(), "duckdb:///data/w.duckdb#w.main.t");
/// ```
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Dataset {
    /// Where it lives, e.g. `s3://bucket`, `file`, `duckdb:///abs/warehouse.duckdb`; empty where nobody says.
    pub namespace: String,
    /// Its name there, e.g. an object key, an absolute path, `catalog.schema.table`.
    pub name: String,
}

/// Schemes whose location is namespace, slash, name: the namespace is a bucket or a host.
const OBJECT_SCHEMES: [&str; 3] = ["s3://", "gs://", "abfss://"];

impl Dataset {
    /// A file on this machine; `path` is absolute.
    pub fn file(path: &str) -> Self {
        Self {
            namespace: "file".into(),
            name: path.into(),
        }
    }

    /// A table; `parts` are its catalog, schema and name as the engine knows them, without quotes. A part that holds a dot or a
    /// double quote is printed in double quotes, so that two tables never share a name. Where the engine's names have no case they are in
    /// small letters, so that one table never has two ([`folded`](crate::folded)).
    ///
    /// ```
    /// use pudato_protocol::Dataset;
    ///
    /// let table = Dataset::table("duckdb:///w.duckdb", &["w", "main", "Straße 1.2"]);
    /// assert_eq!(table.name, "w.main.\"straße 1.2\"");
    /// ```
    pub fn table(namespace: &str, parts: &[&str]) -> Self {
        let parts = parts.iter().map(|part| {
            let part = crate::folded(namespace, part, true);
            if part.is_empty() || part.contains(['.', '"']) {
                format!("\"{}\"", part.replace('"', "\"\""))
            } else {
                part.into_owned()
            }
        });
        Self {
            namespace: namespace.into(),
            name: parts.collect::<Vec<_>>().join("."),
        }
    }

    /// The namespace of the tables in a database file. A `#` in its path is written as URLs write it: in a location the first `#` stands
    /// before the table.
    ///
    /// ```
    /// use pudato_protocol::Dataset;
    ///
    /// let namespace = Dataset::file_namespace("duckdb", "/data #2/w.duckdb");
    /// assert_eq!(namespace, "duckdb:///data %232/w.duckdb");
    /// ```
    pub fn file_namespace(scheme: &str, path: &str) -> String {
        format!("{scheme}://{}", path.replace('#', "%23"))
    }

    /// Reads the printed form. Every text is some dataset: what follows no known form is a name without namespace.
    pub fn parse(location: &str) -> Self {
        let of = |namespace: &str, name: &str| Self {
            namespace: namespace.into(),
            name: name.into(),
        };
        if let Some(path) = location.strip_prefix("file://") {
            return match path.find('/') {
                Some(0) => of("file", path),
                Some(host) => of(&location[..7 + host], &path[host..]),
                None => of("", location),
            };
        }
        for scheme in OBJECT_SCHEMES {
            if let Some(rest) = location.strip_prefix(scheme) {
                return match rest.find('/') {
                    Some(bucket) if bucket > 0 => {
                        of(&location[..scheme.len() + bucket], &rest[bucket + 1..])
                    }
                    _ => of("", location),
                };
            }
        }
        match location.split_once('#') {
            Some((namespace, name)) if namespace.contains("://") => of(namespace, name),
            _ => of("", location),
        }
    }

    /// The printed form, which `DataReference.location` carries.
    pub fn location(&self) -> String {
        let Self { namespace, name } = self;
        if namespace.is_empty() {
            return name.clone();
        }
        if namespace == "file" {
            return format!("file://{name}");
        }
        if namespace.starts_with("file://") {
            return format!("{namespace}{name}");
        }
        let is_object = OBJECT_SCHEMES
            .iter()
            .any(|scheme| namespace.starts_with(scheme));
        let separator = if is_object { '/' } else { '#' };
        format!("{namespace}{separator}{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn namespace_and_name() -> impl Strategy<Value = (String, String)> {
        prop_oneof![
            ("s3://[a-z0-9.-]{3,20}", "[^/].{0,40}"),
            ("gs://[a-z0-9.-]{3,20}", "[^/].{0,40}"),
            ("abfss://[a-z0-9@.-]{3,20}", "[^/].{0,40}"),
            (Just("file".to_owned()), "/.{0,40}"),
            ("file://[a-z0-9.-]{1,20}", "/.{0,40}"),
            ("duckdb:///[^#]{0,40}", ".{0,40}"),
            ("postgres://[a-z]{1,9}:[0-9]{4}", ".{0,40}"),
        ]
    }

    proptest! {
        #[test]
        fn every_location_prints_as_it_was_read(location in "\\PC*|(s3|file|gs|duckdb)://[a-z/#%.]{0,12}") {
            prop_assert_eq!(Dataset::parse(&location).location(), location);
        }

        #[test]
        fn a_table_of_any_file_is_read_back_as_it_was(path in "/.{0,40}", name in "[^#]{1,10}") {
            let dataset = Dataset::table(&Dataset::file_namespace("duckdb", &path), &["w", "main", &name]);
            prop_assert_eq!(Dataset::parse(&dataset.location()), dataset);
        }

        #[test]
        fn every_dataset_is_read_back_as_it_was((namespace, name) in namespace_and_name()) {
            let dataset = Dataset { namespace, name };
            prop_assert_eq!(Dataset::parse(&dataset.location()), dataset);
        }
    }
}
