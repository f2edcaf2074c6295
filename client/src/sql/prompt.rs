//! The interactive prompt: several lines a statement, history, completion.
use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::signal::unix::{SignalKind, signal};
use wiesel_sql::parser;

use super::completion::SqlHelper;
use super::executor::Executor;
use super::help::HELP;
use super::history::{self, HistoryFile};
use super::keyboard::Keyboard;
use super::script::{error_text, is_quit};
use crate::cli::Failure;

/// Reads and runs statements until the end. True: it ended as it should.
pub(super) async fn run(executor: &mut Executor, history: Option<PathBuf>) -> Result<bool, Failure> {
    executor.interactive = true;
    let history =
        history.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".flink-sql-history")));
    let history = history.map(HistoryFile::new);
    let config = Config::builder().max_history_size(history::ENTRIES)?.completion_type(CompletionType::List).build();
    let mut editor: Editor<SqlHelper, MemHistory> =
        Editor::with_history(config.clone(), MemHistory::with_config(&config))?;
    // From here on Ctrl-C between two prompts ends what runs, never this process. The editor has a handler of its own, which
    // this one must not be replaced by.
    let _interrupts = signal(SignalKind::interrupt())?;
    if let Some(history) = &history {
        println!("Command history file path: {}", history.path().display());
        match history.load() {
            Ok(statements) => {
                for statement in statements {
                    editor.add_history_entry(statement)?;
                }
            }
            Err(error) => eprintln!("cannot read the history {}: {error}", history.path().display()),
        }
    }
    println!("Wiesel SQL client. HELP; lists commands, QUIT; leaves.\n");
    let keyboard = Keyboard::open();
    loop {
        let goes_on = keyboard.as_ref().map(Keyboard::goes_on);
        editor.set_helper(Some(SqlHelper::new(executor.session().catalog(), goes_on)));
        match read(&mut editor, keyboard.as_ref(), &std::mem::take(&mut executor.typed_ahead)) {
            Ok(input) => {
                keep(&mut editor, history.as_ref(), input.trim())?;
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

/// Reads a statement, which begins with what was typed before the prompt was shown.
fn read(
    editor: &mut Editor<SqlHelper, MemHistory>,
    keyboard: Option<&Keyboard>,
    typed_ahead: &str,
) -> rustyline::Result<String> {
    const PROMPT: &str = "Flink SQL> ";
    let Some(keyboard) = keyboard else { return editor.readline_with_initial(PROMPT, (typed_ahead, "")) };
    keyboard.type_ahead(typed_ahead);
    let _prompt = keyboard.prompt()?;
    editor.readline(PROMPT)
}

/// Remembers what was entered, unless it is what was entered before.
fn keep(
    editor: &mut Editor<SqlHelper, MemHistory>,
    history: Option<&HistoryFile>,
    input: &str,
) -> rustyline::Result<()> {
    if !input.is_empty()
        && editor.add_history_entry(input)?
        && let Some(history) = history
        && let Err(error) = history.append(input)
    {
        eprintln!("cannot keep the history in {}: {error}", history.path().display());
    }
    Ok(())
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
