//! The setting of the repository of the data logic, with the checks that need no network.

use std::path::Path;

/// The repository of the data logic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logic {
    /// `https://..`, `ssh://..` or `user@host:path`, or `file://..` if it is allowed.
    pub url: String,
    /// The branch; `None` means `main`.
    pub branch: Option<String>,
    /// A commit of 40 hexadecimal digits, which takes precedence over the branch.
    pub revision: Option<String>,
    /// The folder of the project in the repository.
    pub subdirectory: Option<String>,
    /// Whether `file://` URLs are allowed.
    pub allows_file: bool,
}

impl Logic {
    /// Checks everything that needs no network.
    ///
    /// # Errors
    /// Names the wrong setting and what was expected.
    pub fn check(&self) -> Result<(), String> {
        let url = &self.url;
        let is_ssh_like = !url.contains("://") && url.contains('@') && url.contains(':');
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        let is_allowed = match scheme {
            Some("https" | "ssh") => true,
            Some("file") => self.allows_file,
            None => is_ssh_like,
            Some(_) => false,
        };
        if !is_allowed || url.starts_with('-') || url.contains("::") {
            let file = if self.allows_file {
                ""
            } else {
                " (file:// with PUDATO_LOGIC_REPO_ALLOW_FILE=true)"
            };
            return Err(format!(
                "PUDATO_LOGIC_REPO_URL: expected https:// or ssh://{file}, found {:?}",
                pudato_handler::redact(url)
            ));
        }
        if let Some(revision) = &self.revision
            && !is_commit(revision)
        {
            return Err(format!(
                "PUDATO_LOGIC_REPO_REVISION: expected a commit of 40 hexadecimal digits, found {revision:?}"
            ));
        }
        let branch = self.branch();
        let is_branch = !branch.starts_with('-')
            && !branch.contains("..")
            && branch
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        if !is_branch || branch.is_empty() {
            return Err(format!(
                "PUDATO_LOGIC_REPO_BRANCH: expected letters, digits and -_./, found {branch:?}"
            ));
        }
        let below = self.subdirectory.as_deref().unwrap_or("");
        let is_below = Path::new(below).components().all(|part| {
            matches!(
                part,
                std::path::Component::Normal(_) | std::path::Component::CurDir
            )
        });
        if !is_below {
            return Err(format!(
                "PUDATO_LOGIC_REPO_SUBDIR: expected a folder within the repository, found {below:?}"
            ));
        }
        Ok(())
    }

    /// The branch to follow.
    pub(crate) fn branch(&self) -> &str {
        self.branch.as_deref().unwrap_or("main")
    }

    /// The URL without credentials, as lineage shows it.
    pub(crate) fn name(&self) -> String {
        let url = match self.url.split_once("://") {
            Some((scheme, rest)) => {
                let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
                format!("{scheme}://{rest}")
            }
            None => {
                let rest = self
                    .url
                    .split_once('@')
                    .map_or(self.url.as_str(), |(_, rest)| rest);
                format!("ssh://{}", rest.replacen(':', "/", 1))
            }
        };
        match &self.subdirectory {
            Some(below) => format!("git+{url}#{below}"),
            None => format!("git+{url}"),
        }
    }
}

/// Whether the text is the full name of a commit.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logic(url: &str) -> Logic {
        Logic {
            url: url.into(),
            branch: None,
            revision: None,
            subdirectory: None,
            allows_file: false,
        }
    }

    #[test]
    fn only_https_and_ssh_are_fetched_from_and_nothing_looks_like_an_option() {
        for url in ["https://h/r.git", "ssh://git@h/r.git", "git@h:team/r.git"] {
            logic(url).check().expect(url);
        }
        for url in [
            "ext::sh -c id",
            "file:///r",
            "/r",
            "http://h/r",
            "git://h/r",
            "-u@h:x",
            "--upload-pack=x",
            "",
        ] {
            assert!(
                logic(url)
                    .check()
                    .expect_err(url)
                    .starts_with("PUDATO_LOGIC_REPO_URL"),
                "{url}"
            );
        }
        let allowed = Logic {
            allows_file: true,
            ..logic("file:///r")
        };
        allowed.check().expect("allowed");
        for (field, wrong) in [
            (
                "_REVISION",
                Logic {
                    revision: Some("main".into()),
                    ..logic("https://h/r")
                },
            ),
            (
                "_REVISION",
                Logic {
                    revision: Some("--x".into()),
                    ..logic("https://h/r")
                },
            ),
            (
                "_BRANCH",
                Logic {
                    branch: Some("--upload-pack=x".into()),
                    ..logic("https://h/r")
                },
            ),
            (
                "_BRANCH",
                Logic {
                    branch: Some("a..b".into()),
                    ..logic("https://h/r")
                },
            ),
            (
                "_SUBDIR",
                Logic {
                    subdirectory: Some("../x".into()),
                    ..logic("https://h/r")
                },
            ),
            (
                "_SUBDIR",
                Logic {
                    subdirectory: Some("/x".into()),
                    ..logic("https://h/r")
                },
            ),
        ] {
            assert!(wrong.check().expect_err(field).contains(field), "{wrong:?}");
        }
    }

    #[test]
    fn names_in_lineage_have_no_credentials() {
        assert_eq!(
            logic("https://me:secret@h/r.git").name(),
            "git+https://h/r.git"
        );
        assert_eq!(logic("git@h:team/r.git").name(), "git+ssh://h/team/r.git");
    }
}
