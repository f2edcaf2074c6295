//! `bin/sql-client.sh`.
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use wiesel_common::quote::quote;
use wiesel_sql::on_deep_stack;

use crate::cli::{Failure, load_configuration, names_address, options, parse_property, warn_of_keys};
use crate::local::{LocalCluster, Printed, tell_what_ends, wait_for_jobs};
use crate::rest::RestClient;
use crate::target::Target;
use crate::{input, terminal, termination};

mod completion;
mod executor;
mod fetch;
mod fold;
mod format;
mod grid;
mod help;
mod history;
mod interrupts;
mod keyboard;
mod prompt;
mod rescale;
mod script;
mod settings;
mod tableau;
mod view;

/// Runs Flink SQL on a Wiesel cluster, interactively or from a file.
#[derive(Parser)]
#[command(
    name = "sql-client",
    version,
    about,
    disable_version_flag = true,
    infer_long_args = true,
    after_help = ONE_DASH
)]
struct Arguments {
    /// Print version.
    #[arg(short = 'v', short_alias = 'V', long = "version", action = clap::ArgAction::Version)]
    version: Option<bool>,
    /// `embedded`: statements are planned in this process and submitted to the cluster's REST endpoint, or to a cluster of this
    /// session's own, as `execution.target` says. `local`: to the latter, which ends with the session.
    #[arg(default_value = "embedded", hide_default_value = true, value_parser = mode)]
    mode: Mode,
    /// Runs the statements of a file, instead of those of standard input, and ends: at the first that fails, with exit status 1.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Runs the statements of a file first.
    #[arg(short, long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// A configuration key and its value, over conf/config.yaml.
    #[arg(short = 'D', value_name = "KEY=VALUE", allow_hyphen_values = true)]
    properties: Vec<String>,
    /// Where the prompt keeps its history.
    #[arg(long = "history", visible_alias = "hist", value_name = "FILE")]
    history: Option<PathBuf>,
    /// A name for the session, which has none here.
    #[arg(short = 's', long = "session", hide = true)]
    session: Option<String>,
    /// What only a Java virtual machine can load.
    #[arg(short = 'j', long = "jar", hide = true, value_parser = options::no_java)]
    jar: Option<String>,
    /// The same.
    #[arg(short = 'l', long = "library", hide = true, value_parser = options::no_java)]
    library: Option<String>,
    /// What only Python can run, under all its names.
    #[arg(long = "python", aliases = options::PYTHON, hide = true, value_parser = options::no_python)]
    python: Option<String>,
    /// The address of a SQL gateway.
    #[arg(short = 'e', long = "endpoint", hide = true, value_parser = no_gateway)]
    endpoint: Option<String>,
    /// One statement, in earlier versions.
    #[arg(short = 'u', long = "update", hide = true, value_parser = no_update)]
    update: Option<String>,
    /// With --file: print one JSON line for each SELECT, its final rows as text: {"query": n, "columns": …, "rows": …}
    /// or {"query": n, "error": …}.
    #[arg(long, requires = "file")]
    fold_json: bool,
    /// For tests, with --fold-json: each job is stopped with a savepoint soon after it runs and goes on at this parallelism.
    #[arg(long, value_name = "N", requires = "fold_json", hide = true)]
    rescale_to: Option<u32>,
}

/// At the end of the help.
const ONE_DASH: &str = "Flink's options are taken after one dash, too, as Flink spells them: -file, -hist, -history, -init, -help, -version.";

const NO_GATEWAY: &str = "not supported yet: there is no SQL gateway; statements go to the JobManager of rest.address";

fn no_gateway(_: &str) -> Result<String, String> {
    Err(NO_GATEWAY.to_owned())
}

fn no_update(_: &str) -> Result<String, String> {
    Err("no longer supported: put the statement into a file for -f".to_owned())
}

#[derive(Clone, Copy)]
enum Mode {
    Embedded,
    Local,
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "embedded" => Ok(Mode::Embedded),
        "local" => Ok(Mode::Local),
        "gateway" => Err(NO_GATEWAY.to_owned()),
        _ => Err("expected embedded or local; -f names a file of statements".to_owned()),
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments: Arguments = options::parse(options::OF_SQL_CLIENT);
    on_deep_stack(|| run(arguments)).unwrap_or_else(|error| {
        eprintln!("cannot start: {error}");
        ExitCode::FAILURE
    })
}

fn run(arguments: Arguments) -> ExitCode {
    terminal::remember();
    if let Err(error) = termination::watch() {
        eprintln!("cannot start: no signal can be taken: {error}");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(act(arguments));
    termination::wait_if_ending();
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn act(arguments: Arguments) -> Result<bool, Failure> {
    if let Some(name) = &arguments.session {
        eprintln!("[INFO] -s {}: sessions have no names here, the option has no effect.", quote(name));
    }
    let properties = arguments.properties.iter().map(|property| parse_property(property));
    let given = properties.collect::<Result<Vec<_>, _>>()?;
    let configuration = load_configuration(given.clone())?;
    warn_of_keys(&configuration, &given, true);
    let target = match arguments.mode {
        Mode::Local => Target::Local,
        Mode::Embedded => Target::configured(&configuration)?,
    };
    let read = |path: &PathBuf| input::script(path, &input::RUN_HERE);
    let init = arguments.init.as_ref().map(read).transpose()?;
    let file = arguments.file.as_ref().map(read).transpose()?;
    let at_prompt = file.is_none() && !arguments.fold_json && std::io::stdin().is_terminal();
    let printed = if at_prompt || arguments.fold_json { Printed::ToFile } else { Printed::ToOutput };
    let local = (target == Target::Local).then(|| LocalCluster::start(&arguments.properties, printed)).transpose()?;
    if let Some(local) = local.as_ref().filter(|_| at_prompt) {
        println!("[INFO] What jobs print is in {}.", quote(&local.out_file().to_string_lossy()));
    }
    let client = match &local {
        Some(local) => local.client(&configuration)?,
        None if names_address(&arguments.properties) => RestClient::at_configured_address(&configuration)?,
        None => RestClient::from_configuration(&configuration)?,
    };
    if arguments.fold_json {
        let text = [init, file].into_iter().flatten().collect::<Vec<_>>().join("\n;\n");
        let succeeded = fold::run(client.clone(), configuration, &text, arguments.rescale_to).await?;
        return end_session(&client, local.as_ref(), succeeded, true).await;
    }
    let mut executor = executor::Executor::new(client.clone(), configuration);
    if let Some(init) = init
        && !script::run(&mut executor, &init).await?
    {
        return end_session(&client, local.as_ref(), false, true).await;
    }
    let (succeeded, is_script) = match file {
        Some(file) => (script::run(&mut executor, &file).await?, true),
        None if at_prompt => (prompt::run(&mut executor, arguments.history).await?, false),
        None => (script::run(&mut executor, &input::script_of_stdin()?).await?, true),
    };
    end_session(&client, local.as_ref(), succeeded, is_script).await
}

/// Ends a session. A script waits for its jobs where they would end with it; of those that end with a prompt, or with a script that
/// failed, it is said. True: all succeeded.
async fn end_session(
    client: &RestClient,
    local: Option<&LocalCluster>,
    succeeded: bool,
    is_script: bool,
) -> Result<bool, Failure> {
    if local.is_none() {
        return Ok(succeeded);
    }
    if succeeded && is_script {
        return wait_for_jobs(client).await;
    }
    tell_what_ends(client).await?;
    Ok(succeeded)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::CommandFactory as _;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        let arguments = std::iter::once("sql-client").chain(arguments.iter().copied()).map(OsString::from);
        options::try_parse(arguments.collect(), options::OF_SQL_CLIENT)
    }

    /// Before, `-hist` was `-h` with something after it: help was printed, nothing run, and the exit status was 0.
    #[test]
    fn options_in_flinks_spelling() {
        Arguments::command().debug_assert();
        for history in ["-hist", "--hist", "-history", "--history"] {
            let arguments = parse(&[history, "F", "-f", "x.sql", "-init", "y.sql", "-s", "default", "-Da=b"]).unwrap();
            assert_eq!(arguments.history, Some("F".into()), "{history}");
            assert_eq!((arguments.file, arguments.init), (Some("x.sql".into()), Some("y.sql".into())));
            assert_eq!(arguments.properties, ["a=b"]);
        }
    }

    /// Before, `-v` was an unexpected argument, and the advice was `-- -v`, which was refused as well.
    #[test]
    fn the_version_and_unknown_options() {
        for version in ["-v", "-V", "-version", "--version"] {
            let said = parse(&[version]).err().unwrap();
            assert_eq!(said.kind(), clap::error::ErrorKind::DisplayVersion, "{version}");
        }
        let said = parse(&["--foo"]).err().unwrap().to_string();
        assert!(said.contains("unexpected argument '--foo'") && !said.contains("as a value"), "{said}");
    }

    #[test]
    fn what_is_not_supported_says_so() {
        for (option, words) in [
            ("-j", "no Java"),
            ("--jar", "no Java"),
            ("-library", "no Java"),
            ("-pyfs", "no Python"),
            ("-e", "no SQL gateway"),
            ("-update", "a file for -f"),
        ] {
            let error = parse(&[option, "x"]).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("supported") && error.contains(words), "{option}: {error}");
        }
        // Before, it was an invalid value, of which `embedded` was the only possible one.
        let error = parse(&["gateway", "-f", "x.sql"]).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("no SQL gateway"), "{error}");
        assert!(parse(&["embedded", "-f", "x.sql"]).is_ok() && parse(&["local", "-f", "x.sql"]).is_ok());
        assert!(parse(&["x.sql"]).err().is_some_and(|error| error.to_string().contains("-f names a file")));
    }

    /// Before, it showed two dashes and did not say that one is enough.
    #[test]
    fn help_has_the_spellings_that_are_taken() {
        let help = Arguments::command().render_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for name in ["file", "hist", "history", "init", "help", "version"] {
            assert!(help.contains(&format!("--{name}")) && ONE_DASH.contains(&format!("-{name}")), "{name}: {help}");
            assert!(options::OF_SQL_CLIENT.contains(&name), "-{name} is not taken");
        }
        assert!(help.contains(ONE_DASH), "{help}");
    }
}
