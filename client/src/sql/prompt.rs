//! The interactive prompt: several lines a statement, history, completion.
use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::signal::unix::{SignalKind, signal};
use wiesel_common::quote::quote;
use wiesel_sql::ast::{Insert, LocatedStatement, Statement};
use wiesel_sql::parser::{self, SetMark, StatementText};

use super::completion::SqlHelper;
use super::executor::Executor;
use super::help::HELP;
use super::history::{self, HistoryFile};
use super::keyboard::Keyboard;
use super::script::{Own, error_text, own};
use crate::cli::Failure;
use crate::output;

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
        println!("Command history file path: {}", quote(&history.path().to_string_lossy()));
        match history.load() {
            Ok(statements) => {
                for statement in statements {
                    editor.add_history_entry(statement)?;
                }
            }
            Err(error) => eprintln!("cannot read the history {}: {error}", quote(&history.path().to_string_lossy())),
        }
    }
    println!("Wiesel SQL client. HELP; lists commands, QUIT; leaves.\n");
    let keyboard = Keyboard::open();
    let mut set = None;
    loop {
        let goes_on = keyboard.as_ref().map(Keyboard::goes_on);
        editor.set_helper(Some(SqlHelper::new(executor.session().catalog(), goes_on)));
        match read(&mut editor, keyboard.as_ref(), &std::mem::take(&mut executor.typed_ahead)) {
            Ok(input) => {
                keep(&mut editor, history.as_ref(), input.trim())?;
                if !run_input(executor, &mut set, &input).await {
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
        eprintln!("cannot keep the history in {}: {error}", quote(&history.path().to_string_lossy()));
    }
    Ok(())
}

/// Runs the statements of an input. False: the user leaves.
async fn run_input(executor: &mut Executor, set: &mut Option<Vec<Insert>>, input: &str) -> bool {
    for statement in parser::split_input(input) {
        match own(&statement.text) {
            Some(Own::Help) => println!("{HELP}"),
            Some(Own::Clear) => output::steer("\x1b[2J\x1b[H"),
            Some(Own::Quit) => return false,
            None => {
                if let Err(error) = run_statement(executor, set, &statement).await {
                    println!("{}", error_text(&error));
                }
            }
        }
        println!();
    }
    true
}

/// Runs a statement, or puts it into the set that has begun. What cannot be part of that is refused and leaves it as it is.
async fn run_statement(
    executor: &mut Executor,
    set: &mut Option<Vec<Insert>>,
    text: &StatementText,
) -> Result<(), Failure> {
    match (parser::set_mark(text), set.as_mut()) {
        (Some(SetMark::Begin), None) => tell_members(set.insert(Vec::new())),
        (Some(SetMark::Begin), Some(inserts)) => {
            anyhow::bail!("A statement set of {} has begun already: END; runs it.", inserts.len());
        }
        (None, Some(inserts)) => {
            inserts.push(executor.insert_of_set(text)?);
            tell_members(inserts);
        }
        (Some(SetMark::End), Some(inserts)) => {
            let inserts = std::mem::take(inserts);
            *set = None;
            if inserts.is_empty() {
                println!("[INFO] The statement set is empty, nothing was run.");
                return Ok(());
            }
            let statement = Statement::StatementSet(inserts);
            let (location, text) = (text.location, text.text.clone());
            executor.run(&LocatedStatement { statement, location, text }).await?;
        }
        (_, None) => executor.execute(text).await?,
    }
    Ok(())
}

fn tell_members(inserts: &[Insert]) {
    println!("[INFO] Statement set of {} so far: INSERT ...; adds one, END; runs it.", inserts.len());
}
