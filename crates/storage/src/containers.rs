//! The containers, and the place of each.

use crate::error::{Error, ErrorKind, root_error};
use crate::folder::Folder;
use crate::key;
use object_store::ObjectStore;
use pudato_protocol::Dataset;
use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The containers that may be used. Any other name is refused.
pub struct Containers {
    allowed: Allowed,
    open: Mutex<HashMap<String, Arc<Container>>>,
}

enum Allowed {
    /// Every valid name is a folder below this one.
    Any(PathBuf),
    /// These names with their places. Any other name is refused.
    Listed(BTreeMap<String, Listed>),
}

/// The place of a listed container.
enum Listed {
    Folder(PathBuf),
    #[cfg(feature = "s3")]
    Bucket(crate::s3::Bucket),
}

/// An open container.
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) place: Place,
}

/// The place of an open container. It determines what its store cannot do by itself.
pub(crate) enum Place {
    /// In a folder.
    Folder(Folder),
    /// The namespace of its objects in lineage, `s3://bucket`, and what their names begin with there.
    #[cfg_attr(
        not(feature = "s3"),
        expect(dead_code, reason = "only a build with S3 opens buckets")
    )]
    Bucket { namespace: String, prefix: String },
}

#[cfg(feature = "s3")]
const EXPECTED: &str = "file:///absolute/folder or s3://bucket/prefix";
#[cfg(not(feature = "s3"))]
const EXPECTED: &str = "file:///absolute/folder (this build has no S3)";

/// Builds [`Containers`].
#[derive(Default)]
pub struct ContainersBuilder {
    root: Option<PathBuf>,
    listed: BTreeMap<String, String>,
    #[cfg(feature = "s3")]
    s3: Option<crate::S3Access>,
}

impl ContainersBuilder {
    /// Allows every valid name as a folder below `root`, unless containers are listed.
    #[must_use]
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// Sets the access to buckets.
    #[cfg(feature = "s3")]
    #[must_use]
    pub fn s3(mut self, access: crate::S3Access) -> Self {
        self.s3 = Some(access);
        self
    }

    /// Lists a container, e.g. `data-lake` at `file:///data/lake` or `s3://bucket/prefix`.
    #[must_use]
    pub fn list(mut self, name: impl Into<String>, location: impl Into<String>) -> Self {
        self.listed.insert(name.into(), location.into());
        self
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// `Invalid`: a name or location is unusable.
    pub fn build(self) -> Result<Containers, Error> {
        let invalid = |what: String| Error::new(ErrorKind::Invalid, what);
        let mut listed = BTreeMap::new();
        for (name, location) in self.listed {
            key::check_container(&name)
                .map_err(|what| invalid(format!("containers: {name}: {what}")))?;
            // The only place that chooses the backend of a container.
            let place = match location.split_once("://") {
                Some(("file", path)) if path.starts_with('/') => Listed::Folder(path.into()),
                #[cfg(feature = "s3")]
                Some(("s3", rest)) => {
                    let Some(access) = &self.s3 else {
                        let what = format!("containers.{name}: there are no settings for S3");
                        return Err(invalid(what));
                    };
                    let bucket = crate::s3::Bucket::new(rest, access.clone());
                    Listed::Bucket(
                        bucket.map_err(|what| invalid(format!("containers.{name}: {what}")))?,
                    )
                }
                _ => {
                    return Err(invalid(format!(
                        "containers.{name}: expected {EXPECTED}, found {location:?}"
                    )));
                }
            };
            listed.insert(name, place);
        }
        let allowed = match self.root {
            _ if !listed.is_empty() => Allowed::Listed(listed),
            Some(root) => Allowed::Any(root),
            None => Allowed::Listed(listed),
        };
        Ok(Containers {
            allowed,
            open: Mutex::default(),
        })
    }
}

impl Containers {
    /// Starts a configuration.
    pub fn builder() -> ContainersBuilder {
        ContainersBuilder::default()
    }

    /// Opens the container `name`, and creates a missing folder.
    pub(crate) fn open(&self, name: &str) -> Result<Arc<Container>, Error> {
        if let Some(open) = self.lock().get(name) {
            return Ok(Arc::clone(open));
        }
        let container = Arc::new(match &self.allowed {
            Allowed::Any(root) => {
                key::check_container(name).map_err(|what| {
                    Error::new(ErrorKind::Invalid, format!("payload.container: {what}"))
                })?;
                ours(name, &root.join(name))?
            }
            Allowed::Listed(listed) => match listed.get(name) {
                Some(Listed::Folder(path)) => folder(name, path, false)?,
                #[cfg(feature = "s3")]
                Some(Listed::Bucket(bucket)) => bucket.open(name)?,
                None => {
                    let names: Vec<&str> = listed.keys().map(String::as_str).collect();
                    let expected = match names.is_empty() {
                        true => "none is".to_owned(),
                        false => format!("expected one of {}", names.join(", ")),
                    };
                    let context = format!(
                        "payload.container: {name:?} is not listed under [containers]; {expected}"
                    );
                    return Err(Error::new(ErrorKind::Invalid, context));
                }
            },
        });
        self.lock().insert(name.to_owned(), Arc::clone(&container));
        Ok(container)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Container>>> {
        // The map is consistent at every moment, so a panic elsewhere does not damage it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A container that is a folder below ours. A symbolic link in its place is refused, because its creator would decide where objects are
/// stored.
fn ours(name: &str, path: &Path) -> Result<Container, Error> {
    if path.is_symlink() {
        let context = format!(
            "container {name}: its folder must not be a symbolic link; put the folder itself there, or list it under [containers]"
        );
        return Err(Error::new(ErrorKind::Invalid, context));
    }
    folder(name, path, true)
}

/// A container that is a folder, or a link to one. A missing folder is created.
fn folder(name: &str, path: &Path, is_ours: bool) -> Result<Container, Error> {
    let failed = |error: std::io::Error| root_error(&format!("container {name}"), error, false);
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    match builder.create(path) {
        Err(error) if is_ours && path.symlink_metadata().is_ok_and(|found| !found.is_dir()) => {
            return Err(root_error(&format!("container {name}"), error, true));
        }
        made => made.map_err(failed)?,
    }
    let store = Folder::new(path.canonicalize().map_err(failed)?, is_ours);
    Ok(Container {
        name: name.to_owned(),
        store: Arc::new(store.clone()),
        place: Place::Folder(store),
    })
}

impl Container {
    /// The location of an object in lineage.
    pub(crate) fn location(&self, path: &str) -> String {
        match &self.place {
            Place::Folder(folder) => {
                let root = folder.path().to_string_lossy();
                Dataset::file(&format!("{root}/{path}")).location()
            }
            Place::Bucket { namespace, prefix } => Dataset {
                namespace: namespace.clone(),
                name: format!("{prefix}{path}"),
            }
            .location(),
        }
    }

    /// The path in this container of an object that a store lists under its full name; `None` if it is outside.
    pub(crate) fn below<'a>(&self, name: &'a str) -> Option<&'a str> {
        let path = match &self.place {
            Place::Folder(_) => name,
            Place::Bucket { prefix, .. } => name.strip_prefix(prefix.as_str())?,
        };
        (!path.is_empty()).then_some(path)
    }

    /// The folder, if the container is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder.path()),
            Place::Bucket { .. } => None,
        }
    }
}
