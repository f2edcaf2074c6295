//! The files of AWS's own tools, `~/.aws/credentials` and `~/.aws/config`.
use std::collections::HashMap;
use std::path::PathBuf;

use crate::input::{Bound, read_file};

/// What such a file may have.
const MAX_FILE: Bound = Bound { bytes: 1 << 20, advice: "a file with profiles is short" };

/// What a profile holds.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) access_key: Option<String>,
    pub(super) secret_key: Option<String>,
    pub(super) token: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
}

/// The profile that `AWS_PROFILE` names, else `default`; empty where there is none.
pub(super) fn load(variable: impl Fn(&str) -> Option<String>) -> Profile {
    let name = variable("AWS_PROFILE").or_else(|| variable("AWS_DEFAULT_PROFILE")).unwrap_or("default".to_owned());
    let file = |override_key: &str, name: &str| {
        let path = variable(override_key).map(PathBuf::from);
        path.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".aws").join(name)))
    };
    let text = |path: Option<PathBuf>| {
        let bytes = path.and_then(|path| read_file(&path, &MAX_FILE).ok());
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
    };
    let credentials = text(file("AWS_SHARED_CREDENTIALS_FILE", "credentials"));
    let config = text(file("AWS_CONFIG_FILE", "config"));
    from_texts(&name, &credentials, &config)
}

fn from_texts(name: &str, credentials: &str, config: &str) -> Profile {
    let mut credentials = section(credentials, &[name]);
    let mut config = section(config, &[name, &format!("profile {name}")]);
    let mut value = |key: &str| credentials.remove(key).or_else(|| config.remove(key));
    Profile {
        access_key: value("aws_access_key_id"),
        secret_key: value("aws_secret_access_key"),
        token: value("aws_session_token"),
        region: value("region"),
        endpoint: value("endpoint_url"),
    }
}

/// The pairs of a section; indented lines belong to a group that is not read.
fn section(text: &str, names: &[&str]) -> HashMap<String, String> {
    let mut pairs = HashMap::new();
    let mut inside = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let header = header.split_whitespace().collect::<Vec<_>>().join(" ");
            inside = names.contains(&header.as_str());
        } else if inside
            && !line.starts_with([' ', '\t'])
            && let Some((key, value)) = trimmed.split_once('=')
            && !value.trim().is_empty()
        {
            pairs.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_before_config() {
        let credentials =
            "[default]\naws_access_key_id = A\naws_secret_access_key=S\n\n[other]\naws_access_key_id = B\n";
        let config = "# comment\n[profile other]\nregion = eu-west-1\naws_access_key_id = C\ns3 =\n  region = no\n[default]\nregion = us-west-2\n";
        let default = from_texts("default", credentials, config);
        assert_eq!(default.access_key.as_deref(), Some("A"));
        assert_eq!(default.secret_key.as_deref(), Some("S"));
        assert_eq!(default.region.as_deref(), Some("us-west-2"));
        let other = from_texts("other", credentials, config);
        assert_eq!((other.access_key.as_deref(), other.region.as_deref()), (Some("B"), Some("eu-west-1")));
        assert!(from_texts("absent", credentials, config) == Profile::default());
    }

    #[test]
    fn files_are_found_through_variables() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets");
        std::fs::write(&file, "[work]\naws_access_key_id = A\naws_secret_access_key = S\naws_session_token = T\n")
            .unwrap();
        let variable = |name: &str| match name {
            "AWS_PROFILE" => Some("work".to_owned()),
            "AWS_SHARED_CREDENTIALS_FILE" => Some(file.display().to_string()),
            _ => None,
        };
        assert_eq!(load(variable).token.as_deref(), Some("T"));
    }
}
