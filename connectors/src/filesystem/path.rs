//! Paths of tables, and the partition columns in them.
use std::fmt::{self, Display};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use regex::Regex;
use wiesel_common::config::Configuration;
use wiesel_common::ending;
use wiesel_common::filesystem::{Location, Status, check_place, check_regular};
use wiesel_common::quote::{MAX_REASON, bounded, quote};
use wiesel_operators::operator::{Error, Result};

use crate::options::{self, invalid};

/// Where the files of a table are.
#[derive(Clone, Debug)]
pub(super) enum Root {
    /// A folder or a file of this machine.
    Local(PathBuf),
    /// The URI of an object or of what is below one in a store.
    Store(String),
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Store(uri) => uri.fmt(f),
        }
    }
}

/// The place of a `path` option.
pub(super) fn root(text: &str) -> options::Result<Root> {
    let path = match text.split_once("://") {
        Some(("file", path)) => path,
        Some(("s3" | "s3a", _)) => {
            return match Location::check(text, &Configuration::default()) {
                Ok(()) => Ok(Root::Store(text.trim_end().trim_end_matches('/').to_owned())),
                Err(error) => invalid(bounded(&error.to_string(), MAX_REASON)),
            };
        }
        Some((scheme, _)) => {
            return invalid(format!(
                "Could not find a file system implementation for scheme '{}' of path '{}'. Files of this machine (file://) and \
                 of stores (s3://, s3a://) can be read and written.",
                quote(scheme),
                quote(text)
            ));
        }
        None => text.strip_prefix("file:").unwrap_or(text),
    };
    if path.is_empty() {
        // It would be the folder that the process was started in.
        return invalid("Can not create a Path from an empty string: option 'path' names no file or folder.");
    }
    Ok(Root::Local(PathBuf::from(path)))
}

/// How far a listing goes. Links are followed as in Flink, so that a folder to which two lead is there twice: a few dozen
/// folders of two links each have more paths than any process can look at.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Folders within each other.
    pub(super) depth: usize,
    /// Names that are looked at, those that are left out too.
    pub(super) names: usize,
    /// Bytes of the paths of folders that are still to be listed, with what else is kept of each.
    pub(super) bytes: usize,
}

pub(super) const LIMITS: Limits = Limits { depth: 100, names: 10_000_000, bytes: 128 << 20 };

/// So many paths that are not read are told of, at most.
pub(super) const MOST_LEFT_OUT: usize = 100;

/// Looks for files below a path, or for the one that it names, and hands over each with what it is, in no order; names that
/// begin with `_` or `.` are left out. Gives what is no file, or in a folder of the system. It ends when the thread is told to.
pub(super) fn list(
    root: &Path,
    pattern: Option<&Regex>,
    limits: Limits,
    found: &mut dyn FnMut(&str, Status) -> Result<()>,
) -> Result<Vec<PathBuf>> {
    let metadata = fs::metadata(root).map_err(|error| unreadable(root, error))?;
    if !metadata.is_dir() {
        check_regular(&metadata).map_err(|error| unreadable(root, error))?;
    }
    check_place(root).map_err(|error| unreadable(root, error))?;
    let mut walk = Walk { root, pattern, limits, names: 0, bytes: 0, folders: Vec::new(), found, others: Vec::new() };
    if metadata.is_dir() {
        walk.bytes = kept(root);
        walk.folders.push((root.to_owned(), 1));
        while let Some((folder, depth)) = walk.folders.pop() {
            walk.bytes -= kept(&folder);
            walk.list_folder(&folder, depth)?;
        }
    } else {
        walk.file(root, &metadata)?;
    }
    Ok(walk.others)
}

/// The bytes of a folder that is still to be listed.
fn kept(folder: &Path) -> usize {
    size_of::<(PathBuf, usize)>() + folder.as_os_str().len()
}

/// A listing on its way. One folder is open at a time.
struct Walk<'a> {
    root: &'a Path,
    pattern: Option<&'a Regex>,
    limits: Limits,
    names: usize,
    /// Of `folders`.
    bytes: usize,
    /// What is still to be listed, each with how many folders it is below the root, itself included.
    folders: Vec<(PathBuf, usize)>,
    found: &'a mut dyn FnMut(&str, Status) -> Result<()>,
    others: Vec<PathBuf>,
}

impl Walk<'_> {
    fn list_folder(&mut self, folder: &Path, depth: usize) -> Result<()> {
        let entries = match fs::read_dir(folder) {
            // As a file that went away; the root must be there.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && depth > 1 => return Ok(()),
            entries => entries.map_err(|error| unreadable(folder, error))?,
        };
        for entry in entries {
            ending::check()?;
            self.name()?;
            let entry = entry.map_err(|error| unreadable(folder, error))?;
            let name = entry.file_name();
            if name.as_encoded_bytes().first().is_some_and(|byte| matches!(byte, b'_' | b'.')) {
                continue;
            }
            let path = entry.path();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            match fs::metadata(&path) {
                Ok(metadata) if (is_link || metadata.is_dir()) && check_place(&path).is_err() => self.other(path),
                Ok(metadata) if metadata.is_dir() => self.folder(path, depth + 1)?,
                Ok(metadata) if metadata.is_file() => self.file(&path, &metadata)?,
                Ok(_) => self.other(path),
                // A file that went away between listing and looking was not there.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(&path, error)),
            }
        }
        Ok(())
    }

    fn folder(&mut self, path: PathBuf, depth: usize) -> Result<()> {
        if depth > self.limits.depth {
            let what = format!("more than {} folders within each other, such as {}", self.limits.depth, path.display());
            return Err(self.too_large(&what));
        }
        self.bytes += kept(&path);
        if self.bytes > self.limits.bytes {
            return Err(self.too_large(&format!("folders whose paths have more than {} bytes", self.limits.bytes)));
        }
        self.folders.push((path, depth));
        Ok(())
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) -> Result<()> {
        let text = utf8(path)?;
        if self.pattern.is_none_or(|pattern| pattern.is_match(text)) {
            (self.found)(text, Status::of(metadata))?;
        }
        Ok(())
    }

    fn other(&mut self, path: PathBuf) {
        let matches = |pattern: &Regex| path.to_str().is_some_and(|path| pattern.is_match(path));
        if self.others.len() < MOST_LEFT_OUT && self.pattern.is_none_or(matches) {
            self.others.push(path);
        }
    }

    /// Counts a name that is looked at.
    fn name(&mut self) -> Result<()> {
        self.names += 1;
        if self.names > self.limits.names {
            return Err(self.too_large(&format!("more than {} names", self.limits.names)));
        }
        Ok(())
    }

    fn too_large(&self, what: &str) -> Error {
        too_large(&self.root.display(), what)
    }
}

pub(super) fn too_large(root: &dyn Display, what: &str) -> Error {
    let who = wiesel_common::process::role();
    Error::Plan(format!(
        "{root} has {what}: {who} lists no more for one table. Links are followed, and a folder is listed once for each path \
         that leads to it: look for links that multiply it, or name a folder with fewer files."
    ))
}

fn utf8(path: &Path) -> Result<&str> {
    match path.to_str() {
        Some(path) => Ok(path),
        None => Err(Error::Plan(format!("the name of file {} is no UTF-8", path.display()))),
    }
}

pub(super) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let is_stored = path.to_str().is_some_and(Location::is_object_uri);
    // A relative path is another file for each process, and the client's folder has no part in it.
    let absolute = std::path::absolute(path).ok().filter(|_| !is_stored).unwrap_or_else(|| path.to_owned());
    let (file, who) = (absolute.display(), wiesel_common::process::role());
    let mut message = if error.kind() == std::io::ErrorKind::NotFound {
        format!(
            "File {file} does not exist or the user running Flink has insufficient permissions to access it: {who} looked \
             for it."
        )
    } else {
        format!("{who} cannot read {file}: {error}")
    };
    if path.is_relative() && !is_stored {
        message.push_str(" The path is relative to the folder that this process was started in: name it in full.");
    }
    Error::external(message, error)
}

/// The value of a partition column in a path: the text after `key=` in one of its folders.
pub(super) fn partition_value<'a>(path: &'a str, key: &str) -> Option<&'a str> {
    let folders = path.rsplit_once('/')?.0;
    folders.rsplit('/').find_map(|folder| folder.strip_prefix(key)?.strip_prefix('='))
}

/// A partition value as part of a path: characters that a folder's name cannot hold become `%XX`.
pub(super) fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        let special = matches!(
            character,
            '\u{1}'
                ..='\u{1f}'
                    | '"'
                    | '#'
                    | '%'
                    | '\''
                    | '*'
                    | '/'
                    | ':'
                    | '='
                    | '?'
                    | '\\'
                    | '\u{7f}'
                    | '{'
                    | '}'
                    | '['
                    | ']'
                    | '^'
        );
        if special {
            out.push_str(&format!("%{:02X}", u32::from(character)));
        } else {
            out.push(character);
        }
    }
    out
}

/// The reverse of [`escape`].
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let code = tail
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) if *byte == b'%' => {
                bytes.push(code);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// Folders of which each has two links to the next, and the last one a file: so many, with a power of two of paths.
    fn multiplied(folders: usize) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let at = |number: usize| folder.path().join(format!("d{number}"));
        for number in 0..folders {
            fs::create_dir(at(number)).unwrap();
            if number > 0 {
                symlink(at(number), at(number - 1).join("a")).unwrap();
                symlink(at(number), at(number - 1).join("b")).unwrap();
            }
        }
        fs::write(at(folders - 1).join("f"), "1").unwrap();
        let root = at(0);
        (folder, root)
    }

    /// The paths that are found, in order.
    fn files(root: &Path, pattern: Option<&Regex>, limits: Limits) -> Result<Vec<String>> {
        let mut files = Vec::new();
        let others = list(root, pattern, limits, &mut |path, status| {
            assert_eq!(status.size, 1);
            files.push(path.to_owned());
            Ok(())
        })?;
        assert!(others.is_empty(), "{others:?}");
        files.sort_unstable();
        Ok(files)
    }

    /// As in Flink: what two paths lead to is there twice.
    #[test]
    fn links_are_followed_on_each_path() {
        let (_folder, root) = multiplied(4);
        let found = files(&root, None, LIMITS).unwrap();
        let paths: Vec<&str> = found.iter().map(|path| path.rsplit_once("d0/").unwrap().1).collect();
        assert_eq!(paths, ["a/a/a/f", "a/a/b/f", "a/b/a/f", "a/b/b/f", "b/a/a/f", "b/a/b/f", "b/b/a/f", "b/b/b/f"]);
        let pattern = Regex::new("^.*/b/f$").unwrap();
        assert_eq!(files(&root, Some(&pattern), LIMITS).unwrap().len(), 4);
    }

    /// Failed before: nothing was counted, and what has 2^31 paths was listed for hours.
    #[test]
    fn a_listing_has_limits() {
        let (_folder, root) = multiplied(32);
        let limits = [
            (Limits { names: 500, ..LIMITS }, "more than 500 names"),
            (Limits { depth: 31, ..LIMITS }, "more than 31 folders within each other"),
            (Limits { bytes: 1000, ..LIMITS }, "folders whose paths have more than 1000 bytes"),
        ];
        for (limits, what) in limits {
            let refused = files(&root, None, limits).err().unwrap().to_string();
            assert!(refused.contains(what) && refused.contains(root.to_str().unwrap()), "{refused}");
        }
        // What is at the limits is listed.
        let (_folder, root) = multiplied(4);
        assert_eq!(files(&root, None, Limits { names: 22, depth: 4, ..LIMITS }).unwrap().len(), 8);
        assert!(files(&root, None, Limits { names: 21, ..LIMITS }).is_err());
        assert!(files(&root, None, Limits { depth: 3, ..LIMITS }).is_err());
    }

    /// Failed before: it went on when its job had been cancelled.
    #[test]
    fn a_listing_ends_with_its_job() {
        let (_folder, root) = multiplied(2);
        let told = wiesel_common::ending::register(Arc::new(AtomicBool::new(true)));
        assert!(matches!(files(&root, None, LIMITS), Err(Error::Cancelled)));
        drop(told);
        assert_eq!(files(&root, None, LIMITS).unwrap().len(), 2);
    }
}
