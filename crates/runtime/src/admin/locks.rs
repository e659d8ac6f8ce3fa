//! Programs that have lost their locks on a database. POSIX locks belong to the process: when a second SQLite in it closes the file, the
//! system drops the locks of the first, and the next program may change or delete what that one is using.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A program that has just opened a database is about to lock it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The programs of this user on this machine that have one of these SQLite databases open without a lock, as far as the system shows it.
/// This program must have them open.
pub(super) async fn lost(databases: &[PathBuf]) -> Vec<String> {
    let mut wrong = Vec::new();
    for database in databases {
        let first = unlocked(database);
        if first.is_empty() {
            continue;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        let again = unlocked(database);
        wrong.extend(first.intersection(&again).map(|pid| {
            format!(
                "process {pid} ({}) has {} open, and has lost its locks on it, because something else in that process opened and closed the \
                 file: restart that process, and let it read a copy (`pudato backup`) instead",
                name(*pid),
                database.display()
            )
        }));
    }
    wrong
}

/// The processes that have the database open without a lock.
fn unlocked(database: &Path) -> BTreeSet<u32> {
    // A connection locks this file of SQLite's for as long as it lives.
    let mut shared = database.as_os_str().to_owned();
    shared.push("-shm");
    let Ok(file) = fs::metadata(&shared) else {
        return BTreeSet::new();
    };
    let Ok(locks) = fs::read_to_string("/proc/locks") else {
        return BTreeSet::new();
    };
    let locking = locking(&locks, &file);
    let using: BTreeSet<u32> = processes().filter(|pid| has_open(*pid, &file)).collect();
    // Some file systems name their files otherwise in the list of locks. Then no process at all seems to hold one.
    if locking.is_disjoint(&using) {
        return BTreeSet::new();
    }
    using.difference(&locking).copied().collect()
}

/// The processes with a POSIX lock on the file, from lines such as `1: POSIX  ADVISORY  READ 18445 fe:00:10020403 124 124`.
fn locking(locks: &str, file: &fs::Metadata) -> BTreeSet<u32> {
    let (device, inode) = (file.dev(), file.ino());
    let place = format!(
        "{:02x}:{:02x}:{inode}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    );
    let holder = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == place)?;
        words.get(at.checked_sub(1)?)?.parse().ok()
    };
    locks.lines().filter_map(holder).collect()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn has_open(pid: u32, file: &fs::Metadata) -> bool {
    let handles = fs::read_dir(format!("/proc/{pid}/fd"));
    let mut handles = handles.into_iter().flatten().flatten();
    handles.any(|handle| {
        fs::metadata(handle.path())
            .is_ok_and(|found| (found.dev(), found.ino()) == (file.dev(), file.ino()))
    })
}

fn name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
    name.map_or_else(|_| "it has ended".into(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pudato_registry::SqliteRegistry;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    /// Another program, which has the database open and its locks.
    const OTHER: &str = "import sqlite3, sys, os
c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM job').fetchone()
print('open', flush=True); sys.stdin.readline()
os.close(os.open(sys.argv[1] + '-shm', os.O_RDONLY))
print('lost', flush=True); sys.stdin.readline()";

    #[tokio::test]
    async fn a_program_that_lost_its_locks_is_named_and_one_that_holds_them_is_not() {
        if !Path::new("/proc/locks").exists() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("registry.db");
        let _open = SqliteRegistry::open(&database).expect("opened");
        let databases = [database.clone()];
        let mut other = Command::new("python3")
            .args(["-c", OTHER])
            .arg(&database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut says = BufReader::new(other.stdout.take().expect("a pipe")).lines();
        let mut tell = other.stdin.take().expect("a pipe");
        assert_eq!(says.next().expect("a line").expect("text"), "open");
        assert_eq!(lost(&databases).await, Vec::<String>::new());
        std::io::Write::write_all(&mut tell, b"\n").expect("told");
        assert_eq!(says.next().expect("a line").expect("text"), "lost");
        let found = lost(&databases).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains(&format!("process {} (python3", other.id())),
            "{found:?}"
        );
        drop(tell);
        other.wait().expect("ended");
    }
}
