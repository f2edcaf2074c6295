//! The script of an application: a file of the installation's `usrlib`, beside its folder of programs.
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use wiesel_common::input::{Bound, read_file};
use wiesel_common::quote::{quote, quote_bytes};
use wiesel_common::text::without_byte_order_mark;

/// The variable that names the folder of programs; the scripts set it.
const LIB_DIR_VARIABLE: &str = "FLINK_LIB_DIR";
/// The folder beside it.
const USER_LIB: &str = "usrlib";
/// What a script may have: its user is the one of this process.
const MAX_SCRIPT: Bound = Bound { bytes: 16 << 20, advice: "split it, or read rows that it contains from a file" };
/// How many names a message lists.
const MAX_NAMES: usize = 5;

/// A script that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The name of its file.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// Why there is no script to run.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The folder cannot be listed, or there is none.
    #[error(
        "The folder {folder} cannot be read: {source}. Make it and put the SQL script (*.sql) of the application into it, or name the \
         script with --job."
    )]
    Folder {
        /// Where it was looked for.
        folder: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder has none.
    #[error(
        "There is no SQL script (*.sql) in {folder}{beside}. Put that of the application there, or name it with --job."
    )]
    None {
        /// Where it was looked for.
        folder: String,
        /// What is there instead.
        beside: String,
    },
    /// The folder has several.
    #[error(
        "There are {count} SQL scripts in {folder} ({names}). Name the one to run with --job, or leave only that there."
    )]
    Several {
        /// Where it was looked for.
        folder: String,
        /// How many.
        count: usize,
        /// The first of them.
        names: String,
    },
    /// It was found, or named, and is none.
    #[error("The script {path} cannot be run: {reason}")]
    Script {
        /// Its file.
        path: String,
        /// Why.
        reason: String,
    },
}

/// Where the scripts of applications are: as in Flink beside the folder that `FLINK_LIB_DIR` names, or in the folder that this
/// process was started in.
pub fn user_lib_dir() -> PathBuf {
    let lib = std::env::var_os(LIB_DIR_VARIABLE).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let home = lib.as_deref().and_then(Path::parent).map(Path::to_owned);
    home.unwrap_or_default().join(USER_LIB)
}

impl Artifact {
    /// Reads the script that was named, in the folder unless the name is a whole path, or else the only one of the folder.
    ///
    /// # Errors
    /// There is none, there are several, or it is no text.
    pub fn load(folder: &Path, named: Option<&Path>) -> Result<Self, ArtifactError> {
        let path = match named {
            Some(named) => folder.join(named),
            None => only_script(folder)?,
        };
        let name = shown_name(path.file_name().unwrap_or_default());
        match text_of(&path) {
            Ok(text) => Ok(Self { name, text }),
            Err(reason) => Err(ArtifactError::Script { path: shown(&path), reason }),
        }
    }
}

fn shown(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    quote(&absolute.to_string_lossy()).into_owned()
}

fn shown_name(name: &OsStr) -> String {
    quote_bytes(name.as_encoded_bytes()).into_owned()
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// The only script of a folder.
fn only_script(folder: &Path) -> Result<PathBuf, ArtifactError> {
    let unreadable = |source| ArtifactError::Folder { folder: shown(folder), source };
    let (mut scripts, mut others) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if has_extension(&path, "sql") { scripts.push(path) } else { others.push(path) }
    }
    let folder = shown(folder);
    match &scripts[..] {
        [] => Err(ArtifactError::None { folder, beside: beside(&others) }),
        [_] => Ok(scripts.remove(0)),
        _ => Err(ArtifactError::Several { folder, count: scripts.len(), names: names(scripts) }),
    }
}

/// What a folder without a script holds, in words that follow its name.
fn beside(others: &[PathBuf]) -> String {
    let jars: Vec<PathBuf> = others.iter().filter(|path| has_extension(path, "jar")).cloned().collect();
    if !jars.is_empty() {
        return format!(", which holds {}: this cluster has no JVM for jars", names(jars));
    }
    let programs: Vec<PathBuf> = others.iter().filter(|path| has_extension(path, "py")).cloned().collect();
    match programs.is_empty() {
        true => String::new(),
        false => format!(", which holds {}: this cluster runs no Python", names(programs)),
    }
}

/// The names of files, in their order, the first few of many.
fn names(mut paths: Vec<PathBuf>) -> String {
    paths.sort();
    let mut listed: Vec<String> =
        paths.iter().take(MAX_NAMES).map(|path| shown_name(path.file_name().unwrap_or_default())).collect();
    if paths.len() > MAX_NAMES {
        listed.push(format!("{} more", paths.len() - MAX_NAMES));
    }
    listed.join(", ")
}

/// The text of a script, or why it is none.
fn text_of(path: &Path) -> Result<String, String> {
    if has_extension(path, "jar") {
        return Err("this cluster has no JVM for jars: it runs SQL scripts (*.sql)".to_owned());
    }
    if has_extension(path, "py") {
        return Err("this cluster runs no Python: it runs SQL scripts (*.sql)".to_owned());
    }
    let bytes = read_file(path, &MAX_SCRIPT).map_err(|error| error.to_string())?;
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(without_byte_order_mark(&text).to_owned()),
        _ => Err("it is not text in UTF-8".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    fn refused(folder: &Path, named: Option<&str>) -> String {
        Artifact::load(folder, named.map(Path::new)).unwrap_err().to_string()
    }

    #[test]
    fn the_only_script_is_run_or_the_one_that_is_named() {
        let files = folder(&[("a.sql", "\u{feff}SELECT 1;".as_bytes()), ("notes.txt", b"-")]);
        let only = Artifact::load(files.path(), None).unwrap();
        assert_eq!((only.name.as_str(), only.text.as_str()), ("a.sql", "SELECT 1;"));
        std::fs::write(files.path().join("B.SQL"), "SELECT 2;").unwrap();
        assert_eq!(Artifact::load(files.path(), Some(Path::new("B.SQL"))).unwrap().text, "SELECT 2;");
        let elsewhere = folder(&[("c.sql", b"SELECT 3;")]);
        let whole_path = elsewhere.path().join("c.sql");
        assert_eq!(Artifact::load(files.path(), Some(&whole_path)).unwrap().text, "SELECT 3;");
    }

    #[test]
    fn none_or_several_scripts_are_refused_with_what_to_do() {
        let none = folder(&[]);
        let said = refused(none.path(), None);
        assert!(said.starts_with("There is no SQL script (*.sql) in /") && said.contains("with --job"), "{said}");
        let said = refused(&none.path().join("usrlib"), None);
        assert!(said.contains("usrlib cannot be read: ") && said.contains("Make it and put"), "{said}");
        let said = refused(folder(&[("x.jar", b"PK")]).path(), None);
        assert!(said.contains(", which holds x.jar: this cluster has no JVM for jars. Put"), "{said}");
        let said = refused(folder(&[("x.py", b"")]).path(), None);
        assert!(said.contains("runs no Python"), "{said}");
        let two = folder(&[("b.sql", b""), ("a.sql", b""), ("x.jar", b"")]);
        let said = refused(two.path(), None);
        assert!(said.contains("There are 2 SQL scripts in /") && said.contains("(a.sql, b.sql). Name"), "{said}");
        let many: Vec<String> = (0..9).map(|n| format!("{n}.sql")).collect();
        let files: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &b""[..])).collect();
        let said = refused(folder(&files).path(), None);
        assert!(said.contains("There are 9") && said.contains("(0.sql, 1.sql, 2.sql, 3.sql, 4.sql, 4 more)"), "{said}");
    }

    #[test]
    fn what_is_no_script_is_refused_with_the_reason() {
        let files = folder(&[("x.jar", b"PK\x03\x04"), ("y.sql", b"\xff\xfe"), ("z.sql", b"a\0b")]);
        for (name, words) in [
            ("x.jar", "no JVM for jars"),
            ("y.sql", "not text in UTF-8"),
            ("z.sql", "not text in UTF-8"),
            ("no.sql", "No such file"),
        ] {
            let said = refused(files.path(), Some(name));
            assert!(said.contains(name) && said.contains(words), "{said}");
        }
        let long = refused(Path::new("/dev"), Some("zero"));
        assert!(long.contains("The script /dev/zero cannot be run: it is a device"), "{long}");
    }
}
