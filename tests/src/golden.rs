//! SQL scripts with the answers that Apache Flink gave.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::Cluster;

/// The answers in a text: those lines that are one, by the number of the query.
pub fn answers(text: &str) -> BTreeMap<u64, Value> {
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter_map(|record| Some((record["query"].as_u64()?, record))).collect()
}

/// Rows in an order that does not depend on how they came.
fn canonical(record: &Value) -> Vec<String> {
    let rows = record["rows"].as_array().into_iter().flatten();
    let mut rows: Vec<String> = rows
        .map(|row| {
            let cells: Vec<String> = row.as_array().into_iter().flatten().map(Value::to_string).collect();
            format!("[{}]", cells.join(", "))
        })
        .collect();
    rows.sort();
    rows
}

/// What is wrong with an answer, if anything. An error is equal to any error.
pub fn difference(want: &Value, got: Option<&Value>) -> Option<String> {
    let Some(got) = got else { return Some("no answer".to_owned()) };
    match (want.get("error"), got.get("error")) {
        (Some(_), Some(_)) => return None,
        (None, Some(error)) => return Some(format!("failed: {error}")),
        (Some(error), None) => return Some(format!("succeeded where Flink says {error}")),
        (None, None) => {}
    }
    let rows = canonical(got);
    if let Some(digest) = want["rows_sha256"].as_str() {
        let hash = Sha256::digest(rows.join("\n"));
        let found: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        if want["count"] != rows.len() || found != digest {
            return Some(format!("{} rows, other than the {} expected", rows.len(), want["count"]));
        }
    } else {
        let wanted = canonical(want);
        if rows != wanted {
            let missing = wanted.iter().find(|row| !rows.contains(row));
            let surplus = rows.iter().find(|row| !wanted.contains(row));
            return Some(format!(
                "{} rows of {}; missing: {missing:?}; surplus: {surplus:?}",
                rows.len(),
                wanted.len()
            ));
        }
    }
    (want["columns"] != got["columns"]).then(|| format!("columns {} instead of {}", got["columns"], want["columns"]))
}

/// The scripts below a folder that have an expected result, in order.
pub fn scripts(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(scripts(&path)?);
        } else if path.extension().is_some_and(|e| e == "sql") && path.with_extension("expected").exists() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// How a script is run.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// The parallelism of its jobs.
    pub parallelism: usize,
    /// Each job is stopped with a savepoint soon after it runs, and goes on at this parallelism.
    pub rescale_to: Option<usize>,
}

/// What came of a script.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What differs from the expected answers.
    pub differences: Vec<String>,
    /// How many jobs were stopped and went on.
    pub restored: usize,
    /// How many of them failed between the savepoint and their end.
    pub failed: usize,
}

/// Runs a script on a cluster and compares its answers with those that are expected.
pub fn run(cluster: &Cluster, script: &Path, data: &Path, mode: Mode) -> Result<Outcome> {
    let expected = std::fs::read_to_string(script.with_extension("expected"))?;
    let folder = tempfile::tempdir()?;
    let text = std::fs::read_to_string(script)?
        .replace("${DATA}", &data.to_string_lossy())
        .replace("${TMP}", &folder.path().to_string_lossy());
    let path = folder.path().join("script.sql");
    std::fs::write(&path, text)?;
    let mut command = cluster.command("bin/sql-client.sh");
    command.arg(format!("-Dparallelism.default={}", mode.parallelism)).arg("-f").arg(&path).arg("--fold-json");
    if let Some(parallelism) = mode.rescale_to {
        command.arg(format!("--rescale-to={parallelism}"));
    }
    let output = command.output()?;
    let want = answers(&expected);
    if want.is_empty() {
        bail!("{}: nothing is expected", script.display());
    }
    let got = answers(&String::from_utf8_lossy(&output.stdout));
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut differences: Vec<String> = want
        .iter()
        .filter_map(|(query, want)| Some(format!("query {query}: {}", difference(want, got.get(query))?)))
        .collect();
    if !matches!(output.status.code(), Some(0 | 1)) {
        differences.push(format!("{}: {errors}", output.status));
    }
    let went_on: Vec<&str> = errors.lines().filter(|line| line.contains(" goes on from ")).collect();
    let failed = went_on.iter().filter(|line| line.ends_with("after it failed")).count();
    Ok(Outcome { differences, restored: went_on.len(), failed })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences() {
        let want = json!({"query": 0, "columns": [["a", "INT"]], "rows": [["1"], [null], ["1"]]});
        let same = json!({"query": 0, "columns": [["a", "INT"]], "rows": [[null], ["1"], ["1"]]});
        let fewer = json!({"query": 0, "columns": [["a", "INT"]], "rows": [[null], ["1"]]});
        let other_type = json!({"query": 0, "columns": [["a", "BIGINT"]], "rows": [[null], ["1"], ["1"]]});
        let error = json!({"query": 0, "error": "no"});
        assert_eq!(difference(&want, Some(&same)), None);
        assert_eq!(difference(&error, Some(&error)), None);
        for got in [None, Some(&fewer), Some(&other_type), Some(&error)] {
            assert!(difference(&want, got).is_some(), "{got:?}");
        }
        assert!(difference(&error, Some(&want)).is_some());
        // The digest of `["1", null]`.
        let digest = Sha256::digest("[\"1\", null]").iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let counted = json!({"query": 0, "columns": [], "count": 1, "rows_sha256": digest});
        assert_eq!(difference(&counted, Some(&json!({"columns": [], "rows": [["1", null]]}))), None);
        assert!(difference(&counted, Some(&json!({"columns": [], "rows": [["1", "2"]]}))).is_some());
    }
}
