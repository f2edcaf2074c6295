//! The interactive prompt: several lines a statement, history, completion.
use std::path::{Path, PathBuf};

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter};
use tokio::signal::unix::{SignalKind, signal};
use wiesel_sql::parser;

use super::executor::Executor;
use super::script::{error_text, is_quit};
use crate::cli::Failure;

const HELP: &str = "\
Statements end with `;` and may span lines.
HELP       this text
QUIT       leave (also EXIT, \\q, Ctrl-D)
CLEAR      clear the screen
SET        show the session's configuration; SET 'key' = 'value'; changes it, RESET 'key'; undoes that
Ctrl-C     cancel the running query, or the line being typed
sql-client.execution.result-mode   table (default), changelog or tableau
Everything else is Flink SQL: CREATE TABLE, INSERT INTO, SELECT, EXPLAIN, SHOW TABLES, ...";

const KEYWORDS: &[&str] = &[
    "AND",
    "AS",
    "BEGIN",
    "BETWEEN",
    "BIGINT",
    "BOOLEAN",
    "BY",
    "CASE",
    "CAST",
    "CLEAR",
    "COUNT",
    "CREATE",
    "CURRENT",
    "DECIMAL",
    "DESCRIBE",
    "DESCRIPTOR",
    "DISTINCT",
    "DOUBLE",
    "DRAIN",
    "DROP",
    "ELSE",
    "END",
    "ENFORCED",
    "EXECUTE",
    "EXISTS",
    "EXPLAIN",
    "FILTER",
    "FROM",
    "FUNCTIONS",
    "GROUP",
    "HAVING",
    "HELP",
    "INSERT",
    "INTERVAL",
    "INTO",
    "JOB",
    "JOBS",
    "KEY",
    "LIKE",
    "NOT",
    "NULL",
    "PARTITIONED",
    "PRIMARY",
    "QUIT",
    "RESET",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "SHOW",
    "STATEMENT",
    "STOP",
    "STRING",
    "TABLE",
    "TABLES",
    "TEMPORARY",
    "THEN",
    "TIMESTAMP",
    "TUMBLE",
    "UNION",
    "VALUES",
    "VIEW",
    "VIEWS",
    "WATERMARK",
    "WHEN",
    "WHERE",
    "WITH",
];

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
        editor.set_helper(Some(SqlHelper { names: names(executor) }));
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

/// What completion offers: keywords, then tables, views and their columns.
fn names(executor: &Executor) -> Vec<String> {
    let keywords = KEYWORDS.iter().map(|keyword| (*keyword).to_owned());
    keywords.chain(executor.session().catalog().object_names()).collect()
}

/// Whether Enter runs what was typed: nothing, a word of the client's own, or statements up to a semicolon.
fn is_whole(input: &str) -> bool {
    let word = input.trim();
    word.is_empty()
        || is_quit(word)
        || ["HELP", "CLEAR"].iter().any(|own| word.eq_ignore_ascii_case(own))
        || parser::is_complete(input)
}

#[derive(Helper, Hinter, Highlighter)]
struct SqlHelper {
    names: Vec<String>,
}

impl Completer for SqlHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let start = line[..position]
            .rfind(|c| !is_part(c))
            .map_or(0, |i| i + line[i..].chars().next().map_or(1, char::len_utf8));
        let word = &line[start..position];
        if word.is_empty() {
            return Ok((start, Vec::new()));
        }
        let matches = self.names.iter().filter(|name| name.len() >= word.len() && name.is_char_boundary(word.len()));
        let matches = matches.filter(|name| name[..word.len()].eq_ignore_ascii_case(word));
        Ok((start, matches.map(|name| Pair { display: name.clone(), replacement: name.clone() }).collect()))
    }
}

impl Validator for SqlHelper {
    /// Enter continues a statement until it ends with a semicolon outside quotes and comments.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        Ok(if is_whole(input) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

#[cfg(test)]
mod tests {
    use rustyline::history::{History as _, MemHistory};

    use super::*;

    #[test]
    fn enter_runs_whole_statements_and_the_clients_own_words() {
        for whole in ["", "SELECT 1;", "quit", "QUIT;", "exit", "\\q", "help", " clear ", "SELECT ';';"] {
            assert!(is_whole(whole), "{whole}");
        }
        for part in ["SELECT 1", "SELECT 'a;", "quit SELECT", "SELECT 1 -- ;"] {
            assert!(!is_whole(part), "{part}");
        }
    }

    #[test]
    fn words_are_completed_in_any_case() {
        let helper = SqlHelper { names: ["SELECT", "SET", "flights", "größe"].map(str::to_owned).to_vec() };
        let history = MemHistory::new();
        assert_eq!(history.len(), 0);
        let complete = |line: &str| {
            let (start, pairs) = helper.complete(line, line.len(), &Context::new(&history)).unwrap();
            (start, pairs.into_iter().map(|pair| pair.replacement).collect::<Vec<_>>())
        };
        assert_eq!(complete("se"), (0, vec!["SELECT".to_owned(), "SET".to_owned()]));
        assert_eq!(complete("SELECT * FROM FL"), (14, vec!["flights".to_owned()]));
        assert_eq!(complete("SELECT grö"), (7, vec!["größe".to_owned()]));
        assert_eq!(complete("SELECT é("), (10, Vec::new()));
    }
}
