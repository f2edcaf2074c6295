//! Which of the files that a metadata file names may be deleted with it, and how a run makes a checkpoint its own.
//!
//! Metadata that was copied, by whomever and whereto, still names the files of the checkpoint that it was copied from. So a
//! file belongs to the metadata in a folder only if it is where a checkpoint in that folder puts its files: in the folder
//! itself, or in `shared/` beside it if the folder is that of the checkpoint's number. Metadata that is where it was written
//! also owns what it names in the `shared/` folders of checkpoints that its job has claimed. Everything else is somebody
//! else's, and so is what another checkpoint beside it refers to, or may refer to that was beside it and was claimed.
//!
//! A run that claims a checkpoint of another job's folder leaves a mark in `shared/` there, `.claimed-chk-<n>-<job id>-<run>`: in
//! time it deletes the checkpoint, and then nothing else there tells that files are in use. Each run has a mark of its own, so
//! that one which removes its mark, maybe long after it has ended, removes no other's.
//!
//! Invariant: a file in `shared/` is deleted only by those who go on from one claim of a checkpoint that names it, or by the
//! folder's own job while there is no claim. What keeps it:
//! - The mark is written before the run looks at what it owns, and outlives whatever the run completes. It is taken back only
//!   when no checkpoint of the run refers to what it guards.
//! - Whoever asks what it owns looks at the checkpoints in a folder first, and then at the marks. A checkpoint that is there
//!   spares what it names, and one that is gone because somebody else claimed it has left that one's mark.
//! - Beside the mark of another job, nothing that a checkpoint names in any `shared/` is its own: what it names the claimed one
//!   may have named as well. Nor is what was claimed before it, where one of the folders that it was claimed from has the marks
//!   of several jobs. Such a folder is not noted in `claimed` any more, so that it stays nobody's.
//! - No mark is ever written into a run's own folder. So each one there is another's, although its job may have the same id
//!   and its checkpoints elsewhere.
//!
//! It does not hold for jobs of one id that have their checkpoints in different directories and claim from the same third
//! folder: they are taken for runs of one job. Nor for two jobs that run at once and have both claimed one checkpoint: that is
//! what a user has said of both, and the second one owns none of its shared files, but the first one does and each deletes the
//! rest.
use std::collections::HashSet;

use bytes::Bytes;
use wiesel_common::config::Configuration;
use wiesel_common::config::options::s3;
use wiesel_common::fault;
use wiesel_common::filesystem::Location;
use wiesel_common::id::JobId;
use wiesel_proto as proto;

use super::metadata::{Found, read_metadata, shared_files, visit_files};
use super::{CLAIMED, CheckpointStorage, KEEP, METADATA, SHARED, TASK_OWNED, checkpoint_name, is_checkpoint};
use crate::error::{Error, Result};

/// What is whose of a checkpoint or savepoint.
#[derive(Debug, Default)]
pub struct Claim {
    /// URIs of files that stay when it is deleted, although it names them.
    pub spared: HashSet<String>,
    /// The `shared/` folders, as URIs, in which a run that claims it owns what it names from then on.
    pub folders: Vec<String>,
}

/// The mark by which a run claims a checkpoint: a file that is there, or is to be written.
#[derive(Debug)]
pub struct ClaimMark {
    /// None: there is no need of one.
    file: Option<Location>,
    /// The files in `shared/` folders that the claimed checkpoint names.
    guarded: HashSet<String>,
}

impl ClaimMark {
    /// Whether there is anything to write.
    pub fn is_needed(&self) -> bool {
        self.file.is_some()
    }

    /// Writes it.
    ///
    /// # Errors
    /// The folder cannot be written to. The mark may be there all the same, or come later: see [`ClaimMark::delete`].
    pub async fn write(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        fault::point("claim.before-mark");
        file.write(Bytes::new()).await?;
        fault::point("claim.after-mark");
        Ok(())
    }

    /// Removes it from where the run has claimed nothing by it and never will.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub async fn remove(&self) -> Result<()> {
        self.delete().await?;
        match self.file.as_ref().and_then(Location::parent) {
            // It may have been made for the mark.
            Some(shared) => Ok(shared.remove_empty_folder().await?),
            None => Ok(()),
        }
    }

    /// As [`ClaimMark::remove`], and leaves the folder.
    ///
    /// # Errors
    /// It cannot be deleted.
    pub async fn delete(&self) -> Result<()> {
        match &self.file {
            Some(file) => Ok(file.delete().await?),
            None => Ok(()),
        }
    }
}

impl CheckpointStorage {
    /// The mark for a checkpoint or savepoint that a run of the job is to claim. Reads and writes nothing. `run`: no other run
    /// of any job has it.
    ///
    /// There is none for what is not beside a `shared/` folder, and none in the run's own folder: there a checkpoint of an
    /// earlier run is no other job's.
    ///
    /// # Errors
    /// What the metadata says of its folder is no location.
    pub fn claim_mark(&self, found: &Found, run: u64) -> Result<ClaimMark> {
        let configuration = &self.inner.configuration;
        let folder = Location::resolve(&found.folder, configuration)?;
        let is_beside = Places::of(&folder, &found.metadata, configuration)?.shared.is_some();
        let guarded = shared_files(&found.metadata);
        let job = folder.parent().filter(|job| is_beside && !self.is_own_folder(job));
        let name = format!("{CLAIMED}{}-{}-{run:016x}", folder.name(), self.inner.job_id);
        Ok(ClaimMark { file: job.map(|job| job.join(SHARED).join(&name)), guarded })
    }

    /// Whether an earlier run of the job has claimed something where a mark is.
    async fn has_claimed_before(&self, mark: &ClaimMark) -> Result<bool> {
        let Some(file) = &mark.file else { return Ok(false) };
        let Some(job) = file.parent().and_then(|shared| shared.parent()) else { return Ok(false) };
        let earlier = |other: &Mark| other.by == Some(self.inner.job_id) && other.name != file.name();
        Ok(marks(&job).await?.iter().any(earlier))
    }

    /// What the run owns of a checkpoint or savepoint that it claims; its mark is written.
    ///
    /// # Errors
    /// What is beside it cannot be listed.
    pub async fn claim(&self, found: &Found, mark: &ClaimMark) -> Result<Claim> {
        let own = mark.file.as_ref().map(|_| self.inner.job_id);
        let mut claim = claim_of(found, &self.inner.configuration, own).await?;
        let again = self.has_claimed_before(mark).await?;
        if let Some(folder) = self.inner.folder.as_ref().filter(|_| again) {
            // By its own mark an earlier run may have made checkpoints that refer to the same files.
            match referenced_in(&folder.without_entropy(), None, &self.inner.configuration).await? {
                Some(referenced) => {
                    claim.spared.extend(referenced.into_iter().filter(|file| mark.guarded.contains(file)));
                }
                None => {
                    claim.spared.extend(mark.guarded.iter().cloned());
                    claim.folders.clear();
                }
            }
        }
        Ok(claim)
    }

    /// Takes back the mark of a claim of which nothing came: if no complete checkpoint in the run's folder refers to what it
    /// guards. At the end of the run.
    ///
    /// # Errors
    /// It cannot be looked for such checkpoints, or the mark cannot be deleted.
    pub async fn take_back(&self, mark: &ClaimMark) -> Result<()> {
        if let Some(own) = &self.inner.folder {
            let referenced = referenced_in(&own.without_entropy(), None, &self.inner.configuration).await?;
            if referenced.is_none_or(|referenced| !referenced.is_disjoint(&mark.guarded)) {
                return Ok(());
            }
        }
        mark.remove().await
    }

    /// Removes the folder of the job from which a checkpoint was claimed, if nothing is left there but marks of this job.
    /// Where files are at random places nothing is removed: what that job's configuration says of them is not known here.
    ///
    /// # Errors
    /// It cannot be listed, or something cannot be deleted.
    pub async fn remove_claimed_folder(&self, mark: &ClaimMark) -> Result<()> {
        let shared = mark.file.as_ref().and_then(Location::parent);
        let Some((shared, job)) = shared.and_then(|shared| Some((shared.clone(), shared.parent()?))) else {
            return Ok(());
        };
        let plain = Places::new(&job, Some(&shared), 0);
        let is_plain = mark.guarded.iter().all(|file| plain.is_shared(file));
        if Places::entropy(&self.inner.configuration)? > 0 || !is_plain {
            return Ok(());
        }
        let own = Some(self.inner.job_id);
        let is_own = |name: &String| name == KEEP || Mark::of(name).is_some_and(|mark| mark.by == own);
        let found = shared.children().await?;
        if !found.folders.is_empty() || !found.files.iter().all(is_own) {
            return Ok(());
        }
        // Without files of state no mark guards anything but the checkpoints themselves, and they are looked for last.
        let left = job.children().await?;
        if !left.files.is_empty() || left.folders.iter().any(|name| name != SHARED && name != TASK_OWNED) {
            return Ok(());
        }
        for name in found.files {
            shared.join(&name).delete().await?;
        }
        job.join(TASK_OWNED).remove_empty_folder().await?;
        shared.remove_empty_folder().await?;
        // Else it may be a directory that a user has made.
        if job.name().parse::<JobId>().is_ok() {
            job.remove_empty_folder().await?;
        }
        Ok(())
    }

    /// Whether the run's checkpoints are in this folder. One bucket goes by several schemes.
    fn is_own_folder(&self, job: &Location) -> bool {
        let own = self.inner.folder.as_ref().map(Location::without_entropy);
        own.is_some_and(|own| without_scheme(own.uri()) == without_scheme(job.uri()))
    }
}

fn without_scheme(uri: &str) -> &str {
    uri.split_once(':').map_or(uri, |(_, place)| place)
}

/// Refuses a checkpoint that a job has claimed, whether it runs or not: that can only be told by whoever started it.
///
/// # Errors
/// [`Error::Claimed`], or the folder cannot be listed.
pub(super) async fn refuse_if_claimed(found: &Found, configuration: &Configuration) -> Result<()> {
    let folder = Location::resolve(&found.folder, configuration)?;
    let is_beside = Places::of(&folder, &found.metadata, configuration)?.shared.is_some();
    let Some(job) = folder.parent().filter(|_| is_beside) else { return Ok(()) };
    let Some(mark) = marks(&job).await?.into_iter().find(|mark| mark.checkpoint == folder.name()) else {
        return Ok(());
    };
    let claimer = mark.by.map_or_else(|| "a job whose id was not noted".to_owned(), |by| format!("the job {by}"));
    Err(Error::Claimed(format!(
        "The checkpoint {} is claimed by {claimer}, which was started from it: it may be what a restart of that job begins \
         with, and later checkpoints of it refer to its files. That job deletes it when it does not need it any more. If that \
         job is gone, and its checkpoints with it, delete the file {} and try again.",
        found.folder,
        job.join(SHARED).join(&mark.name).uri()
    )))
}

/// What is whose of a checkpoint or savepoint for whoever is to delete it. Reads what is beside it. `own`: the job whose marks
/// are no other's.
///
/// # Errors
/// What is beside it cannot be listed.
pub(super) async fn claim_of(found: &Found, configuration: &Configuration, own: Option<JobId>) -> Result<Claim> {
    let folder = Location::resolve(&found.folder, configuration)?;
    let places = Places::of(&folder, &found.metadata, configuration)?;
    let mut spared = HashSet::new();
    visit_files(&found.metadata, |file, shared| {
        if !file.path.is_empty() && !places.contain(&file.path, shared) {
            spared.insert(file.path.clone());
        }
    });
    spared.extend(named_beside(found, &folder, configuration).await?);
    let shared = shared_files(&found.metadata);
    if shared.is_empty() {
        return Ok(Claim { spared, folders: Vec::new() });
    }
    let mut folders = Vec::new();
    let mut is_divided = false;
    // What is beside it comes last, and without itself.
    for place in places.claimed.iter().filter(|place| Some(*place) != places.shared.as_ref()) {
        let Some(job) = Location::resolve(place, configuration)?.parent() else { continue };
        // Before the marks: see the module.
        let referenced = referenced_in(&job, None, configuration).await?;
        let several = claimers(&marks(&job).await?) > 1;
        match referenced {
            Some(referenced) if !several => spared.extend(referenced),
            _ => is_divided = true,
        }
    }
    if is_divided {
        spared.extend(shared.iter().filter(|file| !places.is_shared(file)).cloned());
    } else {
        folders.extend(places.claimed.iter().cloned());
    }
    if let (Some(place), Some(job)) = (&places.shared, folder.parent()) {
        let referenced = referenced_in(&job, Some(folder.name()), configuration).await?;
        let is_claimed = marks(&job).await?.iter().any(|mark| mark.by.is_none() || mark.by != own);
        match referenced {
            Some(referenced) if !is_claimed => {
                spared.extend(referenced);
                folders.push(place.clone());
            }
            _ => {
                spared.extend(shared);
                folders.clear();
            }
        }
    }
    folders.sort();
    folders.dedup();
    Ok(Claim { spared, folders })
}

/// A mark in `shared/` of a job.
struct Mark {
    name: String,
    /// The name of the claimed checkpoint's folder.
    checkpoint: String,
    /// None: it was not noted. Before it was, a mark was `.claimed-chk-<n>`, and before runs were, `.claimed-chk-<n>-<job id>`.
    by: Option<JobId>,
}

impl Mark {
    fn of(name: &str) -> Option<Self> {
        let rest = name.strip_prefix(CLAIMED)?;
        let without_run = rest.rsplit_once('-').filter(|(_, run)| run.len() == 16).map_or(rest, |(job, _)| job);
        let known = without_run.rsplit_once('-').filter(|(checkpoint, _)| is_checkpoint(checkpoint));
        let known = known.and_then(|(checkpoint, by)| Some((checkpoint, by.parse::<JobId>().ok()?)));
        let (checkpoint, by) = known.map_or((rest, None), |(checkpoint, by)| (checkpoint, Some(by)));
        Some(Self { name: name.to_owned(), checkpoint: checkpoint.to_owned(), by })
    }
}

/// The marks of those who have claimed checkpoints of a job.
async fn marks(job: &Location) -> Result<Vec<Mark>> {
    let found = job.join(SHARED).children().await?.files;
    Ok(found.iter().filter_map(|name| Mark::of(name)).collect())
}

/// How many jobs have claimed; one that was not noted may be any, and counts.
fn claimers(marks: &[Mark]) -> usize {
    let known: HashSet<JobId> = marks.iter().filter_map(|mark| mark.by).collect();
    known.len() + marks.iter().filter(|mark| mark.by.is_none()).count()
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
    fn a_mark_tells_who_has_claimed_what() {
        let id = JobId([0xab; 16]);
        let of = |name: &str| Mark::of(name).map(|mark| (mark.checkpoint, mark.by));
        assert_eq!(of(&format!(".claimed-chk-5-{id}")), Some(("chk-5".to_owned(), Some(id))));
        // As it was before.
        assert_eq!(of(".claimed-chk-5"), Some(("chk-5".to_owned(), None)));
        assert_eq!(of(".claimed-chk-5-ab"), Some(("chk-5-ab".to_owned(), None)));
        assert_eq!(of(".keep"), None);
        let marks = |names: &[&str]| names.iter().filter_map(|name| Mark::of(name)).collect::<Vec<_>>();
        let (one, other) = (format!(".claimed-chk-5-{id}"), format!(".claimed-chk-6-{id}"));
        assert_eq!(claimers(&marks(&[one.as_str(), other.as_str(), ".keep"])), 1);
        assert_eq!(claimers(&marks(&[one.as_str(), ".claimed-chk-5"])), 2);
    }

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
