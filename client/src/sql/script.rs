//! Runs a file of statements.
use wiesel_sql::parser;

use super::executor::Executor;
use super::help::HELP;
use crate::cli::Failure;

/// Runs the statements in turn and ends at the first that fails. True: all succeeded.
pub(super) async fn run(executor: &mut Executor, script: &str) -> Result<bool, Failure> {
    for statement in parser::split(script) {
        println!("Flink SQL> {}", statement.text);
        match own(&statement.text) {
            Some(Own::Quit) => return Ok(true),
            Some(Own::Help) => println!("{HELP}"),
            // There is no screen to clear.
            Some(Own::Clear) => {}
            None => {
                if let Err(error) = executor.execute(&statement).await {
                    println!("{}", error_text(&error));
                    return Ok(false);
                }
            }
        }
        println!();
    }
    Ok(true)
}

/// What the client does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// `HELP`.
    Help,
    /// `CLEAR`.
    Clear,
    /// `QUIT`, `EXIT` or `\q`.
    Quit,
}

/// Whether a statement is one of the client's own words.
pub(super) fn own(statement: &str) -> Option<Own> {
    match statement.trim().to_uppercase().as_str() {
        "HELP" => Some(Own::Help),
        "CLEAR" => Some(Own::Clear),
        "QUIT" | "EXIT" | "\\Q" => Some(Own::Quit),
        _ => None,
    }
}

/// An error as it is shown after a statement.
pub(super) fn error_text(error: &Failure) -> String {
    format!("[ERROR] Could not execute SQL statement. Reason:\n{error:#}")
}
