//! The source code of a run, for the facet `sourceCodeLocation`.

use pudato_protocol::Object;
use serde_json::{Value, json};

/// The transform handler's checkout: the repository as `git+URL` or `git+URL#FOLDER`, without credentials, and the commit.
/// `None` if the logic did not come from a repository.
pub(super) fn location(body: &Object) -> Option<Value> {
    let data = body.get("data")?.as_object()?;
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let (repository, commit) = (text("logic_repository")?, text("logic_version")?);
    let repository = repository.strip_prefix("git+")?;
    let (repository, folder) = match repository.split_once('#') {
        Some((repository, folder)) => (repository, Some(folder.trim_matches('/'))),
        None => (repository, None),
    };
    let mut fields = json!({
        "type": "git",
        "url": page(repository, commit, folder).unwrap_or_else(|| repository.to_owned()),
        "repoUrl": repository,
        "version": commit,
    });
    if let Some(folder) = folder.filter(|folder| !folder.is_empty()) {
        fields["path"] = folder.into();
    }
    Some(fields)
}

/// The web page of the folder at that commit, for hosts whose URLs are known.
fn page(repository: &str, commit: &str, folder: Option<&str>) -> Option<String> {
    let (scheme, rest) = repository.split_once("://")?;
    let (host, path) = rest.split_once('/')?;
    let tree = match host {
        "github.com" => "tree",
        "gitlab.com" => "-/tree",
        _ => return None,
    };
    if !["https", "ssh"].contains(&scheme) {
        return None;
    }
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let mut page = format!("https://{host}/{path}/{tree}/{commit}");
    if let Some(folder) = folder.filter(|folder| !folder.is_empty()) {
        // Some characters of a folder name must be escaped in a URL.
        for byte in format!("/{folder}").bytes() {
            match byte {
                b'/' | b'-' | b'_' | b'.' | b'~' => page.push(char::from(byte)),
                byte if byte.is_ascii_alphanumeric() => page.push(char::from(byte)),
                byte => page.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "693e35482bc2e526ced2b5f9f76ef83dec6ec691";

    fn facet(repository: Value) -> Option<Value> {
        let body = json!({"data": {"logic_repository": repository, "logic_version": COMMIT}});
        location(body.as_object().expect("an object"))
    }

    #[test]
    fn the_commit_is_told_with_its_page_where_the_host_has_one() {
        for (repository, url, path) in [
            (
                "git+https://github.com/org/logic.git",
                "https://github.com/org/logic/tree/",
                None,
            ),
            (
                "git+ssh://github.com/org/logic.git#dbt/shop",
                "https://github.com/org/logic/tree/",
                Some("dbt/shop"),
            ),
            (
                "git+https://gitlab.com/a/b/logic#my dbt",
                "https://gitlab.com/a/b/logic/-/tree/",
                Some("my dbt"),
            ),
        ] {
            let exported = facet(repository.into()).expect("a location");
            let folder = path.map_or(String::new(), |path| {
                format!("/{}", path.replace(' ', "%20"))
            });
            assert_eq!(exported["url"], format!("{url}{COMMIT}{folder}"));
            assert_eq!(exported["version"], COMMIT);
            assert_eq!(exported.get("path").and_then(Value::as_str), path);
        }
    }

    #[test]
    fn another_host_is_named_by_its_repository_and_no_repository_is_no_location() {
        let other =
            facet("git+ssh://git.example.org/org/logic.git#dbt".into()).expect("a location");
        assert_eq!(
            (&other["url"], &other["repoUrl"], &other["path"]),
            (
                &json!("ssh://git.example.org/org/logic.git"),
                &json!("ssh://git.example.org/org/logic.git"),
                &json!("dbt")
            )
        );
        assert_eq!(facet(Value::Null), None);
        let body = json!({"data": {"logic_repository": "git+https://github.com/org/logic", "logic_version": null}});
        assert_eq!(location(body.as_object().expect("an object")), None);
    }
}
