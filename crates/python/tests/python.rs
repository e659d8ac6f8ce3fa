//! Runs the package's Python tests. Each file is one test here, so that a failure names its file and the files run in parallel. The package is
//! laid out as in an installation, with the extension module of this build.

use pudato_testing::skipped;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

macro_rules! files {
    ($($name:ident),+ $(,)?) => {
        const FILES: &[&str] = &[$(stringify!($name)),+];

        $(
            #[test]
            fn $name() {
                passes(stringify!($name));
            }
        )+
    };
}

files![
    test_aio,
    test_answers,
    test_cli,
    test_client,
    test_client_aws,
    test_codec,
    test_engine_process,
    test_exit,
    test_fork,
    test_handlers,
    test_handlers_on_aws,
    test_kills,
    test_lambda,
    test_lineage,
    test_messaging,
    test_notebook,
    test_page,
    test_protocol,
    test_query_handler,
    test_reference,
    test_registry_handler,
    test_release,
    test_results_consumer,
    test_runner,
    test_settings,
    test_two_libraries,
    test_values,
    test_waits,
];

#[test]
fn every_test_file_runs() {
    let entries = fs::read_dir(Path::new(CRATE).join("tests")).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names: BTreeSet<String> = names
        .filter_map(|name| {
            name.to_string_lossy()
                .strip_suffix(".py")
                .map(str::to_owned)
        })
        .filter(|name| name.starts_with("test_"))
        .collect();
    let known: BTreeSet<String> = FILES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(names, known, "list them in crates/python/tests/python.rs");
}

/// The folders to check in addition to the package.
const CHECKED: [&str; 3] = ["crates/python/tests", "benches/python", "examples/python"];

#[test]
fn mypy_finds_no_errors_in_the_package_its_tests_and_its_benches() {
    let test = "mypy";
    let Some(python) = python(test) else {
        return;
    };
    let mut mypy = Command::new(python);
    mypy.args(["-m", "mypy", "--strict", "--config-file"]);
    mypy.arg(Path::new(CRATE).join("pyproject.toml"));
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mypy");
    mypy.arg("--cache-dir").arg(cache);
    let source = Path::new(CRATE).join("python");
    mypy.arg(&source).args(checked());
    let tests = Path::new(CRATE).join("tests");
    let both = std::env::join_paths([source, tests]).expect("paths");
    judge(test, mypy.env("MYPYPATH", both).current_dir(CRATE));
}

#[test]
fn pyright_finds_no_errors_in_the_package_its_tests_and_its_benches() {
    let test = "pyright";
    let Some(python) = python(test) else {
        return;
    };
    // basedpyright includes node; the package `pyright` would download the program at run time.
    let mut pyright = Command::new(&python);
    pyright
        .args(["-m", "basedpyright", "--pythonpath"])
        .arg(&python);
    pyright
        .arg("--project")
        .arg(Path::new(CRATE).join("pyproject.toml"));
    judge(test, pyright.current_dir(CRATE));
}

fn checked() -> impl Iterator<Item = PathBuf> {
    let root = Path::new(CRATE).join("../..");
    let folders = CHECKED.iter().map(move |folder| root.join(folder));
    folders.filter(|folder| folder.is_dir())
}

/// Runs one file of tests.
fn passes(name: &str) {
    let Some(python) = python(name) else {
        return;
    };
    let mut pytest = Command::new(python);
    pytest.args([
        "-m",
        "pytest",
        "-q",
        "--durations=3",
        "-p",
        "no:cacheprovider",
    ]);
    pytest.arg(format!("tests/{name}.py"));
    pytest.env("PYTHONPATH", package()).current_dir(CRATE);
    // Clear the caller's environment: each test sets what it needs.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let prefixes = ["PUDATO_", "AWS_", "DBT_", "OPENLINEAGE_"];
        if prefixes.iter().any(|prefix| name.starts_with(prefix))
            && !name.starts_with("PUDATO_TEST_")
        {
            pytest.env_remove(&*name);
        }
    }
    judge(name, pytest.env("PYTHONDONTWRITEBYTECODE", "1"));
}

fn judge(name: &str, command: &mut Command) {
    let ran = command.output().expect("Python runs");
    let (out, error) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    println!("{out}{error}");
    assert!(ran.status.success(), "{name}: {out}{error}");
}

/// The Python with the packages that the tests need. `cargo xtask test` installs it next to the build output.
fn python(test: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().expect("this program");
    let mut folders = own.ancestors().map(|folder| folder.join("venv-python"));
    // Written last, so it exists only if the installation is complete.
    let found = folders.find(|folder| folder.join("installed-requirements-python.txt").exists());
    let found = std::env::var_os("PUDATO_TEST_PYTHON")
        .map(PathBuf::from)
        .or_else(|| found.map(|folder| folder.join("bin/python")));
    if found.is_none() {
        skipped(test, "what it needs is not installed: use cargo xtask test");
    }
    found
}

/// The folder to import the package from.
fn package() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
        let package = folder.join("pudato");
        let _ = fs::remove_dir_all(&package);
        link(&Path::new(CRATE).join("python/pudato"), &package);
        // The folder where cargo puts the extension module that this test depends on.
        let own = std::env::current_exe().expect("this program");
        let deps = own.parent().expect("a folder");
        let (module, library) = match cfg!(target_os = "macos") {
            true => ("lib_core.dylib", "libduckdb.dylib"),
            false => ("lib_core.so", "libduckdb.so"),
        };
        let (module, placed) = (deps.join(module), package.join("_core.abi3.so"));
        // The module looks for libduckdb in its own folder, so copy the module there; a link to it is not enough.
        if fs::hard_link(&module, &placed).is_err() {
            fs::copy(&module, &placed).expect("the extension module is built with this program");
        }
        let library = deps.parent().expect("a folder").join(library);
        if library.exists() {
            symlink(
                &library,
                &package.join(library.file_name().expect("a name")),
            );
        }
        folder
    })
}

/// Links every file below `from` into `to`.
fn link(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        match path.is_dir() {
            true if name == "__pycache__" => {}
            true => link(&path, &to.join(name)),
            false => symlink(&path, &to.join(name)),
        }
    }
}

fn symlink(from: &Path, to: &Path) {
    std::os::unix::fs::symlink(from, to).expect("a link");
}
