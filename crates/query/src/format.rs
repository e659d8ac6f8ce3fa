//! The storage formats of tabular data.

/// A format that `sources` can read and `into` can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Format {
    /// Comma-separated, with a header.
    Csv,
    /// Tab-separated, with a header.
    Tsv,
    /// Apache Parquet.
    Parquet,
    /// One JSON array of objects.
    Json,
    /// One JSON object per line.
    Jsonl,
}

/// Each format with its name in a payload, further file extensions, and its media type.
const FORMATS: [(Format, &str, &[&str], &str); 5] = [
    (Format::Csv, "csv", &[], "text/csv"),
    (Format::Tsv, "tsv", &["tab"], "text/tab-separated-values"),
    (
        Format::Parquet,
        "parquet",
        &["pq"],
        "application/vnd.apache.parquet",
    ),
    (Format::Json, "json", &[], "application/json"),
    (Format::Jsonl, "jsonl", &["ndjson"], "application/x-ndjson"),
];

impl Format {
    /// The names of all formats.
    pub const NAMES: [&'static str; 5] = ["csv", "tsv", "parquet", "json", "jsonl"];

    /// The format with this name.
    ///
    /// ```
    /// assert_eq!(pudato_query::Format::named("ndjson"), Some(pudato_query::Format::Jsonl));
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let mut formats = FORMATS.iter();
        formats
            .find(|(_, own, others, _)| *own == name || others.contains(&name.as_str()))
            .map(|(format, ..)| *format)
    }

    /// The format that a path's extension indicates, ignoring `.gz` and `.zst`.
    ///
    /// ```
    /// assert_eq!(pudato_query::Format::of_path("raw/a.csv.gz"), Some(pudato_query::Format::Csv));
    /// assert_eq!(pudato_query::Format::of_path("raw/A.CSV.GZ"), Some(pudato_query::Format::Csv));
    /// ```
    pub fn of_path(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let name = compression(name).map_or(name, |ending| &name[..name.len() - ending.len()]);
        let (_, ending) = name.rsplit_once('.')?;
        Self::named(ending)
    }

    fn row(self) -> &'static (Self, &'static str, &'static [&'static str], &'static str) {
        let mut formats = FORMATS.iter();
        formats
            .find(|(format, ..)| *format == self)
            .expect("every format has its row")
    }

    /// The name in a payload and in lineage.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The media type of an object at `path`: that of the compression, if it is compressed.
    pub fn content_type(self, path: &str) -> &'static str {
        match compression(path) {
            Some(".gz") => "application/gzip",
            Some(_) => "application/zstd",
            None => self.row().3,
        }
    }
}

/// The extension of a compressed file, with its dot and in lower case.
pub(crate) fn compression(path: &str) -> Option<&'static str> {
    [".gz", ".zst"].into_iter().find(|ending| {
        let own = path
            .len()
            .checked_sub(ending.len())
            .and_then(|at| path.get(at..));
        own.is_some_and(|own| own.eq_ignore_ascii_case(ending))
    })
}
