//! `bin/flink`.
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::str::FromStr as _;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use serde_json::{Value, json};
use wiesel_common::config::Configuration;
use wiesel_common::config::options::job::PARALLELISM;
use wiesel_common::config::options::rest;
use wiesel_common::quote::quote;
use wiesel_common::text::suggestion;
use wiesel_expressions::expression::Zone;
use wiesel_sql::session::goes_with_jobs;

use crate::local::{LocalCluster, Printed};
use crate::rest::RestClient;
use crate::target::Target;
use crate::termination;

mod cancel;
mod checkpoint;
mod info;
mod list;
mod operation;
pub(crate) mod options;
mod run;
mod savepoint;
mod script;
mod stop;
mod submission;
mod warnings;

pub(crate) use operation::wait_for_savepoint;
pub(crate) use run::{end_before_start, end_of, lost_sight_of};
pub(crate) use script::problems_where_set;
use warnings::warn_of;
pub(crate) use warnings::warn_of_keys;

/// Runs and controls jobs of a Wiesel cluster.
#[derive(Parser)]
#[command(
    name = "flink",
    version,
    about,
    disable_help_subcommand = true,
    disable_version_flag = true,
    infer_long_args = true
)]
struct Arguments {
    /// Print version.
    #[arg(short = 'v', short_alias = 'V', long = "version", action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Runs a SQL script on the cluster: each INSERT or statement set becomes a job.
    #[command(after_help = options::ONE_DASH)]
    Run(run::Run),
    /// Runs a SQL script on a cluster of its own, which ends with it: with the target `local`.
    #[command(name = "run-application", after_help = options::ONE_DASH)]
    RunApplication(run::Run),
    /// Lists jobs; without options those that run or wait to.
    #[command(after_help = options::ONE_DASH)]
    List(list::List),
    /// Cancels a job.
    #[command(after_help = options::ONE_DASH)]
    Cancel(cancel::Cancel),
    /// Ends a job with a savepoint.
    #[command(after_help = options::ONE_DASH)]
    Stop(stop::Stop),
    /// Takes a savepoint of a job that runs, or disposes of one.
    #[command(after_help = options::ONE_DASH)]
    Savepoint(savepoint::Savepoint),
    /// Takes a checkpoint of a job that runs.
    #[command(after_help = options::ONE_DASH)]
    Checkpoint(checkpoint::Checkpoint),
    /// Shows the plan of a SQL script as JSON, without running it.
    #[command(after_help = options::ONE_DASH)]
    Info(info::Info),
    /// An action that there is not, and what follows it.
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// What every action takes.
#[derive(Args)]
struct Cluster {
    /// A configuration key and its value, over conf/config.yaml.
    #[arg(short = 'D', value_name = "KEY=VALUE", allow_hyphen_values = true)]
    properties: Vec<String>,
    /// The JobManager's REST endpoint; by default `rest.address` and `rest.port`.
    #[arg(short = 'm', long = "jobmanager", value_name = "HOST:PORT")]
    job_manager: Option<String>,
    /// Where jobs run: `remote`, the session cluster of -m or rest.address, or `local`, in one process that ends with this one; by
    /// default `execution.target`.
    #[arg(short = 't', long = "target", value_name = "TARGET", value_parser = Target::from_str)]
    target: Option<Target>,
    /// Its name in earlier versions.
    #[arg(short = 'e', long = "executor", hide = true, value_parser = Target::from_str)]
    executor: Option<Target>,
    /// Where ZooKeeper keeps a cluster's records.
    #[arg(short = 'z', long = "zookeeperNamespace", hide = true, value_parser = options::no_high_availability)]
    zookeeper_namespace: Option<String>,
    /// What only clusters on YARN have, under all its names.
    #[arg(long = "yarndetached", aliases = options::YARN, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = options::no_yarn)]
    yarn: Option<String>,
}

/// What went wrong: printed to standard error, exit status 1.
pub(crate) type Failure = anyhow::Error;

impl Cluster {
    /// The configuration, with a word on what in it is doubtful.
    fn configuration(&self) -> Result<Configuration, Failure> {
        self.told_configuration(false)
    }

    /// The configuration of an action that makes jobs of a script, with a word on what in either is doubtful.
    fn configuration_for(&self, script: &str) -> Result<Configuration, Failure> {
        let configuration = self.told_configuration(true)?;
        warn_of(&script::problems_of_settings(script));
        Ok(configuration)
    }

    fn told_configuration(&self, makes_jobs: bool) -> Result<Configuration, Failure> {
        let given = self.properties()?;
        let configuration = load_configuration(given.clone())?;
        warn_of_keys(&configuration, &given, makes_jobs);
        Ok(configuration)
    }

    fn properties(&self) -> Result<Vec<(String, String)>, Failure> {
        self.properties.iter().map(|property| parse_property(property)).collect()
    }

    /// For a request that makes a job: of the client's configuration what goes with jobs, the `-D` properties among it.
    fn job_properties(&self, configuration: &Configuration) -> Result<serde_json::Map<String, Value>, Failure> {
        let given: BTreeSet<String> = self.properties()?.into_iter().map(|(key, _)| key).collect();
        let taken = configuration.iter().filter(|(key, _)| goes_with_jobs(key, given.contains(*key)));
        Ok(taken.map(|(key, value)| (key.to_owned(), json!(value))).collect())
    }

    /// A request to plan a script that was uploaded: with these properties, in this client's time zone if nothing sets another.
    fn plan_request(properties: serde_json::Map<String, Value>, parallelism: Option<u32>) -> Value {
        json!({
            "flinkConfiguration": properties,
            "parallelism": parallelism,
            "clientTimeZone": Zone::of_process().to_string(),
        })
    }

    /// Where the jobs of a script run. `-m` means a session cluster, whatever is configured.
    fn target(&self, configuration: &Configuration) -> Result<Target, Failure> {
        match self.target.or(self.executor) {
            Some(target) => Ok(target),
            None if self.job_manager.is_some() => Ok(Target::Session),
            None => Target::configured(configuration),
        }
    }

    /// The cluster for a script of this parallelism (`-p`), which this starts if it is a local one.
    fn for_script(&self, configuration: &Configuration, parallelism: Option<u32>) -> Result<ScriptCluster, Failure> {
        match self.target(configuration)? {
            Target::Session => Ok(ScriptCluster { client: self.session_client(configuration)?, _local: None }),
            Target::Local => {
                anyhow::ensure!(
                    self.job_manager.is_none(),
                    "-m names a session cluster, the target `local` starts one of its own: leave one of them out."
                );
                // It has slots for that.
                let parallelism = parallelism.map(|parallelism| format!("{}={parallelism}", PARALLELISM.key()));
                let properties: Vec<String> = self.properties.iter().cloned().chain(parallelism).collect();
                let local = LocalCluster::start(&properties, Printed::ToOutput)?;
                Ok(ScriptCluster { client: local.client(configuration)?, _local: Some(local) })
            }
        }
    }

    /// A client of the session cluster.
    fn client(&self, configuration: &Configuration) -> Result<RestClient, Failure> {
        anyhow::ensure!(
            self.target.or(self.executor) != Some(Target::Local),
            "-t local: there is no such cluster, it ends with the client that starts it. Leave it out to ask the session cluster of -m or \
             rest.address."
        );
        self.session_client(configuration)
    }

    fn session_client(&self, configuration: &Configuration) -> Result<RestClient, Failure> {
        match &self.job_manager {
            None if names_address(&self.properties) => Ok(RestClient::at_configured_address(configuration)?),
            None => Ok(RestClient::from_configuration(configuration)?),
            Some(text) => {
                let (host, port) = endpoint(text)
                    .ok_or_else(|| anyhow::anyhow!("-m {}: HOST:PORT expected, maybe after http://", quote(text)))?;
                Ok(RestClient::new(host, port).patient_by(configuration)?)
            }
        }
    }
}

/// The cluster that a script is given to.
struct ScriptCluster {
    client: RestClient,
    /// One that ends with this.
    _local: Option<LocalCluster>,
}

/// Whether `-D` properties say where REST is: then who leads is not asked.
pub(crate) fn names_address(properties: &[String]) -> bool {
    let keys = [rest::ADDRESS.key(), rest::PORT.key()];
    properties.iter().filter_map(|property| property.split_once('=')).any(|(key, _)| keys.contains(&key.trim()))
}

/// Host and port of `-m`. Flink takes them after `http://`, too.
fn endpoint(text: &str) -> Option<(&str, u16)> {
    const SCHEME: &str = "http://";
    let has_scheme = text.get(..SCHEME.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(SCHEME));
    let authority = if has_scheme { &text[SCHEME.len()..] } else { text };
    let authority = authority.strip_suffix('/').filter(|_| has_scheme).unwrap_or(authority);
    let (host, port) = authority.rsplit_once(':')?;
    let strange = |c: char| matches!(c, '/' | '@' | '?' | '#') || c.is_whitespace() || c.is_control();
    // An address of IPv6 stands in brackets or, as in the configuration, without them: what is behind the last colon is the port.
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_whole = address.parse::<Ipv6Addr>().is_ok() || !host.contains([':', '[', ']']);
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    (!host.is_empty() && !host.contains(strange) && is_whole && digits).then_some(())?;
    Some((host, port.parse().ok()?))
}

/// `key=value` of a `-D` option.
pub(crate) fn parse_property(text: &str) -> Result<(String, String), Failure> {
    let pair = text.split_once('=').filter(|(key, _)| !key.trim().is_empty());
    let (key, value) = pair.ok_or_else(|| anyhow::anyhow!("-D{}: -Dkey=value expected", quote(text)))?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// The installation's configuration (`FLINK_CONF_DIR`) with properties over it.
pub(crate) fn load_configuration(properties: Vec<(String, String)>) -> Result<Configuration, Failure> {
    Ok(wiesel_common::config::from_environment(properties)?)
}

/// Runs the command line; the exit status is 0 only if the action did what was asked.
pub fn main() -> ExitCode {
    let arguments: Arguments = options::parse(options::OF_FLINK);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(act(arguments.action));
    termination::wait_if_ending();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn act(action: Action) -> Result<ExitCode, Failure> {
    match action {
        Action::Run(run) => run.act().await,
        Action::RunApplication(run) => run.act_as_application().await,
        Action::List(list) => list.act().await,
        Action::Cancel(cancel) => cancel.act().await,
        Action::Stop(stop) => stop.act().await,
        Action::Savepoint(savepoint) => savepoint.act().await,
        Action::Checkpoint(checkpoint) => checkpoint.act().await,
        Action::Info(info) => info.act().await,
        Action::Other(words) => other(&words),
    }
}

/// `help`, of all actions or of one. There is no other action.
fn other(words: &[OsString]) -> Result<ExitCode, Failure> {
    let rest = words.strip_prefix(&[OsString::from("help")][..]).ok_or_else(|| no_action(words))?;
    let mut command = Arguments::command();
    command.build();
    let help = match rest.first() {
        None => command.render_help(),
        Some(action) => match command.find_subcommand_mut(action) {
            Some(action) => action.render_help(),
            None => return Err(no_action(rest)),
        },
    };
    print!("{help}");
    Ok(ExitCode::SUCCESS)
}

/// Why an action is refused that there is not.
fn no_action(words: &[OsString]) -> Failure {
    let action = words.first().map(|action| action.to_string_lossy()).unwrap_or_default();
    let command = Arguments::command();
    let actions: Vec<_> = command.get_subcommands().map(|action| action.get_name()).collect();
    let near = suggestion(&action, actions.iter().copied().chain(["help"]));
    let near = if near.is_empty() { "." } else { &near };
    anyhow::anyhow!(
        "\"{}\" is not a valid action{near} Valid ones are {}; see flink --help.",
        quote(&action),
        actions.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_cluster_is() {
        let client = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let client = RestClient::from_configuration(&pairs.collect());
            client.map(|client| client.address()).map_err(|error| error.to_string())
        };
        assert_eq!(client(&[]), Ok("http://localhost:8081".to_owned()));
        let elsewhere = client(&[("jobmanager.rpc.address", "master"), ("rest.port", "80")]);
        assert_eq!(elsewhere, Ok("http://master:80".to_owned()));
        for address in ["::1", "[::1]"] {
            assert_eq!(client(&[("rest.address", address)]), Ok("http://[::1]:8081".to_owned()));
        }
        for (key, value) in [("rest.address", ""), ("rest.address", "http://master"), ("rest.port", "eighty")] {
            let error = client(&[(key, value)]).unwrap_err();
            assert!(error.contains(key) && error.contains("expected"), "{error}");
        }
    }

    #[test]
    fn an_address_that_is_named_is_not_looked_for() {
        let named = |properties: &[&str]| {
            names_address(&properties.iter().map(|property| (*property).to_owned()).collect::<Vec<_>>())
        };
        assert!(named(&["a=b", "rest.address=master"]) && named(&[" rest.port =80"]));
        assert!(!named(&[]) && !named(&["rest.bind-port=80", "a=rest.port"]));
    }

    /// Before: "no JobManager answers at http://http://localhost:8081".
    #[test]
    fn an_endpoint_is_a_host_and_a_port_maybe_after_http() {
        for (text, host) in [
            ("localhost:8081", "localhost"),
            ("http://localhost:8081", "localhost"),
            ("HTTP://10.0.0.1:8081/", "10.0.0.1"),
            ("[::1]:8081", "[::1]"),
            ("::1:8081", "::1"),
            ("http://fe80::1:8081/", "fe80::1"),
        ] {
            assert_eq!(endpoint(text), Some((host, 8081)), "{text}");
        }
        for text in [
            "",
            "localhost",
            ":8081",
            "localhost:",
            "localhost:+1",
            "localhost:80810",
            "https://localhost:8081",
            "http://localhost:8081/jobs",
            "localhost:8081/",
            "http://http://localhost:8081",
            "me@localhost:8081",
            "::1",
            "[::1]",
            "[::1:8081",
            "::1]:8081",
            "[localhost]:8081",
            "a:b:8081",
        ] {
            assert_eq!(endpoint(text), None, "{text}");
            let arguments = [OsString::from("flink"), "list".into(), "-m".into(), text.into()];
            let Action::List(list) =
                Arguments::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}")).action
            else {
                panic!("no list")
            };
            let refused = list.cluster().client(&Configuration::default()).err().map(|error| error.to_string());
            assert!(refused.is_some_and(|error| error.contains("HOST:PORT expected")), "{text}");
        }
    }

    fn parse(arguments: &str) -> Result<Arguments, clap::Error> {
        let arguments = std::iter::once("flink").chain(arguments.split(' ')).map(OsString::from);
        options::try_parse(arguments.collect(), options::OF_FLINK)
    }

    #[test]
    fn options_in_flinks_spelling() {
        Arguments::command().debug_assert();
        for arguments in [
            "run -p 4 -s /sp -n -rm claim x.sql",
            "run -parallelism 4 -fromSavepoint /sp -allowNonRestoredState -cm claim x.sql",
            "run -p4 --detach x.sql",
            "run -d -Dk=v -D a=b -t remote -m host:8081 x.sql",
            "run -sae x.sql",
            "run -t local x.sql",
            "run-application -target local -Da=b x.sql",
            "list -all",
            "list -r -scheduled",
            "cancel -withSavepoint /d fd72014d4c864993a2e5a9287b4a9c5d",
            "stop -drain -type native -savepointPath /d fd72014d4c864993a2e5a9287b4a9c5d",
            "checkpoint -full fd72014d4c864993a2e5a9287b4a9c5d",
        ] {
            let failed = parse(arguments).err().map(|error| error.to_string());
            assert_eq!(failed, None, "{arguments}");
        }
    }

    #[test]
    fn what_is_not_supported_says_so() {
        for (arguments, words) in [
            ("run -c Main x.sql", "no Java"),
            ("run -classpath file:/x x.sql", "no Java"),
            ("run -py a.py", "no Python"),
            ("run -t yarn-session x.sql", "no YARN client"),
            ("run -t kubernetes-application x.sql", "`remote`"),
            ("run-application -t yarn-application x.sql", "standalone-job.sh"),
            ("list -z /flink", "no high availability"),
            ("run -yd x.sql", "no YARN"),
            ("run -yd", "no YARN"),
            ("list -yid application_1", "no YARN"),
            ("savepoint -d /sp -j x.jar", "no Java"),
        ] {
            let error = parse(arguments).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("not supported") && error.contains(words), "{arguments}: {error}");
        }
    }

    /// Before, both were an unrecognized subcommand, with a status of its own.
    #[test]
    fn actions_that_there_are_not_are_refused_in_words() {
        for (arguments, words) in [
            ("savepiont -type native", "\"savepiont\" is not a valid action; did you mean 'savepoint'? Valid ones"),
            ("lst", "\"lst\" is not a valid action; did you mean 'list'?"),
            ("hlep", "did you mean 'help'?"),
            (
                "modify",
                "\"modify\" is not a valid action. Valid ones are run, run-application, list, cancel, stop, savepoint, checkpoint, info",
            ),
        ] {
            let Action::Other(given) = parse(arguments).unwrap_or_else(|error| panic!("{error}")).action else {
                panic!("{arguments} is an action")
            };
            let error = other(&given).unwrap_err().to_string();
            assert!(error.contains(words), "{arguments}: {error}");
        }
        // Before, it was none either.
        for arguments in ["help", "help run"] {
            let Ok(Arguments { action: Action::Other(given), .. }) = parse(arguments) else { panic!("{arguments}") };
            assert!(other(&given).is_ok(), "{arguments}");
        }
        let nothing = other(&["help".into(), "lst".into()]).unwrap_err().to_string();
        assert!(nothing.contains("did you mean 'list'?"), "{nothing}");
    }

    /// Before: "invalid digit found in string", `--yarndetached [<YARN>]` of `-yD`, an option that asked for a value of "", and the
    /// advice to write `-- --foo`, which was refused as well.
    #[test]
    fn what_is_wrong_is_said_in_the_words_of_the_user() {
        let refused = |arguments: &str| parse(arguments).err().map(|error| error.to_string()).unwrap_or_default();
        for (arguments, words) in [
            ("run -p x x.sql", "'x' for '--parallelism <N>': a parallelism is a number from 1 to 32768"),
            ("info -p 32769 x.sql", "a number from 1 to 32768"),
            ("run -yD x x.sql", "for '-yD': not supported"),
            ("run -yarndetached x.sql", "for '-yarndetached': not supported"),
            ("run --yid=1 x.sql", "for '--yid': not supported"),
            ("run -pyfs a x.sql", "for '-pyfs': not supported"),
            ("run -s sp -rm x x.sql", "for '-rm': expected claim"),
            ("run ", "the script's name is empty"),
            ("info ", "the script's name is empty"),
            ("run --foo x.sql", "unexpected argument '--foo'"),
        ] {
            let said = refused(arguments);
            assert!(said.contains(words) && !said.contains("as a value"), "{arguments}: {said}");
        }
    }

    /// A help wherever its lines break.
    fn words_of(help: clap::builder::StyledStr) -> String {
        help.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Before, it showed two dashes and did not say that one is enough; of `-cm` it said nothing.
    #[test]
    fn help_has_the_spellings_that_are_taken() {
        for action in Arguments::command().get_subcommands() {
            let help = words_of(action.clone().render_help());
            assert!(help.contains(options::ONE_DASH), "{help}");
            for option in action.get_arguments().filter(|option| !option.is_hide_set()) {
                let aliases = option.get_visible_aliases().unwrap_or_default();
                for name in option.get_long().into_iter().chain(aliases) {
                    assert!(help.contains(&format!("--{name}")), "{name}: {help}");
                    assert!(options::OF_FLINK.contains(&name), "-{name} is not taken");
                }
            }
        }
        let mut command = Arguments::command();
        let help = words_of(command.find_subcommand_mut("run").unwrap().render_help());
        assert!(help.contains("--sae") && help.contains("--cm") && help.contains("-d, --detached"), "{help}");
    }

    /// "unexpected argument '-2' found".
    #[test]
    fn a_parallelism_below_one_is_said_to_be_one() {
        let error = parse("run -p -20 x.sql").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("'-20'") && error.contains("from 1 to 32768"), "{error}");
    }

    /// As with Flink, `-m` is stronger than what is configured.
    #[test]
    fn a_target_of_the_command_line_is_stronger_than_a_configured_one() {
        let local = configuration(&[("execution.target", "local")]);
        let target = |arguments: &str, configuration: &Configuration| {
            let Action::Run(run) = parse(arguments).unwrap_or_else(|error| panic!("{error}")).action else {
                panic!("no run")
            };
            run.cluster().target(configuration).unwrap()
        };
        assert_eq!(target("run x.sql", &local), Target::Local);
        assert_eq!(target("run -t remote x.sql", &local), Target::Session);
        assert_eq!(target("run -m host:8081 x.sql", &local), Target::Session);
        assert_eq!(target("run x.sql", &Configuration::default()), Target::Session);
        assert_eq!(target("run -e local x.sql", &Configuration::default()), Target::Local);
    }

    fn configuration(pairs: &[(&str, &str)]) -> Configuration {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// Before, only the properties of `-D` went along: a job ran without the checkpoints of the client's configuration.
    #[test]
    fn jobs_take_along_what_the_client_is_configured_with() {
        let Action::Run(run) = parse("run -Djobmanager.execution.failover-strategy=full x.sql").unwrap().action else {
            panic!("no run")
        };
        let properties = run.cluster().job_properties(&configuration(&[
            ("execution.checkpointing.interval", "1 s"),
            ("jobmanager.execution.failover-strategy", "full"),
            ("jobmanager.rpc.address", "master"),
            ("parallelism.default", "2"),
            ("s3.access-key", "me"),
            ("security.internal.secret", "hidden"),
        ]));
        let expected = json!({
            "execution.checkpointing.interval": "1 s",
            "jobmanager.execution.failover-strategy": "full",
            "parallelism.default": "2",
        });
        assert_eq!(Value::Object(properties.unwrap()), expected);
    }

    /// Before, the JobManager planned it in its own.
    #[test]
    fn a_script_is_uploaded_with_the_time_zone_of_its_client() {
        let request = Cluster::plan_request(serde_json::Map::new(), Some(2));
        assert_eq!(request["parallelism"], 2);
        assert_eq!(Zone::parse(request["clientTimeZone"].as_str().unwrap()), Ok(Zone::of_process()));
    }
}
