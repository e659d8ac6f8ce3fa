//! The packages that `cargo xtask test` built for deployment.

use pudato_testing::skipped;
use std::path::PathBuf;

/// The packages, if they were built; their folder is beside that of the tests.
pub fn folder() -> Result<PathBuf, String> {
    // The program is <target>/<profile>/pudato.
    let program = PathBuf::from(env!("CARGO_BIN_EXE_pudato"));
    let target = program.ancestors().nth(2).expect("a target folder");
    let folder = target.join("test-packages");
    let missing = ["core.zip", "query.zip"]
        .into_iter()
        .find(|name| !folder.join(name).is_file());
    match missing {
        None => Ok(folder),
        Some(name) => Err(format!("there is no {name}; `cargo xtask test` builds it")),
    }
}

/// The versions of glibc that a file requires, as numbers.
fn glibc(bytes: &[u8]) -> Vec<(u32, u32)> {
    let mark = b"GLIBC_2.";
    let places = bytes.windows(mark.len()).enumerate();
    let named = places.filter(|(_, window)| window == mark);
    let minor = named.filter_map(|(place, _)| {
        let digits = bytes[place + mark.len()..].iter();
        let digits: String = digits
            .take_while(|byte| byte.is_ascii_digit())
            .map(|byte| char::from(*byte))
            .collect();
        digits.parse().ok()
    });
    minor.map(|minor| (2, minor)).collect()
}

#[test]
fn the_packages_run_on_the_glibc_of_lambda() {
    let folder = match folder() {
        Ok(folder) => folder,
        Err(why) => return skipped("the_packages", &why),
    };
    for file in ["core/bootstrap", "query/bootstrap", "query/libduckdb.so"] {
        let path = match file {
            // The package is beside the tested program, and is deployed as it is.
            "query/libduckdb.so" => {
                PathBuf::from(env!("CARGO_BIN_EXE_pudato")).with_file_name("libduckdb.so")
            }
            file => folder.join(file),
        };
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let versions = glibc(&bytes);
        let newest = versions
            .iter()
            .max()
            .unwrap_or_else(|| panic!("{file} needs no glibc"));
        assert!(*newest <= (2, 34), "{file} needs glibc {newest:?}");
    }
}
