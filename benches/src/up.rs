//! The process that is measured: `pudato up` on a fresh folder.

use crate::Outcome;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `pudato up`, ended when this is dropped.
pub struct Up {
    child: Child,
    pub folder: tempfile::TempDir,
}

impl Up {
    pub fn start() -> Outcome<Self> {
        Self::start_with(&[])
    }

    /// With these variables in its environment.
    pub fn start_with(environment: &[(&str, String)]) -> Outcome<Self> {
        // Below the build folder: a temporary folder may lie in memory, where nothing is made durable.
        let folder = tempfile::tempdir_in(target()?)?;
        let child = Command::new(target()?.join("pudato"))
            .arg("up")
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let up = Self { child, folder };
        while !up.data().join("up.lock").exists() || !up.data().join("registry.db").exists() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Ok(up)
    }

    /// A Command's Result, which must be a success.
    pub fn call(&self, args: &[&str]) -> Outcome<serde_json::Value> {
        let output = Command::new(target()?.join("pudato"))
            .arg("--data-dir")
            .arg(self.data())
            .args(["--json", "call"])
            .args(args)
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stdout).into_owned().into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection that reads the registry while it is written.
    pub fn registry(&self) -> Outcome<rusqlite::Connection> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let path = self.data().join("registry.db");
        let connection = rusqlite::Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(connection)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of the built programs.
pub fn target() -> Outcome<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own
        .parent()
        .map_or_else(|| Path::new(".").to_owned(), Path::to_owned))
}

/// This program again, in another role.
pub fn role(args: &[&str]) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(args);
    Ok(command)
}
