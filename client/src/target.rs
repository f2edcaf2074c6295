//! Where jobs run: `execution.target`, `-t`.
use std::str::FromStr;

use wiesel_common::config::Configuration;
use wiesel_common::config::options::client::TARGET;
use wiesel_common::quote::quote;

use crate::cli::Failure;

/// What Flink says of clusters for one job.
const PER_JOB: &str =
    "Job Clusters are deprecated since Flink 1.15. Please use an Application Cluster/Application Mode instead.";

/// A target that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The session cluster of `rest.address`.
    Session,
    /// A cluster in one process, which ends with its client.
    Local,
}

impl Target {
    /// The one that a configuration names.
    ///
    /// # Errors
    /// It names one that there is not.
    pub fn configured(configuration: &Configuration) -> Result<Self, Failure> {
        let name = configuration.get(&TARGET)?;
        name.parse().map_err(|why: String| anyhow::anyhow!("{} = {}: {why}", TARGET.key(), quote(&name)))
    }

    /// That it is one of a cluster of the application's own.
    ///
    /// # Errors
    /// It is a session cluster.
    pub fn for_application(self) -> Result<(), Failure> {
        anyhow::ensure!(
            self == Self::Local,
            "run-application needs a target (-t) of a cluster that ends with the application, of which `local` is here: in one process with \
             this client. bin/standalone-job.sh starts a cluster of processes for one script, and `flink run` submits to a session \
             cluster, which is `remote`."
        );
        Ok(())
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let name = name.trim().to_ascii_lowercase();
        // It is another name for the application mode of the same resource provider.
        let deprecated = if name.ends_with("-per-job") { format!("{PER_JOB} ") } else { String::new() };
        let missing = match name.as_str() {
            "remote" | "session" => return Ok(Self::Session),
            "local" => return Ok(Self::Local),
            yarn if yarn.starts_with("yarn-") => "there is no YARN client",
            kubernetes if kubernetes.starts_with("kubernetes-") => "there is no Kubernetes client",
            _ => "there is no such target",
        };
        Err(format!(
            "{deprecated}not supported: {missing}. Jobs run on the session cluster of -m or rest.address, which is `remote`, or in one process with \
             `local`; bin/standalone-job.sh starts the cluster of one application"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_that_there_are_not_are_refused_by_name() {
        for (name, target) in [("remote", Target::Session), ("Session", Target::Session), ("local", Target::Local)] {
            assert_eq!(name.parse(), Ok(target));
        }
        for (name, words) in [
            ("yarn-application", "no YARN client"),
            ("yarn-per-job", "no YARN client"),
            ("kubernetes-application", "no Kubernetes client"),
            ("kubernetes-session", "no Kubernetes client"),
            ("lokal", "no such target"),
        ] {
            let refused = name.parse::<Target>().unwrap_err();
            assert!(refused.contains(words) && refused.contains("`local`"), "{refused}");
        }
        let deprecated = "yarn-per-job".parse::<Target>().unwrap_err();
        assert!(
            deprecated.starts_with("Job Clusters are deprecated since Flink 1.15. Please use an Application"),
            "{deprecated}"
        );
        let configuration = |name: &str| [(TARGET.key().to_owned(), name.to_owned())].into_iter().collect();
        assert_eq!(Target::configured(&Configuration::default()).unwrap(), Target::Session);
        assert_eq!(Target::configured(&configuration("local")).unwrap(), Target::Local);
        let refused = Target::configured(&configuration("yarn-application")).unwrap_err().to_string();
        assert!(refused.starts_with("execution.target = yarn-application: not supported: "), "{refused}");
    }

    #[test]
    fn an_application_has_a_cluster_of_its_own() {
        assert!(Target::Local.for_application().is_ok());
        let refused = Target::Session.for_application().unwrap_err().to_string();
        assert!(refused.contains("`local` is here") && refused.contains("standalone-job.sh"), "{refused}");
    }
}
