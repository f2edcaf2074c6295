//! Listings, which a store gives page by page: each page says which one comes next, and a store may say so for ever.
use std::collections::{BTreeSet, HashSet};

use futures::TryStreamExt;
use object_store::ObjectMeta;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::{DELIMITER, Path as ObjectPath};
use tracing::Instrument;

use super::{Bucket, Error, Location, Place, Result, Status};
use crate::logging::request_span;

/// Pages of one listing, of usually a thousand names each.
const MAX_PAGES: usize = 10_000;
/// Bytes of what is kept of one listing: some two million names of files of checkpoints.
const MAX_KEPT: usize = 256 << 20;
/// What each name takes beside its characters, about.
const OVERHEAD: usize = 64;

/// Why a listing is given up.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unending {
    /// It would begin again.
    #[error("the listing of the store never ends: a page leads back to one that was read")]
    Circular,
    /// It has too many pages, and may have no end.
    #[error("the listing of the store has more than {} pages; is so much below one folder?", MAX_PAGES)]
    Pages,
    /// Its names take too much memory, and it may have no end.
    #[error("the listing of the store has more than {} MiB of names; is so much in one folder?", MAX_KEPT >> 20)]
    Names,
}

/// How far a listing has come.
#[derive(Default)]
pub(super) struct Progress {
    /// What led to each page but the first.
    markers: HashSet<String>,
    kept: usize,
}

impl Progress {
    /// Counts a name that is kept.
    pub(super) fn keep(&mut self, name: &str) -> Result<(), Unending> {
        self.kept += name.len() + OVERHEAD;
        if self.kept > MAX_KEPT { Err(Unending::Names) } else { Ok(()) }
    }

    /// Goes on to the page that a marker leads to.
    pub(super) fn turn(&mut self, marker: &str) -> Result<(), Unending> {
        if self.markers.len() + 1 >= MAX_PAGES {
            return Err(Unending::Pages);
        }
        self.keep(marker)?;
        if self.markers.insert(marker.to_owned()) { Ok(()) } else { Err(Unending::Circular) }
    }
}

/// Files and folders in a folder, not those below them.
pub(super) async fn children(
    store: &dyn PaginatedListStore,
    folder: &ObjectPath,
    uri: &str,
) -> Result<(Vec<String>, Vec<String>)> {
    let prefix = (!folder.as_ref().is_empty()).then(|| format!("{folder}{DELIMITER}"));
    let unending = |error| Error::unending("list", uri, &error);
    let (mut files, mut folders) = (Vec::new(), BTreeSet::new());
    let (mut progress, mut page_token) = (Progress::default(), None);
    loop {
        let options = PaginatedListOptions { delimiter: Some(DELIMITER.into()), page_token, ..Default::default() };
        let page = store.list_paginated(prefix.as_deref(), options).await;
        let page = page.map_err(|error| Error::object("list", uri, &error))?;
        for object in &page.result.objects {
            let name = object.location.filename().unwrap_or_default();
            progress.keep(name).map_err(unending)?;
            files.push(name.to_owned());
        }
        for folder in &page.result.common_prefixes {
            let name = folder.filename().unwrap_or_default();
            progress.keep(name).map_err(unending)?;
            folders.insert(name.to_owned());
        }
        let Some(next) = page.page_token.filter(|token| !token.is_empty()) else {
            return Ok((files, folders.into_iter().collect()));
        };
        progress.turn(&next).map_err(unending)?;
        page_token = Some(next);
    }
}

/// A file that a listing has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its URI, which [`Location::of_uri`] takes.
    pub uri: String,
    /// What the listing tells of it. Its time may be more exact than that of [`Location::status`].
    pub status: Status,
}

/// The files of a store below a folder and the folders in it, page by page, in no order. Nothing is kept of a page.
pub struct FilesBelow {
    store: Bucket,
    folder: ObjectPath,
    /// Of the bucket.
    base: String,
    uri: String,
    progress: Progress,
    page_token: Option<String>,
    is_marked: bool,
    is_over: bool,
}

impl Location {
    /// The files below this folder; none where folders are something of their own.
    pub fn files_below(&self) -> Option<FilesBelow> {
        let Place::Object { store, path, .. } = &self.place else { return None };
        let base = self.uri.strip_suffix(path.as_ref()).unwrap_or(&self.uri);
        Some(FilesBelow {
            store: store.clone(),
            folder: path.clone(),
            base: base.trim_end_matches('/').to_owned(),
            uri: self.uri.clone(),
            progress: Progress::default(),
            page_token: None,
            is_marked: false,
            is_over: false,
        })
    }
}

impl FilesBelow {
    /// The next ones, maybe none; `None`: these were all.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Found>>> {
        if self.is_over {
            return Ok(None);
        }
        let prefix = (!self.folder.as_ref().is_empty()).then(|| format!("{}{DELIMITER}", self.folder));
        let failed = |error| Error::object("list", &self.uri, &error);
        let (objects, next) = match &self.store.pages {
            Some(pages) => {
                let options = PaginatedListOptions { page_token: self.page_token.take(), ..Default::default() };
                let request = pages.list_paginated(prefix.as_deref(), options);
                let page = request.instrument(request_span("list", &self.uri)).await.map_err(failed)?;
                (page.result.objects, page.page_token.filter(|token| !token.is_empty()))
            }
            None => (self.store.objects.list(Some(&self.folder)).try_collect().await.map_err(failed)?, None),
        };
        match &next {
            Some(token) => self.progress.turn(token).map_err(|error| Error::unending("list", &self.uri, &error))?,
            None => self.is_over = true,
        }
        self.page_token = next;
        // The mark of the folder itself has its path.
        let (marks, files): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| object.location == self.folder);
        self.is_marked |= !marks.is_empty();
        let found = |object: ObjectMeta| Found {
            uri: format!("{}/{}", self.base, object.location),
            status: Status::of_object(object),
        };
        Ok(Some(files.into_iter().map(found).collect()))
    }

    /// Whether what was listed has a mark of the folder itself, which some tools make: then there is such a folder, though nothing
    /// may be in it.
    pub fn is_marked(&self) -> bool {
        self.is_marked
    }
}

#[cfg(test)]
mod tests {
    use object_store::list::PaginatedListResult;
    use object_store::{ListResult, Result as StoreResult};

    use super::*;

    /// Gives the page of a number, which is the marker that leads to it, and the marker of the next one.
    struct Pages<F>(F);

    #[tonic::async_trait]
    impl<F: Fn(usize) -> (ListResult, Option<String>) + Send + Sync + 'static> PaginatedListStore for Pages<F> {
        async fn list_paginated(
            &self,
            prefix: Option<&str>,
            options: PaginatedListOptions,
        ) -> StoreResult<PaginatedListResult> {
            assert_eq!((prefix, options.delimiter.as_deref()), (Some("x/"), Some("/")));
            let number = options.page_token.map_or(0, |token| token.parse().unwrap());
            let (result, page_token) = (self.0)(number);
            Ok(PaginatedListResult { result, page_token })
        }
    }

    fn page(files: &[String], folders: &[&str]) -> ListResult {
        let object = |name: &String| ObjectMeta {
            location: ObjectPath::from(format!("x/{name}")),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 1,
            e_tag: None,
            version: None,
        };
        let common_prefixes = folders.iter().map(|name| ObjectPath::from(format!("x/{name}"))).collect();
        ListResult { objects: files.iter().map(object).collect(), common_prefixes }
    }

    async fn listed<F>(pages: F) -> Result<(Vec<String>, Vec<String>), String>
    where
        F: Fn(usize) -> (ListResult, Option<String>) + Send + Sync + 'static,
    {
        let listed = children(&Pages(pages), &ObjectPath::from("x"), "s3://b/x").await;
        listed.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn all_pages_are_read() {
        let pages = |number: usize| match number {
            0 => (page(&["a".to_owned()], &["f"]), Some("1".to_owned())),
            1 => (page(&[], &["f", "g"]), Some("2".to_owned())),
            2 => (page(&["b".to_owned()], &[]), Some(String::new())),
            _ => panic!("an empty marker leads nowhere"),
        };
        let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        assert_eq!(listed(pages).await, Ok((names(["a", "b"]), names(["f", "g"]))));
    }

    /// Failed before: such a listing was followed for ever, and kept all that came.
    #[tokio::test]
    async fn a_listing_without_an_end_is_given_up() {
        let leads: [(fn(usize) -> usize, &str); 3] = [
            (|_| 7, "never ends: a page leads back to one that was read"),
            (|number| if number == 3 { 1 } else { number + 1 }, "never ends"),
            (|number| number + 1, "has more than 10000 pages"),
        ];
        for (lead, words) in leads {
            let error = listed(move |number| (page(&[], &[]), Some(lead(number).to_string()))).await.unwrap_err();
            assert!(
                error.starts_with("cannot list s3://b/x: the listing of the store ") && error.contains(words),
                "{error}"
            );
        }
        let (mut progress, name) = (Progress::default(), "x".repeat(1 << 20));
        assert!((1..256).all(|_| progress.keep(&name).is_ok()));
        assert_eq!(progress.keep(&name), Err(Unending::Names));
    }
}
