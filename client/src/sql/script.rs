//! Runs a file of statements.
use wiesel_sql::parser;

use super::executor::Executor;
use crate::cli::Failure;

/// Runs the statements in turn and ends at the first that fails. True: all succeeded.
pub(super) async fn run(executor: &mut Executor, script: &str) -> Result<bool, Failure> {
    for statement in parser::split(script) {
        println!("Flink SQL> {}", statement.text);
        if is_quit(&statement.text) {
            return Ok(true);
        }
        if let Err(error) = executor.execute(&statement).await {
            println!("{}", error_text(&error));
            return Ok(false);
        }
        println!();
    }
    Ok(true)
}

/// `QUIT`, `EXIT` or `\q`.
pub(super) fn is_quit(statement: &str) -> bool {
    matches!(statement.trim().to_uppercase().as_str(), "QUIT" | "EXIT" | "\\Q")
}

/// An error as it is shown after a statement.
pub(super) fn error_text(error: &Failure) -> String {
    format!("[ERROR] Could not execute SQL statement. Reason:\n{error:#}")
}
