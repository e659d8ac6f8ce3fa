//! Files that a caller names for a payload: regular files of a size that a message can carry.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::{Path, PathBuf};

/// Reads a regular file of at most `bytes_max` bytes. Pipes and devices are refused without reading them, since some never end.
///
/// # Errors
/// The file does not exist, cannot be read, or is not a regular file. `FileTooLarge`: it has more bytes, or grows while it is read.
pub fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !found.is_file() {
        let what = "expected a regular file, found a pipe or a device; write its contents into a file first";
        return Err(Error::new(ErrorKind::InvalidInput, what));
    }
    let too_large = |bytes: u64| {
        let what = format!("{bytes} bytes; at most {bytes_max} (PUDATO_CLAIM_BYTES_MAX)");
        Error::new(ErrorKind::FileTooLarge, what)
    };
    if found.len() > bytes_max {
        return Err(too_large(found.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0));
    // Files of /proc report a size of zero.
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        read if read > bytes_max => Err(too_large(read)),
        _ => Ok(bytes),
    }
}

/// The real location of `path`, relative to `folder`, with all links followed.
///
/// # Errors
/// The path does not exist, or is outside of the folder.
pub fn inside(folder: &Path, path: &str) -> Result<PathBuf> {
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let (folder, found) = (folder.canonicalize()?, folder.join(path).canonicalize()?);
    if found.starts_with(&folder) {
        return Ok(found);
    }
    let what = "it is outside the pipeline's folder; copy it there, or allow it with --allow-files-outside";
    Err(Error::new(ErrorKind::PermissionDenied, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_size_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "12345").expect("written");
        assert_eq!(read_file(&file, 5).expect("read"), b"12345");
        let error = read_file(&file, 4).expect_err("too large");
        assert_eq!(
            error.to_string(),
            "5 bytes; at most 4 (PUDATO_CLAIM_BYTES_MAX)"
        );
        for device in ["/dev/zero", "/dev/null"] {
            let error = read_file(Path::new(device), 5).expect_err("a device");
            assert!(
                error.to_string().starts_with("expected a regular file"),
                "{error}"
            );
        }
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo runs").success());
        assert!(read_file(&pipe, 5).is_err(), "a pipe without a writer");
        assert!(read_file(folder.path(), 5).is_err());
    }
}
