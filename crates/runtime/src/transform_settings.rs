//! Settings of the transform service.

use pudato_transform::{Logic, Settings};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Less is no limit but a mistake: with 16 MiB no Python starts.
const MEMORY_BYTES_MIN: u64 = 16 << 20;

/// The settings of the service in a program that has its data in `data_dir`.
pub(crate) fn of_program(settings: &crate::Settings, data_dir: &Path) -> Settings {
    let file = settings.query.file.as_ref();
    Settings {
        folder: data_dir.join("transform"),
        warehouse_file: file.map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone())),
        ..settings.transform.clone()
    }
}

/// Reads and checks them; what is wrong is added to `wrong`.
pub(crate) fn read<'a>(get: &dyn Fn(&str) -> &'a str, wrong: &mut Vec<String>) -> Settings {
    let some = |name: &str| Some(get(name)).filter(|value| !value.is_empty());
    let owned = |name: &str| some(name).map(str::to_owned);
    let path = |name: &str| some(name).map(PathBuf::from);
    let seconds = get("PUDATO_TRANSFORM_SECONDS").parse::<u64>();
    let seconds = seconds
        .ok()
        .filter(|seconds| (1..=43_200).contains(seconds));
    let deadline = seconds.unwrap_or_else(|| {
        let found = get("PUDATO_TRANSFORM_SECONDS");
        wrong.push(format!(
            "PUDATO_TRANSFORM_SECONDS: expected a whole number 1..43200, found {found:?}"
        ));
        1
    });
    let memory = get("PUDATO_TRANSFORM_MEMORY_BYTES").parse::<u64>();
    let memory_bytes = memory.ok().filter(|bytes| *bytes >= MEMORY_BYTES_MIN);
    let memory_bytes = memory_bytes.unwrap_or_else(|| {
        let found = get("PUDATO_TRANSFORM_MEMORY_BYTES");
        wrong.push(format!(
            "PUDATO_TRANSFORM_MEMORY_BYTES: expected a whole number from {MEMORY_BYTES_MIN} on, found {found:?}"
        ));
        MEMORY_BYTES_MIN
    });
    let allows_file = match get("PUDATO_LOGIC_REPO_ALLOW_FILE") {
        "" | "false" => false,
        "true" => true,
        other => {
            wrong.push(format!(
                "PUDATO_LOGIC_REPO_ALLOW_FILE: expected true or false, found {other:?}"
            ));
            false
        }
    };
    let logic = some("PUDATO_LOGIC_REPO_URL").map(|url| Logic {
        url: url.to_owned(),
        branch: owned("PUDATO_LOGIC_REPO_BRANCH"),
        revision: owned("PUDATO_LOGIC_REPO_REVISION"),
        subdirectory: owned("PUDATO_LOGIC_REPO_SUBDIR"),
        allows_file,
    });
    if let Some(Err(why)) = logic.as_ref().map(Logic::check) {
        wrong.push(why);
    }
    let target = owned("DBT_TARGET");
    if let Some(target) = &target
        && target.starts_with('-')
    {
        wrong.push(format!("DBT_TARGET: expected a name, found {target:?}"));
    }
    let names = get("PUDATO_DBT_ENV").split(',').map(str::trim);
    Settings {
        project: path("DBT_PROJECT_DIR"),
        profiles: path("DBT_PROFILES_DIR"),
        target,
        program: path("PUDATO_DBT"),
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
