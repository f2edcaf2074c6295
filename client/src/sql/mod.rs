//! `bin/sql-client.sh`.
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use wiesel_sql::on_deep_stack;

use crate::cli::{Failure, load_configuration, parse_property};
use crate::rest::RestClient;

mod executor;
mod fetch;
mod fold;
mod format;
mod prompt;
mod rescale;
mod script;
mod view;

/// Runs Flink SQL on a Wiesel cluster, interactively or from a file.
#[derive(Parser)]
#[command(name = "sql-client", version, about)]
struct Arguments {
    /// Statements are planned in this process and submitted to the cluster's REST endpoint.
    #[arg(value_enum, default_value = "embedded", hide_default_value = true)]
    mode: Mode,
    /// Runs the statements of a file and ends; exit status 1 if one fails.
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
    /// With --file: print one JSON line for each SELECT, its final rows as text: {"query": n, "columns": …, "rows": …}
    /// or {"query": n, "error": …}.
    #[arg(long, requires = "file")]
    fold_json: bool,
    /// For tests, with --fold-json: each job is stopped with a savepoint soon after it runs and goes on at this parallelism.
    #[arg(long, value_name = "N", requires = "fold_json", hide = true)]
    rescale_to: Option<u32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// The only mode there is.
    Embedded,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    on_deep_stack(|| run(arguments)).unwrap_or_else(|error| {
        eprintln!("cannot start: {error}");
        ExitCode::FAILURE
    })
}

fn run(arguments: Arguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(act(arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn act(arguments: Arguments) -> Result<bool, Failure> {
    let Mode::Embedded = arguments.mode;
    let properties = arguments.properties.iter().map(|property| parse_property(property)).collect::<Result<_, _>>()?;
    let configuration = load_configuration(properties)?;
    let client = RestClient::from_configuration(&configuration).map_err(Failure::msg)?;
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display()))
    };
    let init = arguments.init.as_ref().map(read).transpose()?;
    let file = arguments.file.as_ref().map(read).transpose()?;
    if arguments.fold_json {
        let text = [init, file].into_iter().flatten().collect::<Vec<_>>().join("\n;\n");
        return fold::run(client, configuration, &text, arguments.rescale_to).await;
    }
    let mut executor = executor::Executor::new(client, configuration);
    if let Some(init) = init
        && !script::run(&mut executor, &init).await?
    {
        return Ok(false);
    }
    match file {
        Some(file) => script::run(&mut executor, &file).await,
        None if std::io::stdin().is_terminal() => prompt::run(&mut executor, arguments.history).await,
        None => script::run(&mut executor, &std::io::read_to_string(std::io::stdin())?).await,
    }
}
