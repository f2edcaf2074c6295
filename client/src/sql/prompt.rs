//! The interactive prompt: several lines a statement, history, completion.
use std::path::{Path, PathBuf};

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::signal::unix::{SignalKind, signal};
use wiesel_sql::parser;

use super::completion::SqlHelper;
use super::executor::Executor;
use super::help::HELP;
use super::script::{error_text, is_quit};
use crate::cli::Failure;

/// Reads and runs statements until the end. True: it ended as it should.
pub(super) async fn run(executor: &mut Executor, history: Option<PathBuf>) -> Result<bool, Failure> {
    executor.interactive = true;
    let history =
        history.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".flink-sql-history")));
    let mut editor: Editor<SqlHelper, DefaultHistory> =
        Editor::with_config(Config::builder().auto_add_history(true).completion_type(CompletionType::List).build())?;
    // From here on Ctrl-C between two prompts ends what runs, never this process. The editor has a handler of its own, which
    // this one must not be replaced by.
    let _interrupts = signal(SignalKind::interrupt())?;
    if let Some(history) = &history {
        println!("Command history file path: {}", history.display());
        if history.exists()
            && let Err(error) = editor.load_history(history)
        {
            eprintln!("cannot read the history {}: {error}", history.display());
        }
    }
    println!("Wiesel SQL client. HELP; lists commands, QUIT; leaves.\n");
    loop {
        editor.set_helper(Some(SqlHelper::new(executor.session().catalog())));
        match editor.readline("Flink SQL> ") {
            Ok(input) => {
                keep_history(&mut editor, history.as_deref());
                if !run_input(executor, &input).await {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Adds what was entered to the history's file at once: another session or a crash must not lose it.
fn keep_history(editor: &mut Editor<SqlHelper, DefaultHistory>, history: Option<&Path>) {
    if let Some(history) = history
        && let Err(error) = editor.append_history(history)
    {
        eprintln!("cannot keep the history in {}: {error}", history.display());
    }
}

/// False: the user leaves.
async fn run_input(executor: &mut Executor, input: &str) -> bool {
    for statement in parser::split(input) {
        match statement.text.trim().to_uppercase().as_str() {
            "HELP" => println!("{HELP}"),
            "CLEAR" => print!("\x1b[2J\x1b[H"),
            text if is_quit(text) => return false,
            _ => {
                if let Err(error) = executor.execute(&statement).await {
                    println!("{}", error_text(&error));
                }
            }
        }
        println!();
    }
    true
}
