//! Which of the files that a metadata file names may be deleted with it.
//!
//! Metadata that was copied, by whomever and whereto, still names the files of the checkpoint that it was copied from. So a
//! file belongs to the metadata in a folder only if it is where a checkpoint in that folder puts its files: in the folder
//! itself, or in `shared/` beside it if the folder is that of the checkpoint's number. Metadata that is where it was written
//! also owns what it names in the `shared/` folders of checkpoints that its job has claimed. Everything else is somebody
//! else's, and so is what another checkpoint beside it refers to, or may refer to that was beside it and was claimed.
use std::collections::HashSet;

use bytes::Bytes;
use wiesel_common::config::Configuration;
use wiesel_common::config::options::s3;
use wiesel_common::filesystem::Location;
use wiesel_proto as proto;

use super::metadata::{Found, read_metadata, shared_files, visit_files};
use super::{CLAIMED, METADATA, SHARED, checkpoint_name, is_checkpoint};
use crate::error::Result;

/// The URIs of the files that checkpoint or savepoint names and that stay when it is deleted. Reads what is beside it.
///
/// # Errors
/// What is beside it cannot be listed.
pub async fn spared(found: &Found, configuration: &Configuration) -> Result<HashSet<String>> {
    let folder = Location::resolve(&found.folder, configuration)?;
    let places = Places::of(&folder, &found.metadata, configuration)?;
    let mut spared = HashSet::new();
    visit_files(&found.metadata, |file, shared| {
        if !file.path.is_empty() && !places.contain(&file.path, shared) {
            spared.insert(file.path.clone());
        }
    });
    spared.extend(named_beside(found, &folder, configuration).await?);
    let own = shared_files(&found.metadata);
    if let Some(parent) = folder.parent().filter(|_| places.shared.is_some() && !own.is_empty()) {
        let claimed = marks(&parent).await?.iter().any(|claimed| claimed != folder.name());
        match referenced_in(&parent, Some(folder.name()), configuration).await? {
            Some(referenced) if !claimed => spared.extend(referenced),
            _ => spared.extend(own.iter().filter(|file| places.is_shared(file)).cloned()),
        }
    }
    for place in &places.claimed {
        let shared = Location::resolve(place, configuration)?;
        let Some(job) = shared.parent() else { continue };
        match referenced_in(&job, None, configuration).await? {
            Some(referenced) => spared.extend(referenced),
            None => spared.extend(own.iter().filter(|file| places.lies_in(file, place)).cloned()),
        }
    }
    Ok(spared)
}

/// Notes beside the shared files of a checkpoint that another job claims it: that job deletes the metadata in time, and then
/// nothing else there tells that they are in use. A later run of the first job must not take them for its own garbage.
///
/// # Errors
/// The folder cannot be written to.
pub async fn mark_claimed(found: &Found, configuration: &Configuration) -> Result<()> {
    let folder = Location::resolve(&found.folder, configuration)?;
    let its_own = Places::of(&folder, &found.metadata, configuration)?.shared.is_some();
    if let Some(parent) = folder.parent().filter(|_| its_own && !shared_files(&found.metadata).is_empty()) {
        parent.join(SHARED).join(&format!("{CLAIMED}{}", folder.name())).write(Bytes::new()).await?;
    }
    Ok(())
}

/// The `shared/` folders, as URIs, in which a run that claims a checkpoint owns what it names from then on.
///
/// # Errors
/// A folder of a file system that is not known.
pub fn claimed_folders(found: &Found, configuration: &Configuration) -> Result<Vec<String>> {
    let folder = Location::resolve(&found.folder, configuration)?;
    let Places { shared, mut claimed, .. } = Places::of(&folder, &found.metadata, configuration)?;
    claimed.extend(shared);
    claimed.sort();
    claimed.dedup();
    Ok(claimed)
}

/// The names of the checkpoints of a job that others have claimed.
async fn marks(job: &Location) -> Result<Vec<String>> {
    let found = job.join(SHARED).children().await?.files;
    Ok(found.iter().filter_map(|name| name.strip_prefix(CLAIMED)).map(str::to_owned).collect())
}

/// Where a checkpoint's own files are.
pub(super) struct Places {
    folder: String,
    shared: Option<String>,
    /// `shared/` folders of claimed checkpoints.
    claimed: Vec<String>,
    /// How many random characters a path may have more; 0: none.
    entropy: usize,
}

impl Places {
    fn of(folder: &Location, metadata: &proto::CheckpointMetadata, configuration: &Configuration) -> Result<Self> {
        let is_its_own = folder.name() == checkpoint_name(metadata.checkpoint_id);
        let parent = folder.parent().filter(|_| is_its_own);
        let shared = parent.map(|parent| parent.join(SHARED));
        let mut places = Self::new(folder, shared.as_ref(), Self::entropy(configuration)?);
        if metadata.folder == folder.uri() {
            places.claimed.clone_from(&metadata.claimed);
        }
        Ok(places)
    }

    /// A folder, and one that is shared; `entropy` as [`Places::entropy`] says.
    pub(super) fn new(folder: &Location, shared: Option<&Location>, entropy: usize) -> Self {
        let shared = shared.map(|shared| shared.uri().to_owned());
        Self { folder: folder.uri().to_owned(), shared, claimed: Vec::new(), entropy }
    }

    /// How many random characters paths have more by the configuration.
    pub(super) fn entropy(configuration: &Configuration) -> Result<usize> {
        Ok(match configuration.get_optional(&s3::ENTROPY_KEY)?.filter(|key| !key.is_empty()) {
            Some(_) => usize::try_from(configuration.get(&s3::ENTROPY_LENGTH)?).unwrap_or(0),
            None => 0,
        })
    }

    pub(super) fn contain(&self, file: &str, shared: bool) -> bool {
        match shared {
            true => self.is_shared(file) || self.claimed.iter().any(|place| self.lies_in(file, place)),
            false => self.lies_in(file, &self.folder),
        }
    }

    /// Whether a file is in `shared/` beside the folder.
    fn is_shared(&self, file: &str) -> bool {
        self.shared.as_ref().is_some_and(|place| self.lies_in(file, place))
    }

    fn lies_in(&self, file: &str, place: &str) -> bool {
        let Some((folder, name)) = file.rsplit_once('/') else { return false };
        !name.is_empty() && name != ".." && (folder == place || self.is_with_entropy(folder, place))
    }

    /// Whether a folder is the place but for random characters, alone between slashes or not.
    fn is_with_entropy(&self, folder: &str, place: &str) -> bool {
        let more = folder.len().saturating_sub(place.len());
        if self.entropy == 0 || !folder.is_ascii() || !(more == self.entropy || more == self.entropy + 1) {
            return false;
        }
        let same = folder.bytes().zip(place.bytes()).take_while(|(a, b)| a == b).count();
        (0..=same).any(|at| {
            let random = folder[at..at + more].trim_matches('/');
            let hex = random.len() == self.entropy && random.bytes().all(|byte| byte.is_ascii_hexdigit());
            hex && folder[at + more..] == place[at..]
        })
    }
}

/// What the folder's own metadata names, where other metadata beside it is meant.
async fn named_beside(found: &Found, folder: &Location, configuration: &Configuration) -> Result<HashSet<String>> {
    let mut named = HashSet::new();
    let own = folder.join(METADATA);
    if own.uri() == found.file || !has_metadata(folder).await? {
        return Ok(named);
    }
    let other = read_metadata(own.uri(), configuration).await;
    // What it needs, if that cannot be told: then all stays.
    let metadata = other.as_ref().map_or(&found.metadata, |(_, metadata)| metadata);
    visit_files(metadata, |file, _| _ = named.insert(file.path.clone()));
    Ok(named)
}

async fn has_metadata(folder: &Location) -> Result<bool> {
    Ok(folder.children().await?.files.iter().any(|name| name == METADATA))
}

/// What the complete checkpoints in a job's folder, but one, refer to; none: one of them cannot be read.
async fn referenced_in(
    job: &Location,
    but: Option<&str>,
    configuration: &Configuration,
) -> Result<Option<HashSet<String>>> {
    let mut referenced = HashSet::new();
    for name in job.children().await?.folders {
        if !is_checkpoint(&name) || but == Some(&name) {
            continue;
        }
        let other = job.join(&name);
        if !has_metadata(&other).await? {
            continue;
        }
        match read_metadata(other.uri(), configuration).await {
            Ok((_, other)) => referenced.extend(shared_files(&other)),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(referenced))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_checkpoint() {
        let entropy =
            [("s3.entropy.key", "_e_"), ("s3.entropy.length", "4"), ("s3.access-key", "a"), ("s3.secret-key", "s")];
        let config = |with: bool| -> Configuration {
            let pairs = entropy.iter().filter(|(key, _)| with || !key.contains("entropy"));
            pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let contains = |folder: &str, with: bool, file: &str, shared: bool| {
            let (config, metadata) =
                (config(with), proto::CheckpointMetadata { checkpoint_id: 3, ..Default::default() });
            let folder = Location::resolve(folder, &config).unwrap();
            Places::of(&folder, &metadata, &config).unwrap().contain(file, shared)
        };
        let own = "s3://b/c/job/chk-3";
        assert!(contains(own, false, "s3://b/c/job/chk-3/x", false));
        assert!(contains(own, false, "s3://b/c/job/shared/x", true));
        for (file, shared) in [
            ("s3://b/c/job/chk-3/y/x", false),
            ("s3://b/c/job/chk-3/..", false),
            ("s3://b/c/job/chk-3/../x", false),
            ("s3://b/c/job/chk-33/x", false),
            ("s3://b/c/job/shared/x", false),
            ("s3://b/c/other/shared/x", true),
            ("s3://other/c/job/shared/x", true),
            ("s3://b/ab12/c/job/shared/x", true),
        ] {
            assert!(!contains(own, false, file, shared), "{file}");
        }
        // A copy has its folder, and nothing beside it.
        assert!(contains("s3://b/copy", false, "s3://b/copy/x", false));
        assert!(!contains("s3://b/copy", false, "s3://b/shared/x", true));
        assert!(!contains("s3://b/c/job/chk-9", false, "s3://b/c/job/shared/x", true));

        for file in ["s3://b/ab12/c/job/shared/x", "s3://b/cab12/job/shared/x", "s3://b/c/job/shared/x"] {
            assert!(contains(own, true, file, true), "{file}");
        }
        for file in ["s3://b/ab1/c/job/shared/x", "s3://b/wxyz/c/job/shared/x", "s3://b/ab12/c/other/shared/x"] {
            assert!(!contains(own, true, file, true), "{file}");
        }
    }
}
