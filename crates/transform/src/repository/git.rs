//! Runs the `git` program, not a library: it has the user's own credentials (helpers, agents, known hosts) and gets its security fixes with
//! the system. It runs nothing that it fetches: no hooks, no submodules, no filters, and symbolic links are written as plain text files.

use crate::process::child::{self, Exit, Limits};
use crate::process::environment;
use crate::repository::logic::Logic;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// The longest time of one git call.
const DEADLINE: Duration = Duration::from_secs(300);

/// The most lines of git's output to keep; more would repeat the same.
const LINES_MAX: usize = 100;

/// Why there is no checkout.
#[derive(Debug)]
pub(crate) enum FetchError {
    /// The request cannot be satisfied as it is.
    Invalid(String),
    /// The remote cannot be reached now.
    Unreachable(String),
}

/// git on one mirror.
pub(crate) struct Git<'a> {
    pub(crate) logic: &'a Logic,
    /// The bare repository, which each call names explicitly. git therefore never finds a repository that encloses the mirror.
    pub(crate) mirror: &'a Path,
    /// Environment variables that git may see in addition to the usual ones.
    pub(crate) also: &'a [String],
}

impl Git<'_> {
    /// Runs git and returns its output.
    pub(crate) async fn run(&self, args: &[&str]) -> Result<String, FetchError> {
        self.run_with(args, environment::allowed(self.also)).await
    }

    /// Runs a git command that contacts the remote.
    pub(crate) async fn run_remote(&self, args: &[&str]) -> Result<String, FetchError> {
        let mut environment = environment::allowed(self.also);
        let has = |name: &str| environment.iter().any(|(known, _)| known == name);
        let is_chosen = has("GIT_SSH_COMMAND") || has("GIT_SSH");
        // Without this setting, git exits with an error code.
        let configured = ["config", "--get", "core.sshCommand"];
        if !is_chosen && self.run(&configured).await.is_err() {
            // Nobody could answer a question of ssh.
            environment.push(("GIT_SSH_COMMAND".into(), "ssh -oBatchMode=yes".into()));
        }
        self.run_with(args, environment).await
    }

    async fn run_with(
        &self,
        args: &[&str],
        mut environment: Vec<(OsString, OsString)>,
    ) -> Result<String, FetchError> {
        for (name, value) in [
            ("GIT_TERMINAL_PROMPT", "0"),
            // The code below reads git's messages.
            ("LC_ALL", "C"),
        ] {
            environment.retain(|(known, _)| known != name);
            environment.push((name.into(), value.into()));
        }
        let mut said = Vec::new();
        let mut keep = |line: &str| {
            if said.len() < LINES_MAX {
                said.push(line.to_owned());
            }
            true
        };
        let program = Path::new("git");
        let folder = self.mirror.parent().unwrap_or(Path::new("/"));
        let all = self.all(args);
        // The next git removes what this one leaves behind, so it is killed without a grace period.
        let limits = Limits::until(DEADLINE);
        let exit = child::run(program, &all, folder, &environment, limits, &mut keep).await;
        let what = args
            .iter()
            .find(|arg| !arg.starts_with('-'))
            .copied()
            .unwrap_or_default();
        let text = said.join("\n");
        match exit {
            Ok(Exit::Code(0)) => Ok(text),
            Ok(Exit::Code(_)) => {
                let text = pudato_handler::redact(&text).into_owned();
                let text = text.replace(&self.logic.url, &self.logic.name());
                Err(match is_unreachable(&text) {
                    true => self.unreachable(&format!("git {what}: {}", text.trim())),
                    false => {
                        FetchError::Invalid(format!("the data logic: git {what}: {}", text.trim()))
                    }
                })
            }
            Ok(Exit::Signal(signal)) => Err(FetchError::Unreachable(format!(
                "the data logic: git {what} was ended by signal {signal}"
            ))),
            Ok(Exit::TimedOut | Exit::OverMemory(_) | Exit::Stopped) => {
                let why = format!("git {what} took longer than {} s", DEADLINE.as_secs());
                Err(self.unreachable(&why))
            }
            Err(error) => Err(FetchError::Invalid(format!("git: {error}; install it"))),
        }
    }

    /// Builds the error for an unreachable remote, with a hint where to look.
    fn unreachable(&self, why: &str) -> FetchError {
        FetchError::Unreachable(format!(
            "the data logic: {} cannot be reached: {why}; check PUDATO_LOGIC_REPO_URL, the network from here, and that git has its credentials",
            self.logic.name()
        ))
    }

    /// The arguments, preceded by those that every call needs.
    fn all(&self, args: &[&str]) -> Vec<OsString> {
        let file = match self.logic.allows_file {
            true => "protocol.file.allow=always",
            false => "protocol.file.allow=never",
        };
        let settings = [
            "core.hooksPath=/dev/null",
            "core.symlinks=false",
            "core.fsmonitor=false",
            "core.attributesFile=/dev/null",
            "submodule.recurse=false",
            "fetch.recurseSubmodules=false",
            "gc.auto=0",
            "maintenance.auto=false",
            "protocol.allow=never",
            "protocol.https.allow=always",
            "protocol.ssh.allow=always",
            file,
            // pudato created this folder, whoever owns it now.
            "safe.directory=*",
        ];
        let mut all: Vec<OsString> = Vec::new();
        for setting in settings {
            all.extend(["-c".into(), setting.into()]);
        }
        let mut folder = OsString::from("--git-dir=");
        folder.push(self.mirror);
        all.push(folder);
        all.extend(args.iter().map(Into::into));
        all
    }
}

/// What git says where trying again may help. Its words are all there is: git ends with 128 whatever stopped it, and is asked for them
/// in English.
pub(crate) fn is_unreachable(text: &str) -> bool {
    const SIGNS: [&str; 15] = [
        "Could not resolve host",
        "Couldn't resolve host",
        "Temporary failure in name resolution",
        "Connection refused",
        "Connection timed out",
        "Operation timed out",
        "Connection reset",
        "Connection closed",
        "Failed to connect",
        "unable to access",
        "hung up unexpectedly",
        "early EOF",
        "Network is unreachable",
        "No route to host",
        // The server is out of order at the moment.
        "The requested URL returned error: 5",
    ];
    SIGNS.iter().any(|sign| text.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_stays_wrong() {
        for text in [
            "ssh: connect to host h port 22: No route to host",
            "Connection closed by 10.0.0.1 port 22",
            "fatal: the remote end hung up unexpectedly",
            "ssh: connect to host h port 22: Operation timed out",
            "ssh: Could not resolve hostname h: Temporary failure in name resolution",
            "error: RPC failed; HTTP 502\nfatal: The requested URL returned error: 502",
        ] {
            assert!(is_unreachable(text), "{text}");
        }
        for text in [
            "fatal: couldn't find remote ref refs/heads/x",
            "fatal: repository 'https://h/r.git/' not found",
            "Permission denied (publickey).",
            "The requested URL returned error: 404",
        ] {
            assert!(!is_unreachable(text), "{text}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_reached_is_named_without_its_password() {
        let logic = Logic {
            url: "https://me:planted-0123456789@127.0.0.1:1/r.git".into(),
            branch: None,
            revision: None,
            subdirectory: None,
            allows_file: false,
        };
        let folder = tempfile::tempdir().expect("a folder");
        let git = Git {
            logic: &logic,
            mirror: &folder.path().join("mirror.git"),
            also: &[],
        };
        let FetchError::Unreachable(why) = git.unreachable("git fetch: Connection refused") else {
            panic!("it may pass");
        };
        assert!(
            why.contains("https://127.0.0.1:1/r.git cannot be reached") && why.contains("check "),
            "{why}"
        );
        assert!(!why.contains("planted"), "{why}");
        // A malformed request fails at once.
        let wrong = git.run(&["cat-file", "-e", "HEAD"]).await;
        assert!(matches!(wrong, Err(FetchError::Invalid(_))), "{wrong:?}");
    }
}
