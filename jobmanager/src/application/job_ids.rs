//! The ids of an application's jobs where that of the first is fixed: the same script gives its jobs the same ids each time.
use std::collections::HashSet;

use wiesel_common::id::JobId;

use super::script::PlannedJob;

/// Gives each job its id, as Flink does: the first has the fixed one. The others add an index to both halves of it: the next one
/// that is free, from 0 for jobs of the first one's name, and from the hash of its name for a job of another name.
pub(super) fn assign(jobs: &mut [PlannedJob], base: JobId) {
    let Some(first_name) = jobs.first().map(|job| job.graph.name.clone()) else { return };
    let mut taken = HashSet::new();
    for job in jobs {
        let mut index = if job.graph.name == first_name { 0 } else { java_hash(&job.graph.name) };
        let mut id = at_index(base, index);
        // The first job is the first of its name.
        while !taken.insert(id) {
            index = index.wrapping_add(1);
            id = at_index(base, index);
        }
        job.graph.job_id = id.to_bytes();
    }
}

/// The id whose halves are those of another and this much.
fn at_index(JobId(base): JobId, index: i32) -> JobId {
    let half = |from: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&base[from..from + 8]);
        i64::from_be_bytes(bytes).wrapping_add(i64::from(index)).to_be_bytes()
    };
    let mut id = [0; 16];
    id[..8].copy_from_slice(&half(0));
    id[8..].copy_from_slice(&half(8));
    JobId(id)
}

/// `String.hashCode` of Java.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use wiesel_proto as proto;

    use super::*;

    fn ids(base: &str, names: &[&str]) -> Vec<String> {
        let job = |name: &&str| PlannedJob {
            graph: proto::JobGraph { name: (*name).to_owned(), ..Default::default() },
            wait: false,
        };
        let mut jobs: Vec<PlannedJob> = names.iter().map(job).collect();
        assign(&mut jobs, base.parse().unwrap());
        jobs.iter().map(|job| JobId::from_bytes(&job.graph.job_id).unwrap().to_string()).collect()
    }

    /// Those that Flink 2.3 gave two INSERTs into one table.
    #[test]
    fn jobs_of_one_name_follow_each_other() {
        let name = "insert-into_default_catalog.default_database.t";
        let base = "00000000000000000000000000000001";
        assert_eq!(ids(base, &[name, name]), [base, "00000000000000010000000000000002"]);
    }

    #[test]
    fn a_job_of_another_name_begins_at_its_hash() {
        assert_eq!([java_hash("a"), java_hash("ab"), java_hash("polygenelubricants")], [97, 3105, i32::MIN]);
        assert_eq!(java_hash("\u{1f600}"), 1_772_899, "two units of UTF-16");
        let base = "00000000000000000000000000000000";
        assert_eq!(
            ids(base, &["x", "a", "a", "polygenelubricants"]),
            [
                base,
                "00000000000000610000000000000061",
                "00000000000000620000000000000062",
                "ffffffff80000000ffffffff80000000"
            ]
        );
        let last = "7fffffffffffffffffffffffffffffff";
        assert_eq!(ids(last, &["x", "x"])[1], "80000000000000000000000000000000");
    }
}
