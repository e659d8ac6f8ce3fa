//! Lists objects: regular files whose names a command can use. Symbolic links, pipes and the like are not objects, and neither are files with
//! other names: `unnamed` encodes their names, so that a listing can count them. Files that are still being written are neither listed nor counted.

use super::{Folder, Problem, Root, STAGED, beneath, reading};
use crate::key::{self, HIDDEN};
use crate::unnamed;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, try_unfold};
use object_store::path::Path;
use object_store::{ObjectMeta, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;
use std::ffi::CStr;
use std::time::SystemTime;

/// Lists everything below the folder `prefix`, in no particular order.
pub(super) fn list(folder: Folder, prefix: String) -> BoxStream<'static, Result<ObjectMeta>> {
    let begun = (folder, vec![prefix], Vec::new());
    try_unfold(begun, |(folder, mut folders, mut found)| async move {
        while found.is_empty() {
            let Some(next) = folders.pop() else {
                return Ok(None);
            };
            let (root, path) = (folder.0.clone(), next.clone());
            let read = tokio::task::spawn_blocking(move || read(&root, &path));
            let read = read.await?.map_err(|problem| problem.of(&next))?;
            found = read.objects;
            folders.extend(read.folders);
        }
        let one = found.pop();
        Ok(one.map(|one| (one, (folder, folders, found))))
    })
    .boxed()
}

/// The entries of one folder.
#[derive(Default)]
struct Entries {
    objects: Vec<ObjectMeta>,
    folders: Vec<String>,
}

fn read(root: &Root, path: &str) -> std::result::Result<Entries, Problem> {
    let root = match root.open() {
        // One of our containers that does not exist yet is empty.
        Err(Problem::Root {
            error,
            is_ours: true,
        }) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Entries::default());
        }
        opened => opened?,
    };
    let failed = |errno| Problem::read(&root, path, errno);
    let folder = match beneath::folder(&root, path) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Ok(Entries::default()),
        // A file has no entries below it; a link is reported.
        Err(errno @ (Errno::NOTDIR | Errno::LOOP)) => match failed(errno) {
            link @ Problem::Link(_) => return Err(link),
            _ => return Ok(Entries::default()),
        },
        Err(errno) => return Err(failed(errno)),
    };
    let mut entries = Entries::default();
    for entry in Dir::read_from(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let is_ours = name.to_bytes() == HIDDEN.as_bytes() && path.is_empty();
        if matches!(name.to_bytes(), b"." | b"..") || is_ours || is_staged(name) {
            continue;
        }
        let mut below = match path {
            "" => Vec::new(),
            path => format!("{path}/").into_bytes(),
        };
        below.extend_from_slice(name.to_bytes());
        let named = std::str::from_utf8(&below).ok();
        let named = named.and_then(|below| Some((below.to_owned(), key::check(below).ok()?)));
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            kind = match beneath::kind_of(&folder, name) {
                Ok(kind) => kind,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(failed(errno)),
            };
        }
        match (kind, named) {
            (FileType::Directory, Some((below, _))) => entries.folders.push(below),
            (FileType::RegularFile, Some((_, location))) => {
                if let Some(found) = look(&folder, name).map_err(failed)? {
                    entries.objects.push(reading::meta(&found, location));
                }
            }
            (kind, _) => {
                // Its contents have no valid names either, and count as one entry.
                if kind == FileType::Directory {
                    below.push(b'/');
                }
                entries.objects.push(unnamed(&below));
            }
        }
    }
    Ok(entries)
}

fn is_staged(name: &CStr) -> bool {
    name.to_bytes().starts_with(STAGED.as_bytes())
}

/// Encodes a name that no command can use, so that a listing can count it.
fn unnamed(name: &[u8]) -> ObjectMeta {
    ObjectMeta {
        location: Path::from(unnamed::carried(name)),
        last_modified: SystemTime::UNIX_EPOCH.into(),
        size: 0,
        e_tag: None,
        version: None,
    }
}

/// Returns `None` if the entry was removed meanwhile.
fn look(folder: &OwnedFd, name: &CStr) -> std::result::Result<Option<rustix::fs::Stat>, Errno> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}
