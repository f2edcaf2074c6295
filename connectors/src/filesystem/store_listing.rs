//! The files of a table in a store, which has no folders.
use regex::Regex;
use wiesel_common::ending;
use wiesel_operators::operator::{Error, Result};

use super::listing::Pages;
use super::path::{Limits, too_large};
use crate::input::{Files, failed};

/// As [`super::path::list`]: hands over each file below a URI with what it is, or the one that it names; those of a page of the store
/// at once. An empty object is left out: it has no rows, and some tools make one for each folder. Nothing else is no file.
pub(super) fn list(
    files: &Files,
    root: &str,
    pattern: Option<&Regex>,
    limits: Limits,
    pages: &mut Pages<'_>,
) -> Result<()> {
    let location = files.location(root)?;
    let matches = |uri: &str| pattern.is_none_or(|pattern| pattern.is_match(uri));
    let Some(mut below) = location.files_below() else { return Err(Error::Plan(format!("{root} is in no store"))) };
    let mut names = 0;
    while let Some(page) = files.wait(below.next_page())? {
        ending::check()?;
        names += page.len();
        if names > limits.names {
            return Err(too_large(&root, &format!("more than {} names", limits.names)));
        }
        for file in page {
            let name = file.uri.strip_prefix(location.uri()).unwrap_or(&file.uri);
            let is_hidden = name.split('/').any(|part| part.starts_with(['_', '.']));
            if file.status.size > 0 && !is_hidden && matches(&file.uri) {
                pages.add(&file.uri, &file.status)?;
            }
        }
        pages.hand_over()?;
    }
    if names > 0 || below.is_marked() {
        return Ok(());
    }
    match files.wait_for(location.status())? {
        Ok(status) if matches(location.uri()) => pages.add(location.uri(), &status),
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Err(absent(location.uri(), error)),
        Err(error) => Err(failed(error)),
    }
}

fn absent(uri: &str, error: wiesel_common::filesystem::Error) -> Error {
    let who = wiesel_common::process::role();
    Error::external(
        format!(
            "File {uri} does not exist or the user running Flink has insufficient permissions to access it: {who} looked for \
             it, and for files below it."
        ),
        error,
    )
}
