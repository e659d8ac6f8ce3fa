//! Settings of the transform service.

use super::reader::Reader;
use pudato_transform::{Logic, Settings};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A smaller limit is a mistake: Python does not start with 16 MiB.
const MEMORY_BYTES_MIN: u64 = 16 << 20;

/// The settings of the service for the data folder `data_dir`.
pub(super) fn in_folder(settings: &crate::Settings, data_dir: &Path) -> Settings {
    let file = settings.query.file.as_ref();
    Settings {
        folder: data_dir.join("transform"),
        warehouse_file: file.map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone())),
        ..settings.transform.clone()
    }
}

/// Reads and checks them.
pub(super) fn read(reader: &mut Reader<'_>) -> Settings {
    let owned = |reader: &Reader<'_>, name: &str| reader.optional(name).map(str::to_owned);
    let path = |reader: &Reader<'_>, name: &str| reader.optional(name).map(PathBuf::from);
    let deadline = reader.number("PUDATO_TRANSFORM_SECONDS", 1, 43_200);
    let memory_bytes = reader.number("PUDATO_TRANSFORM_MEMORY_BYTES", MEMORY_BYTES_MIN, u64::MAX);
    let allows_file = reader.choice(
        "PUDATO_LOGIC_REPO_ALLOW_FILE",
        &[("false", false), ("true", true), ("", false)],
    );
    let logic = reader.optional("PUDATO_LOGIC_REPO_URL").map(|url| Logic {
        url: url.to_owned(),
        branch: owned(reader, "PUDATO_LOGIC_REPO_BRANCH"),
        revision: owned(reader, "PUDATO_LOGIC_REPO_REVISION"),
        subdirectory: owned(reader, "PUDATO_LOGIC_REPO_SUBDIR"),
        allows_file,
    });
    if let Some(Err(why)) = logic.as_ref().map(Logic::check) {
        reader.wrong.push(why);
    }
    let target = owned(reader, "DBT_TARGET");
    if let Some(target) = &target
        && target.starts_with('-')
    {
        reader.wrong("DBT_TARGET", &"a name", target);
    }
    let names = reader.text("PUDATO_DBT_ENV").split(',').map(str::trim);
    Settings {
        project: path(reader, "DBT_PROJECT_DIR"),
        profiles: path(reader, "DBT_PROFILES_DIR"),
        target,
        program: path(reader, "PUDATO_DBT"),
        deadline: Duration::from_secs(deadline),
        memory_bytes,
        variables: names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        logic,
        folder: PathBuf::new(),
        warehouse_file: None,
    }
}
