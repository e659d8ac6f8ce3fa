//! Lists objects: regular files whose names a command can use. Symbolic links, pipes and the like are not objects; listings leave them out,
//! as are files that are still being written.

use super::{Folder, Problem, Root, STAGED, beneath, reading};
use crate::key::{self, HIDDEN};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, try_unfold};
use object_store::{ObjectMeta, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;

/// All below the folder `prefix`, in no order.
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

/// What stands in one folder.
#[derive(Default)]
struct Entries {
    objects: Vec<ObjectMeta>,
    folders: Vec<String>,
}

fn read(root: &Root, path: &str) -> std::result::Result<Entries, Problem> {
    let root = match root.open() {
        // One of ours that is not there has nothing in it.
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
        // A file has nothing below it; a link is told.
        Err(errno @ (Errno::NOTDIR | Errno::LOOP)) => match failed(errno) {
            link @ Problem::Link(_) => return Err(link),
            _ => return Ok(Entries::default()),
        },
        Err(errno) => return Err(failed(errno)),
    };
    let mut entries = Entries::default();
    for entry in Dir::read_from(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if matches!(name, "." | ".." | HIDDEN) || name.starts_with(STAGED) {
            continue;
        }
        let below = match path {
            "" => name.to_owned(),
            path => format!("{path}/{name}"),
        };
        // A file that no command can name is not an object.
        let Ok(location) = key::check(&below) else {
            continue;
        };
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            kind = match beneath::kind_of(&folder, name) {
                Ok(kind) => kind,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(failed(errno)),
            };
        }
        match kind {
            FileType::Directory => entries.folders.push(below),
            FileType::RegularFile => {
                if let Some(found) = look(&folder, name).map_err(failed)? {
                    entries.objects.push(reading::meta(&found, location));
                }
            }
            _ => {}
        }
    }
    Ok(entries)
}

/// `None` where it was removed meanwhile.
fn look(folder: &OwnedFd, name: &str) -> std::result::Result<Option<rustix::fs::Stat>, Errno> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}
