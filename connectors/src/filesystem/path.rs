//! Paths of tables, and the partition columns in them.
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use wiesel_common::filesystem::{check_place, check_regular};
use wiesel_operators::operator::{Error, Result};

use crate::options::{self, invalid};

/// The folder or file of a `path` option.
pub(super) fn local(text: &str) -> options::Result<PathBuf> {
    let path = match text.split_once("://") {
        Some(("file", path)) => path,
        Some((scheme, _)) => {
            return invalid(format!(
                "Could not find a file system implementation for scheme '{scheme}' of path '{text}'. Only local files \
                 (file://) can be read and written."
            ));
        }
        None => text.strip_prefix("file:").unwrap_or(text),
    };
    if path.is_empty() {
        // It would be the folder that the process was started in.
        return invalid("Can not create a Path from an empty string: option 'path' names no file or folder.");
    }
    Ok(PathBuf::from(path))
}

/// What is below a path. Names that begin with `_` or `.` are left out.
#[derive(Default)]
pub(super) struct Listing {
    /// The files in order, with their lengths.
    pub(super) files: Vec<(String, u64)>,
    /// What is no file, or in a folder of the system.
    pub(super) others: Vec<PathBuf>,
}

/// Looks for files below a path, or for the one that it names.
pub(super) fn list(root: &Path, pattern: Option<&Regex>) -> Result<Listing> {
    let metadata = fs::metadata(root).map_err(|error| unreadable(root, error))?;
    let mut found = Listing::default();
    if !metadata.is_dir() {
        check_regular(&metadata).map_err(|error| unreadable(root, error))?;
    }
    check_place(root).map_err(|error| unreadable(root, error))?;
    if metadata.is_dir() {
        list_folder(root, &mut found)?;
    } else {
        found.files.push((utf8(root)?, metadata.len()));
    }
    if let Some(pattern) = pattern {
        found.files.retain(|(path, _)| pattern.is_match(path));
        found.others.retain(|path| path.to_str().is_some_and(|path| pattern.is_match(path)));
    }
    found.files.sort_unstable();
    Ok(found)
}

fn list_folder(folder: &Path, found: &mut Listing) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        let name = entry.file_name();
        if name.as_encoded_bytes().first().is_some_and(|byte| matches!(byte, b'_' | b'.')) {
            continue;
        }
        let path = entry.path();
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        match fs::metadata(&path) {
            Ok(metadata) if (is_link || metadata.is_dir()) && check_place(&path).is_err() => found.others.push(path),
            Ok(metadata) if metadata.is_dir() => list_folder(&path, found)?,
            Ok(metadata) if metadata.is_file() => found.files.push((utf8(&path)?, metadata.len())),
            Ok(_) => found.others.push(path),
            // A file that went away between listing and looking was not there.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, error)),
        }
    }
    Ok(())
}

fn utf8(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(path) => Ok(path.to_owned()),
        None => Err(Error::Plan(format!("the name of file {} is no UTF-8", path.display()))),
    }
}

pub(super) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    // A relative path is another file for each process, and the client's folder has no part in it.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (file, who) = (absolute.display(), wiesel_common::process::role());
    let mut message = if error.kind() == std::io::ErrorKind::NotFound {
        format!(
            "File {file} does not exist or the user running Flink has insufficient permissions to access it: {who} looked \
             for it."
        )
    } else {
        format!("{who} cannot read {file}: {error}")
    };
    if path.is_relative() {
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
