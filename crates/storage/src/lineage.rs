//! References to objects in lineage.

use crate::objects::ObjectInfo;
use crate::parquet;
use pudato_protocol::DataReference;

/// The largest object whose rows are counted; counting a larger one would delay its Command. Parquet stores its row count.
const COUNT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The reference to an object that was read or written.
pub(crate) fn reference(info: &ObjectInfo, bytes: &[u8]) -> DataReference {
    let mut reference = DataReference::new("file", info.location.as_str())
        .with("size", info.size)
        .with("etag", info.etag.as_str());
    let name = info.path.rsplit('/').next().unwrap_or_default();
    let Some((_, extension)) = name.rsplit_once('.') else {
        return reference;
    };
    let format = extension.to_ascii_lowercase();
    if let Some(rows) = rows(&format, bytes) {
        reference = reference.with("row_count", rows);
    }
    reference.format(format)
}

/// The number of rows without the header; `None` if they cannot be counted.
fn rows(format: &str, bytes: &[u8]) -> Option<u64> {
    if format == "parquet" {
        return parquet::rows(bytes);
    }
    if bytes.len() > COUNT_BYTES_MAX {
        return None;
    }
    match format {
        "csv" | "tsv" => {
            let delimiter = if format == "csv" { b',' } else { b'\t' };
            let mut reader = csv::ReaderBuilder::new()
                .delimiter(delimiter)
                .flexible(true)
                .from_reader(bytes);
            let mut record = csv::ByteRecord::new();
            let mut rows = 0;
            while reader.read_byte_record(&mut record).ok()? {
                rows += 1;
            }
            Some(rows)
        }
        "jsonl" | "ndjson" => {
            let lines = bytes.split(|byte| *byte == b'\n');
            let filled = lines.filter(|line| !line.trim_ascii().is_empty());
            u64::try_from(filled.count()).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn rows_are_records_not_lines() {
        assert_eq!(rows("csv", b"a,b\r\n1,\"x\ny\"\n2,z"), Some(2));
        assert_eq!(rows("csv", b"a,b\n"), Some(0));
        assert_eq!(rows("csv", b""), Some(0));
        assert_eq!(rows("jsonl", b"{}\n{}\n\n"), Some(2));
        assert_eq!(rows("parquet", b"PAR1"), None);
    }
}
