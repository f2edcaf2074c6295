//! Lists the files of a table on a thread of its own, page by page: what asks for them does not wait for all of them.
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use regex::Regex;
use wiesel_common::filesystem::Status;
use wiesel_common::{ending, spawn};
use wiesel_operators::operator::{Error, Result};

use super::path::{LIMITS, Root, list};
use super::split::FileVersion;
use super::store_listing;
use crate::input::Files;

/// Files of a page, at most: as many as a store lists at once.
const PAGE: usize = 1000;
/// A folder has its files in no order. So many come in that of their paths, so that rows which are in files by time are not late for
/// each other; a store lists by path anyway.
const IN_ORDER: usize = 100_000;
/// Pages that wait to be taken, at most: then the listing waits.
const PAGES_AHEAD: usize = 2;

/// What a listing tells of a file.
#[derive(Debug)]
pub(super) struct ListedFile {
    pub(super) path: String,
    /// Bytes.
    pub(super) length: u64,
    pub(super) version: Option<FileVersion>,
}

/// What comes next of a listing.
pub(super) enum Step {
    /// Files, in the order of their paths.
    Page(Vec<ListedFile>),
    /// Nothing for now.
    Wait,
    /// These were all files. Has the paths of some of what was found and is no file.
    End(Vec<PathBuf>),
}

/// A listing under way. Its thread ends with it, as soon as it has what it waits for.
pub(super) struct Listing {
    steps: Receiver<Result<Step>>,
    told_to_end: Arc<AtomicBool>,
    root: String,
}

impl Listing {
    /// Begins to list.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn begin(root: Root, files: Files, pattern: Option<Regex>) -> Result<Self> {
        let (sender, steps) = sync_channel(PAGES_AHEAD);
        let told_to_end = Arc::new(AtomicBool::new(false));
        let (told, name) = (told_to_end.clone(), root.to_string());
        // What it logs names the job.
        let span = tracing::Span::current();
        let work = move || {
            let _told = ending::register(told);
            let mut pages = Pages { sender: &sender, files: Vec::new() };
            let listed = span.in_scope(|| list_all(&root, &files, pattern.as_ref(), &mut pages));
            // Nobody may be there to take it any more.
            _ = sender.send(listed.map(Step::End));
        };
        // It ends by itself: it is told to, and has nobody to hand its pages to. What it waits for then, a file system that does not
        // answer, cannot be ended, and so its end is not waited for.
        let thread = spawn::thread("list-files", work);
        drop(thread.map_err(|error| Error::external(format!("cannot list {name}: no thread for it: {error}"), error))?);
        Ok(Self { steps, told_to_end, root: name })
    }

    /// What comes next, waited for so long.
    pub(super) fn next(&self, patience: Duration) -> Result<Step> {
        match self.steps.recv_timeout(patience) {
            Ok(step) => step,
            Err(RecvTimeoutError::Timeout) => Ok(Step::Wait),
            Err(RecvTimeoutError::Disconnected) => {
                let message = format!("the listing of {} came to no end: its thread has failed", self.root);
                Err(Error::External { message, source: None })
            }
        }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.told_to_end.store(true, Ordering::Relaxed);
    }
}

fn list_all(root: &Root, files: &Files, pattern: Option<&Regex>, pages: &mut Pages<'_>) -> Result<Vec<PathBuf>> {
    let others = match root {
        Root::Local(path) => list(path, pattern, LIMITS, &mut |path, status| pages.add(path, &status))?,
        Root::Store(uri) => {
            store_listing::list(files, uri, pattern, LIMITS, pages)?;
            Vec::new()
        }
    };
    pages.hand_over()?;
    Ok(others)
}

/// What a listing finds, before it is handed over.
pub(super) struct Pages<'a> {
    sender: &'a SyncSender<Result<Step>>,
    files: Vec<ListedFile>,
}

impl Pages<'_> {
    pub(super) fn add(&mut self, path: &str, status: &Status) -> Result<()> {
        let version = FileVersion::listed(path, status);
        self.files.push(ListedFile { path: path.to_owned(), length: status.size, version });
        if self.files.len() >= IN_ORDER { self.hand_over() } else { Ok(()) }
    }

    /// Hands over what there is, and waits while enough waits to be taken.
    pub(super) fn hand_over(&mut self) -> Result<()> {
        let mut files = std::mem::take(&mut self.files);
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        let mut files = files.into_iter().peekable();
        while files.peek().is_some() {
            let page = files.by_ref().take(PAGE).collect();
            self.sender.send(Ok(Step::Page(page))).map_err(|_| Error::Cancelled)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn listing(folder: &Path) -> Listing {
        Listing::begin(Root::Local(folder.to_owned()), Files::default(), None).unwrap()
    }

    #[test]
    fn files_come_in_pages_and_all_of_them_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let files = 2 * PAGE + 10;
        (0..files).for_each(|number| fs::write(folder.path().join(format!("{number:05}")), "x").unwrap());
        let listing = listing(folder.path());
        let (mut paths, mut pages) = (Vec::new(), Vec::new());
        loop {
            match listing.next(LONG).unwrap() {
                Step::Page(page) => {
                    assert!(page.iter().all(|file| file.length == 1 && file.version.is_some()));
                    pages.push(page.len());
                    paths.extend(page.into_iter().map(|file| file.path));
                }
                Step::Wait => panic!("a minute for a page"),
                Step::End(others) => {
                    assert!(others.is_empty());
                    break;
                }
            }
        }
        assert_eq!(pages, [PAGE, PAGE, 10]);
        assert!(paths.is_sorted_by(|one, other| one < other));
        assert_eq!(paths.len(), files);
    }

    /// Nothing is held of a table with millions of files but some pages, and nothing goes on when nobody wants it.
    #[test]
    fn a_listing_waits_until_its_pages_are_taken_and_ends_when_nobody_takes_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::Local(folder.path().to_owned());
        (0..PAGE * (PAGES_AHEAD + 2)).for_each(|number| fs::write(folder.path().join(number.to_string()), "").unwrap());
        let (sender, steps) = sync_channel(PAGES_AHEAD);
        let thread = spawn::thread("list-files", move || {
            let mut pages = Pages { sender: &sender, files: Vec::new() };
            list_all(&root, &Files::default(), None, &mut pages)
        });
        let first = steps.recv_timeout(LONG).unwrap();
        assert!(matches!(first, Ok(Step::Page(page)) if page.len() == PAGE));
        drop(steps);
        assert!(matches!(thread.unwrap().join().unwrap(), Err(Error::Cancelled)));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let listing = listing(Path::new("/nowhere/t"));
        let error = listing.next(LONG).err().unwrap().to_string();
        assert!(error.starts_with("File /nowhere/t does not exist"), "{error}");
    }
}
