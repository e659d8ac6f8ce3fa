//! The handles of this process. DuckDB's lock on a file keeps other processes away, but POSIX locks do not separate two libraries in one
//! process: a second DuckDB, such as Python's, opens the same file without any error, and what one of them commits is lost when the other
//! writes its checkpoint (seen with DuckDB 1.5.6 beside Python's DuckDB 1.5.6).

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The handles of this process, each a link to its file.
#[cfg(target_os = "linux")]
const HANDLES: &str = "/proc/self/fd";
#[cfg(not(target_os = "linux"))]
const HANDLES: &str = "/dev/fd";

/// Whether anything in this process has `file` open. If the system does not tell, nothing has.
pub(super) fn is_open_here(file: &Path) -> bool {
    let Ok(own) = file.metadata() else {
        return false;
    };
    let Ok(handles) = std::fs::read_dir(HANDLES) else {
        return false;
    };
    let mut handles = handles.flatten();
    handles.any(|handle| {
        // Follows the link without opening the file: closing another handle would drop the locks of the first.
        let found = std::fs::metadata(handle.path());
        found.is_ok_and(|found| (found.dev(), found.ino()) == (own.dev(), own.ino()))
    })
}

#[cfg(test)]
mod tests {
    use super::is_open_here;

    #[test]
    fn a_file_is_open_here_while_a_handle_is_there_by_whatever_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("w"), folder.path().join("l"));
        assert!(!is_open_here(&file));
        std::fs::write(&file, "").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        assert!(!is_open_here(&file));
        let handle = std::fs::File::open(&link).expect("opened");
        assert!(is_open_here(&file));
        drop(handle);
        assert!(!is_open_here(&file));
    }
}
