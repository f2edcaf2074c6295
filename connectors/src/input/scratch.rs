//! Files of this machine that no other process sees and that are gone with the one that made them, however it ends.
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use wiesel_common::config::Configuration;
use wiesel_common::config::options::state::{TEMPORARY_DIRECTORIES, folders};
use wiesel_common::random;

/// Where they are: in the first folder of `io.tmp.dirs`.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    pub(crate) fn new(configuration: &Configuration) -> Self {
        let listed = configuration.get(&TEMPORARY_DIRECTORIES).unwrap_or_default();
        let folder = folders(&listed).into_iter().next().unwrap_or_else(std::env::temp_dir);
        Self { folder }
    }

    /// The folder, for messages.
    pub(crate) fn folder(&self) -> &PathBuf {
        &self.folder
    }

    /// The error of one, which says where it is.
    pub(crate) fn failed(&self, error: io::Error) -> io::Error {
        let why = format!("a temporary file cannot be kept in {} ('io.tmp.dirs'): {error}", self.folder.display());
        io::Error::new(error.kind(), why)
    }

    /// A new one, to be written and read.
    pub(crate) fn create(&self) -> io::Result<File> {
        let failed = |error| self.failed(error);
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let path = self.folder.join(format!(".wiesel-{}", random::uuid().simple()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).map_err(failed)?;
        // Open, it needs no name.
        fs::remove_file(&path).map_err(failed)?;
        Ok(file)
    }
}
