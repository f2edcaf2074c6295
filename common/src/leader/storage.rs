//! The folder of a cluster below `high-availability.storageDir`.
use std::fmt::Write as _;

use super::lease::LeaseFile;
use crate::config::options::high_availability::{self, CLUSTER_ID, HighAvailabilityMode, STORAGE_DIR};
use crate::config::{ConfigError, ConfigValue as _, Configuration};
use crate::filesystem::{self, Location};

/// The longest name of a folder, in bytes, that file systems take.
const MAX_NAME: usize = 255;

/// The folder. Clusters that share `high-availability.storageDir` have one each: no file of one lies in that of another, and no key
/// of an object below another key.
#[derive(Clone, Debug)]
pub struct ClusterStorage(Location);

impl ClusterStorage {
    /// That of the configured cluster.
    ///
    /// # Errors
    /// `high-availability.storageDir` is not set or names no place, `high-availability.cluster-id` is no name.
    pub fn open(config: &Configuration) -> filesystem::Result<Self> {
        let missing = || {
            let (key, kind) = (STORAGE_DIR.key(), HighAvailabilityMode::ObjectStore.show());
            let folder =
                "a folder, local or in S3, that all JobManagers, TaskManagers and clients of the cluster reach";
            ConfigError::Inconsistent(format!(
                "{} is {kind}, and {key} is not set: {folder}",
                high_availability::TYPE.key()
            ))
        };
        let uri = config.get_optional(&high_availability::STORAGE_DIR)?.filter(|uri| !uri.trim().is_empty());
        // Everybody has to find it.
        let folder = Location::resolve(&uri.ok_or_else(missing)?, config)?.without_entropy();
        let name = folder_name(&config.get(&high_availability::CLUSTER_ID)?)?;
        Ok(Self(folder.below(&name)?))
    }

    /// Where the leader says that it leads.
    pub fn lease(&self) -> LeaseFile {
        LeaseFile::new(self.0.join("leader"))
    }

    /// The folder of what outlives a JobManager. Nothing else is in it.
    pub fn records(&self) -> Location {
        self.0.join("records")
    }

    /// A file in which it is tried whether files of the store are replaced only as they were read.
    pub fn probe(&self) -> Location {
        self.0.join("probe")
    }
}

/// The name of a cluster's folder: as in Flink without slashes around it. Every other character that does not stand in a name
/// everywhere is written as `%XX`: a slash within it would make a folder in that of another cluster.
fn folder_name(cluster_id: &str) -> Result<String, ConfigError> {
    let refuse = |expected: &str| CLUSTER_ID.bad_value(CLUSTER_ID.key(), cluster_id, expected);
    let id = cluster_id.trim().trim_matches('/');
    let mut name = String::new();
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            // Within a name; one of points alone, or that begins with one, is something else in many places.
            b'.' if !name.is_empty() => name.push('.'),
            other => _ = write!(name, "%{other:02X}"),
        }
    }
    match name.len() {
        0 => Err(refuse("expected a name")),
        1..=MAX_NAME => Ok(name),
        _ => Err(refuse(
            "expected a shorter name: of at most 255 bytes, where a character that is no ASCII letter, digit, '-', '_' or '.' counts as three for each of its bytes",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Configuration {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_cluster_has_a_folder_of_its_own() {
        for (id, expected) in [
            ("/default", "default"),
            ("a", "a"),
            ("/a/", "a"),
            ("a/b", "a%2Fb"),
            ("a/leader", "a%2Fleader"),
            ("a b", "a%20b"),
            ("ä", "%C3%A4"),
            ("%2F", "%252F"),
            (".", "%2E"),
            ("..", "%2E."),
            ("../x", "%2E.%2Fx"),
            (".hidden", "%2Ehidden"),
            ("v1.2", "v1.2"),
            ("a\\b\0", "a%5Cb%00"),
        ] {
            assert_eq!(folder_name(id).as_deref(), Ok(expected), "{id}");
        }
        let ids = ["a/b", "a%2Fb", "a%252Fb", "a b", "a+b", "A", "a", "ä", "a\u{308}"];
        let names: BTreeSet<String> = ids.into_iter().map(|id| folder_name(id).unwrap()).collect();
        assert_eq!(names.len(), ids.len());
        let long = "ä".repeat(43);
        for (id, expected) in [("", "a name"), (" / ", "a name"), ("///", "a name"), (long.as_str(), "a shorter name")]
        {
            let error = folder_name(id).unwrap_err().to_string();
            assert!(error.contains("high-availability.cluster-id") && error.contains(expected), "{error}");
        }
        assert_eq!(folder_name(&"x".repeat(255)).unwrap().len(), 255);
    }

    #[test]
    fn the_folder_is_where_the_options_say() {
        let storage = |pairs: &[(&str, &str)]| ClusterStorage::open(&config(pairs));
        let dir = "high-availability.storageDir";
        let local = storage(&[(dir, "file:///ha"), ("high-availability.cluster-id", "a/ b")]).unwrap();
        assert_eq!(local.records().uri(), "file:/ha/a%2F%20b/records");
        filesystem::unsure::UnsureBucket::mount("leader-folder");
        let object = storage(&[(dir, "s3://leader-folder/ha/"), ("high-availability.cluster-id", "a/ b")]).unwrap();
        assert_eq!(object.probe().uri(), "s3://leader-folder/ha/a%2F%20b/probe");
        let (_, path) = object.probe().object_store().unwrap();
        assert_eq!(path.as_ref(), "ha/a%2F%20b/probe");
        let marked = storage(&[(dir, "s3://leader-folder/_x_/ha"), ("s3.entropy.key", "_x_")]).unwrap();
        assert_eq!(marked.probe().uri(), "s3://leader-folder/ha/default/probe");
        let former = storage(&[("recovery.zookeeper.storageDir", "/ha"), ("recovery.zookeeper.path.namespace", "c")]);
        assert_eq!(former.unwrap().probe().uri(), "file:/ha/c/probe");
        for (pairs, expected) in [
            (&[][..], "high-availability.storageDir"),
            (&[(dir, " ")][..], "high-availability.storageDir"),
            (&[(dir, "hdfs://x/y")][..], "hdfs"),
        ] {
            let error = storage(pairs).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
