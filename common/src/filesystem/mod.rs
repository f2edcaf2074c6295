//! File systems by URI: local paths and S3.
//!
//! A [`Location`] is a file or a folder that a URI names: `/data/x`, `file:///data/x`, `s3://bucket/key`, `s3a://bucket/key`.
//! Files appear whole or not at all, and are on disk when a write returns. Stores are made once in a process for each
//! bucket and set of credentials.
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::aws::AmazonS3;
use object_store::local::LocalFileSystem;
use object_store::path::{Path as ObjectPath, PathPart};
use parking_lot::Mutex;
use tracing::Instrument;

use crate::config::Configuration;
use crate::config::options::s3;
use crate::logging::request_span;

mod answers;
mod bounded;
mod entropy;
mod error;
mod listing;
mod local;
pub mod memory;
mod object;
mod parts;
mod profile;
mod regular;
mod s3_store;
mod status;
mod swap;
mod unfinished;
pub mod unsure;

#[cfg(test)]
mod service_tests;
#[cfg(test)]
mod tests;

use bounded::Bound;
pub use bounded::{Check, Refusal, read_regular};
use entropy::Entropy;
pub use error::{Error, ErrorKind};
pub use listing::{FilesBelow, Found};
pub use parts::{Completion, LEAST_PART, MOST_PARTS};
pub use regular::{check_place, check_regular, open_regular};
pub(crate) use regular::{check_withheld, name_of, withhold};
pub use status::Status;
pub use swap::{SwapError, Tag};
pub use unfinished::{Unfinished, UploadStore};

/// The outcome of this module's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Stores are few; a process that is made to use more than this many makes them anew.
const MAX_STORES: usize = 64;

/// A bucket and what its store was configured with.
type StoreKey = (String, Vec<(String, String)>);

static STORES: LazyLock<Mutex<HashMap<StoreKey, Bucket>>> = LazyLock::new(Mutex::default);
/// By name: see [`mount`].
static MOUNTED: LazyLock<Mutex<HashMap<String, Bucket>>> = LazyLock::new(Mutex::default);

/// A bucket: what [`ObjectStore`] does, and what it does not.
#[derive(Clone, Debug)]
struct Bucket {
    objects: Arc<dyn ObjectStore>,
    /// The same, where it is one that gives its listings page by page.
    pages: Option<Arc<AmazonS3>>,
    uploads: Arc<dyn unfinished::UploadStore>,
    /// Where files can be written part by part, and completed by another process than the one that wrote them.
    parts: Option<parts::Parts>,
}

/// What was written or read: to be compared with what should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes.
    pub size: u64,
    /// CRC-32C of the bytes.
    pub crc32c: u32,
}

/// What is in a folder, but not below the folders in it; in no order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Children {
    /// The names of files.
    pub files: Vec<String>,
    /// The names of folders.
    pub folders: Vec<String>,
}

/// Puts a store in the place of a bucket, for tests and simulations: `s3://<bucket>/...` is in it from now on, in this
/// process.
pub fn mount(bucket: &str, objects: Arc<dyn ObjectStore>) {
    mount_with_uploads(bucket, objects, Arc::new(unfinished::NoUploads));
}

/// As [`mount`], where uploads in parts may be left unfinished.
pub fn mount_with_uploads(bucket: &str, objects: Arc<dyn ObjectStore>, uploads: Arc<dyn UploadStore>) {
    MOUNTED.lock().insert(bucket.to_owned(), Bucket { objects, pages: None, uploads, parts: None });
}

/// Takes back [`mount`].
pub fn unmount(bucket: &str) {
    MOUNTED.lock().remove(bucket);
}

/// A file or a folder.
#[derive(Clone, Debug)]
pub struct Location {
    place: Place,
    uri: String,
}

#[derive(Clone, Debug)]
enum Place {
    Local(PathBuf),
    Object { store: Bucket, path: ObjectPath, entropy: Option<Entropy> },
}

impl Location {
    /// The place that a URI names which a person wrote: spaces around it do not count.
    ///
    /// # Errors
    /// The scheme is not known, the path is relative, or the store cannot be set up with this configuration.
    pub fn resolve(uri: &str, config: &Configuration) -> Result<Self> {
        Self::of_uri(uri.trim(), config)
    }

    /// The place of a URI that [`Location::uri`] or a listing gave: the name of a file may end with a space.
    ///
    /// # Errors
    /// As of [`Location::resolve`].
    pub fn of_uri(uri: &str, config: &Configuration) -> Result<Self> {
        let uri = with_default_scheme(uri, config)?;
        let (scheme, rest) = split_scheme(&uri).unwrap_or(("file", uri.as_str()));
        match scheme {
            "file" => Self::local(rest, &uri),
            _ if is_object_scheme(scheme) => Self::s3(scheme, rest, &uri, config),
            _ => Err(unknown_scheme(scheme, &uri)),
        }
    }

    /// Whether a URI names an object of a store, as [`Location::uri`] and listings write it.
    pub fn is_object_uri(uri: &str) -> bool {
        split_scheme(uri).is_some_and(|(scheme, rest)| is_object_scheme(scheme) && rest.starts_with("//"))
    }

    /// Whether a URI can name a place, without setting up its store.
    ///
    /// # Errors
    /// Those of [`Location::resolve`] that do not come from a store.
    pub fn check(uri: &str, config: &Configuration) -> Result<()> {
        let uri = with_default_scheme(uri.trim(), config)?;
        let (scheme, rest) = split_scheme(&uri).unwrap_or(("file", uri.as_str()));
        match scheme {
            "file" => Self::local(rest, &uri).map(drop),
            _ if is_object_scheme(scheme) => bucket_and_path(rest, &uri).map(drop),
            _ => Err(unknown_scheme(scheme, &uri)),
        }
    }

    fn local(rest: &str, uri: &str) -> Result<Self> {
        // `file:/x`, `file:///x` and `file://localhost/x` are one file.
        let path = match rest.strip_prefix("//") {
            Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
            None => rest,
        };
        if !path.starts_with('/') {
            return Err(Error::bad_path(uri, "expected an absolute path, or a URI such as file:///data/checkpoints"));
        }
        Ok(Self::local_path(Path::new(path)))
    }

    fn local_path(path: &Path) -> Self {
        // Without doubled and trailing slashes.
        let path: PathBuf = path.components().collect();
        let uri = format!("file:{}", path.display());
        Self { place: Place::Local(path), uri }
    }

    fn s3(scheme: &str, rest: &str, uri: &str, config: &Configuration) -> Result<Self> {
        let (bucket, path) = bucket_and_path(rest, uri)?;
        let uri = object_uri(&format!("{scheme}://{bucket}"), &path);
        let store = shared_store(bucket, config)?;
        Ok(Self { place: Place::Object { store, path, entropy: Entropy::of(config)? }, uri })
    }

    /// Its URI: `file:/data/x` or `s3://bucket/key`.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The file itself, if it is on this machine.
    pub fn as_local(&self) -> Option<&Path> {
        match &self.place {
            Place::Local(path) => Some(path),
            Place::Object { .. } => None,
        }
    }

    /// The store and the path in it, for what this type does not do.
    pub fn object_store(&self) -> Result<(Arc<dyn ObjectStore>, ObjectPath)> {
        match &self.place {
            Place::Local(path) => {
                let path = ObjectPath::from_absolute_path(path)
                    .map_err(|error| Error::bad_path(&self.uri, error.to_string()))?;
                Ok((Arc::new(LocalFileSystem::new()), path))
            }
            Place::Object { store, path, .. } => Ok((store.objects.clone(), path.clone())),
        }
    }

    /// What is at a path below this one.
    pub fn join(&self, below: &str) -> Self {
        let parts = below.split('/').filter(|part| !part.is_empty());
        match &self.place {
            Place::Local(path) => Self::local_path(&parts.fold(path.clone(), |path, part| path.join(part))),
            Place::Object { store, path, entropy } => {
                let uri = parts.clone().fold(self.uri.clone(), |uri, part| format!("{uri}/{part}"));
                let path = parts.fold(path.clone(), |path, part| path.join(part));
                Self { place: Place::Object { store: store.clone(), path, entropy: entropy.clone() }, uri }
            }
        }
    }

    /// What is at a path below this one, each part of which is the name as it stands in a URI and in a listing: `join` takes any
    /// text for a name, and writes those characters of it anew that some stores do not like.
    ///
    /// # Errors
    /// A part is no name.
    pub fn below(&self, below: &str) -> Result<Self> {
        let Place::Object { store, path, entropy } = &self.place else { return Ok(self.join(below)) };
        let (mut path, mut uri) = (path.clone(), self.uri.clone());
        for part in below.split('/').filter(|part| !part.is_empty()) {
            let name =
                PathPart::parse(part).map_err(|error| Error::bad_path(&format!("{uri}/{part}"), error.to_string()))?;
            path = path.parts().chain([name]).collect();
            uri = format!("{uri}/{part}");
        }
        Ok(Self { place: Place::Object { store: store.clone(), path, entropy: entropy.clone() }, uri })
    }

    /// The folder that this is in; none for a root.
    pub fn parent(&self) -> Option<Self> {
        match &self.place {
            Place::Local(path) => path.parent().map(Self::local_path),
            Place::Object { store, path, entropy } => {
                let parts: Vec<_> = path.parts().collect();
                let (_, folder) = parts.split_last()?;
                let path: ObjectPath = folder.iter().cloned().collect();
                let uri = self.uri.rsplit_once('/')?.0.to_owned();
                Some(Self { place: Place::Object { store: store.clone(), path, entropy: entropy.clone() }, uri })
            }
        }
    }

    /// The last part of its path; empty for a root.
    pub fn name(&self) -> &str {
        self.uri.rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// Has what a store's client logs of a request, of its retries above all, say what is done to which file.
    fn named<F: Future>(&self, operation: &str, request: F) -> tracing::instrument::Instrumented<F> {
        request.instrument(request_span(operation, &self.uri))
    }

    /// The whole file, of at most so many bytes.
    ///
    /// # Errors
    /// [`Error::Refused`]: it is longer. Then it is not read.
    pub async fn read_at_most(&self, limit: u64) -> Result<Bytes> {
        self.read_bounded(Bound::at_most(limit)).await
    }

    /// The whole file, of at most so many bytes, if a check lets it pass. The check is given so many bytes of its start, fewer
    /// of a shorter file, and its length. It comes before the limit, because it may know better what is wrong.
    ///
    /// # Errors
    /// [`Error::Refused`]: then no more of it is read.
    pub async fn read_checked(&self, limit: u64, start: usize, check: Check) -> Result<Bytes> {
        self.read_bounded(Bound { limit, start, check }).await
    }

    async fn read_bounded(&self, bound: Bound) -> Result<Bytes> {
        match &self.place {
            Place::Local(path) => {
                let read = local::run("read", &self.uri, path, move |path| bounded::read(path, bound)).await?;
                read.map_err(|refusal| Error::refused(&self.uri, refusal))
            }
            Place::Object { store, path, .. } => {
                self.named("read", object::read(&*store.objects, path, &self.uri, bound)).await
            }
        }
    }

    /// Some bytes of the file.
    ///
    /// # Errors
    /// Also if the file is shorter.
    pub async fn read_range(&self, range: Range<u64>) -> Result<Bytes> {
        match &self.place {
            Place::Local(path) => local::run("read", &self.uri, path, move |path| local::read_range(path, range)).await,
            Place::Object { store, path, .. } => {
                self.named("read", object::read_range(&*store.objects, path, &self.uri, range, None)).await
            }
        }
    }

    /// The file's size in bytes.
    pub async fn size(&self) -> Result<u64> {
        match &self.place {
            Place::Local(path) => local::run("look at", &self.uri, path, local::file_size).await,
            Place::Object { store, path, .. } => {
                self.named("look at", object::size(&*store.objects, path, &self.uri)).await
            }
        }
    }

    /// Writes the file, over what may be there, with the folders above it. It appears whole or not at all.
    pub async fn write(&self, bytes: Bytes) -> Result<()> {
        match &self.place {
            Place::Local(path) => {
                local::run_write(&self.uri, path, move |path, caller| local::write(path, &bytes, caller)).await
            }
            Place::Object { store, path, .. } => {
                self.named("write", object::write(&*store.objects, path, &self.uri, bytes)).await
            }
        }
    }

    /// Writes a file that is not there, as [`Location::write`] does. That it is there with these bytes is no error.
    ///
    /// # Errors
    /// [`Error::is_already_there`]: there is one with other content, which stays as it is.
    pub async fn write_new(&self, bytes: Bytes) -> Result<()> {
        match &self.place {
            Place::Local(path) => {
                let new = bytes.clone();
                let written =
                    local::run_write(&self.uri, path, move |path, caller| local::write_new(path, &new, caller));
                match written.await {
                    Err(error) if error.is_already_there() && self.has(&bytes).await => Ok(()),
                    other => other,
                }
            }
            Place::Object { store, path, .. } => {
                self.named("write", object::write_new(&*store.objects, path, &self.uri, bytes)).await
            }
        }
    }

    /// Whether the file is there and has these bytes.
    pub async fn has(&self, bytes: &Bytes) -> bool {
        self.read_at_most(bytes.len() as u64).await.is_ok_and(|found| found == *bytes)
    }

    /// Writes the file from a local one.
    pub async fn upload(&self, from: &Path) -> Result<Written> {
        match &self.place {
            Place::Local(path) => {
                let from = from.to_owned();
                local::run_write(&self.uri, path, move |path, caller| local::copy(&from, path, caller)).await
            }
            Place::Object { store, path, .. } => {
                self.named("write", object::upload(&store.objects, path, &self.uri, from)).await
            }
        }
    }

    /// Writes a local file from this one, of at most so many bytes; it need not outlive this process.
    ///
    /// # Errors
    /// Also [`Error::Refused`]: it is longer. Then nothing is written.
    pub async fn download(&self, to: &Path, limit: u64) -> Result<Written> {
        let bound = Bound::at_most(limit);
        match &self.place {
            Place::Local(path) => {
                let to = to.to_owned();
                let read = local::run("read", &self.uri, path, move |path| local::fetch(path, &to, bound)).await?;
                read.map_err(|refusal| Error::refused(&self.uri, refusal))
            }
            Place::Object { store, path, .. } => {
                self.named("read", object::download(&*store.objects, path, &self.uri, to, bound)).await
            }
        }
    }

    /// Makes the folder, where folders are something of their own.
    pub async fn create_folder(&self) -> Result<()> {
        match &self.place {
            Place::Local(path) => {
                local::run("create the folder", &self.uri, path, |path| std::fs::create_dir_all(path)).await
            }
            Place::Object { .. } => Ok(()),
        }
    }

    /// What is in this folder; nothing if there is no such folder.
    pub async fn children(&self) -> Result<Children> {
        let (files, folders) = match &self.place {
            Place::Local(path) => local::run("list", &self.uri, path, local::children).await?,
            Place::Object { store: Bucket { pages: Some(pages), .. }, path, .. } => {
                self.named("list", listing::children(&**pages, path, &self.uri)).await?
            }
            Place::Object { store, path, .. } => {
                self.named("list", object::children(&*store.objects, path, &self.uri)).await?
            }
        };
        Ok(Children { files, folders })
    }

    /// Uploads into this folder, or one below it, that were begun and neither completed nor aborted: their parts take
    /// up room. If the marker is in its path: those into any place that [`Location::with_entropy`] makes of it. None
    /// where there is no such thing.
    pub async fn unfinished_uploads(&self) -> Result<Vec<Unfinished>> {
        let Some(places) = self.random_places() else { return self.uploads_below().await };
        let mut uploads = places.above.uploads_below().await?;
        uploads.retain(|upload| places.contain(&upload.path));
        Ok(uploads)
    }

    async fn uploads_below(&self) -> Result<Vec<Unfinished>> {
        match &self.place {
            Place::Local(_) => Ok(Vec::new()),
            Place::Object { store, path, .. } => {
                self.named("list uploads into", store.uploads.list(path, &self.uri)).await
            }
        }
    }

    /// Aborts one of [`Location::unfinished_uploads`]; that it is not there is no error.
    pub async fn abort_upload(&self, upload: &Unfinished) -> Result<()> {
        match &self.place {
            Place::Local(_) => Ok(()),
            Place::Object { store, .. } => {
                self.named("abort an upload into", store.uploads.abort(upload, &self.uri)).await
            }
        }
    }

    /// Deletes the file; that it is not there is no error.
    pub async fn delete(&self) -> Result<()> {
        match &self.place {
            Place::Local(path) => local::run("delete", &self.uri, path, local::delete).await,
            Place::Object { store, path, .. } => {
                self.named("delete", object::delete(&*store.objects, path, &self.uri)).await
            }
        }
    }

    /// Proves that files can be written into a folder that is not there: makes it, writes a file and removes both. The folders
    /// above it stay; where it cannot be written nothing does. Nothing is done where folders are nothing of their own.
    pub async fn try_folder(&self) -> Result<()> {
        match &self.place {
            Place::Local(path) => local::run("write to the folder", &self.uri, path, local::try_folder).await,
            Place::Object { .. } => Ok(()),
        }
    }

    /// Removes the folder if it is empty, where folders are something of their own.
    pub async fn remove_empty_folder(&self) -> Result<()> {
        match &self.place {
            Place::Local(path) => local::run("remove", &self.uri, path, local::remove_empty_folder).await,
            Place::Object { .. } => Ok(()),
        }
    }
}

/// Scheme and rest; a path has no scheme.
fn split_scheme(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    (valid && rest.starts_with('/')).then_some((scheme, rest))
}

/// Whether what has this scheme is in a store.
fn is_object_scheme(scheme: &str) -> bool {
    matches!(scheme, "s3" | "s3a")
}

/// A URI without scheme below `fs.default-scheme`, if that is set and has one.
fn with_default_scheme(uri: &str, config: &Configuration) -> Result<String> {
    let default = match split_scheme(uri) {
        Some(_) => None,
        None => config.get_optional(&s3::DEFAULT_SCHEME)?.filter(|default| split_scheme(default).is_some()),
    };
    Ok(match default {
        Some(default) => format!("{}/{}", default.trim_end_matches('/'), uri.trim_start_matches('/')),
        None => uri.to_owned(),
    })
}

fn unknown_scheme(scheme: &str, uri: &str) -> Error {
    Error::UnknownScheme { scheme: scheme.to_owned(), uri: uri.to_owned() }
}

/// What follows `s3:`.
fn bucket_and_path<'a>(rest: &'a str, uri: &str) -> Result<(&'a str, ObjectPath)> {
    let rest = rest.strip_prefix("//").ok_or_else(|| Error::bad_path(uri, "expected s3://bucket/path"))?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(Error::bad_path(uri, "it names no bucket; expected s3://bucket/path"));
    }
    let parts: Vec<&str> = key.split('/').filter(|part| !part.is_empty()).collect();
    let path = ObjectPath::parse(parts.join("/")).map_err(|error| Error::bad_path(uri, error.to_string()))?;
    Ok((bucket, path))
}

fn object_uri(base: &str, path: &ObjectPath) -> String {
    if path.as_ref().is_empty() { base.to_owned() } else { format!("{base}/{path}") }
}

fn shared_store(bucket: &str, config: &Configuration) -> Result<Bucket> {
    if let Some(mounted) = MOUNTED.lock().get(bucket) {
        return Ok(mounted.clone());
    }
    let settings = config.iter().filter(|(key, _)| s3_store::is_relevant(key));
    let key = (bucket.to_owned(), settings.map(|(key, value)| (key.to_owned(), value.to_owned())).collect());
    if let Some(store) = STORES.lock().get(&key) {
        return Ok(store.clone());
    }
    let store = s3_store::build(bucket, config)?;
    let mut stores = STORES.lock();
    if stores.len() >= MAX_STORES {
        stores.clear();
    }
    Ok(stores.entry(key).or_insert(store).clone())
}
