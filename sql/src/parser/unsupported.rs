//! Statements of Flink's that do not run here, by their first words: they are told from what is no statement at all.
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::lexer::place;
use super::words::is_word;
use crate::error::{Error, Place};

/// The words a statement begins with, and what to do instead if there is something. Those with more words stand first.
const STATEMENTS: &[(&[&str], &str)] = &[
    (&["ADD", "JAR"], JAVA),
    (&["REMOVE", "JAR"], JAVA),
    (&["SHOW", "JARS"], JAVA),
    (&["CREATE", "FUNCTION"], FUNCTION),
    (&["CREATE", "TEMPORARY", "FUNCTION"], FUNCTION),
    (&["CREATE", "TEMPORARY", "SYSTEM", "FUNCTION"], FUNCTION),
    (&["ALTER", "FUNCTION"], FUNCTION),
    (&["ALTER", "TEMPORARY", "FUNCTION"], FUNCTION),
    (&["DROP", "FUNCTION"], FUNCTION),
    (&["DROP", "TEMPORARY", "FUNCTION"], FUNCTION),
    (&["DROP", "TEMPORARY", "SYSTEM", "FUNCTION"], FUNCTION),
    (&["SHOW", "CREATE", "FUNCTION"], FUNCTION),
    (&["DESCRIBE", "FUNCTION"], FUNCTION),
    (&["DESC", "FUNCTION"], FUNCTION),
    (&["LOAD", "MODULE"], "its functions are built in"),
    (&["UNLOAD", "MODULE"], "its functions are built in"),
    (&["USE", "MODULES"], "its functions are built in"),
    (&["SHOW", "MODULES"], "its functions are built in"),
    (&["SHOW", "FULL", "MODULES"], "its functions are built in"),
    (&["CREATE", "CATALOG"], CATALOG),
    (&["ALTER", "CATALOG"], CATALOG),
    (&["DROP", "CATALOG"], CATALOG),
    (&["DESCRIBE", "CATALOG"], CATALOG),
    (&["DESC", "CATALOG"], CATALOG),
    (&["SHOW", "CREATE", "CATALOG"], CATALOG),
    (&["CREATE", "DATABASE"], CATALOG),
    (&["ALTER", "DATABASE"], CATALOG),
    (&["DROP", "DATABASE"], CATALOG),
    (&["DESCRIBE", "DATABASE"], CATALOG),
    (&["DESC", "DATABASE"], CATALOG),
    (&["ALTER", "TABLE"], "drop the table and create it as it is to be, its files stay"),
    (&["ALTER", "VIEW"], "drop the view and create it as it is to be"),
    (&["CREATE", "OR", "REPLACE"], "DROP … IF EXISTS, then CREATE"),
    (&["REPLACE", "TABLE"], "DROP TABLE IF EXISTS, then CREATE TABLE and INSERT INTO"),
    (&["CREATE", "MATERIALIZED", "TABLE"], "CREATE TABLE, then INSERT INTO it"),
    (&["ALTER", "MATERIALIZED", "TABLE"], ""),
    (&["DROP", "MATERIALIZED", "TABLE"], ""),
    (&["SHOW", "MATERIALIZED", "TABLES"], ""),
    (&["SHOW", "CREATE", "MATERIALIZED", "TABLE"], ""),
    (&["CREATE", "MODEL"], ""),
    (&["CREATE", "TEMPORARY", "MODEL"], ""),
    (&["ALTER", "MODEL"], ""),
    (&["DROP", "MODEL"], ""),
    (&["DROP", "TEMPORARY", "MODEL"], ""),
    (&["DESCRIBE", "MODEL"], ""),
    (&["SHOW", "MODELS"], ""),
    (&["SHOW", "CREATE", "MODEL"], ""),
    (&["CREATE", "CONNECTION"], ""),
    (&["CREATE", "TEMPORARY", "CONNECTION"], ""),
    (&["ALTER", "CONNECTION"], ""),
    (&["DROP", "CONNECTION"], ""),
    (&["SHOW", "CONNECTIONS"], ""),
    (&["SHOW", "PARTITIONS"], "the partitions of a filesystem table are its folders"),
    (&["SHOW", "PROCEDURES"], ""),
    (&["CALL"], ""),
    (&["ANALYZE", "TABLE"], "the planner reads no statistics"),
    (&["TRUNCATE", "TABLE"], "remove the table's files"),
    (&["UPDATE"], "a streaming job only inserts"),
    (&["DELETE", "FROM"], "a streaming job only inserts"),
    (&["COMPILE", "PLAN"], "savepoints find their operators by what these do: see EXPLAIN"),
    (&["COMPILE", "AND", "EXECUTE", "PLAN"], "savepoints find their operators by what these do: see EXPLAIN"),
    (&["EXECUTE", "PLAN"], "run the statement itself"),
];

const JAVA: &str = "no Java code runs here; formats and connectors are built in";
const FUNCTION: &str = "no Java or Python code runs here; SHOW FUNCTIONS lists what is built in";
const CATALOG: &str = "the one catalog is default_catalog with default_database, and lives as long as the session";

/// The error of a statement that Flink has and this version does not run.
pub(super) fn refuse(tokens: &[TokenWithSpan]) -> Option<Error> {
    refuse_statement(tokens).or_else(|| refuse_symmetric(tokens))
}

/// `BETWEEN SYMMETRIC`, which sqlparser has no name for.
fn refuse_symmetric(tokens: &[TokenWithSpan]) -> Option<Error> {
    let mut follows_between = false;
    let symmetric = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).find(|token| {
        let found = follows_between && is_word(&token.token, "SYMMETRIC");
        follows_between = is_word(&token.token, "BETWEEN");
        found
    })?;
    let message = "BETWEEN SYMMETRIC: write x BETWEEN a AND b OR x BETWEEN b AND a";
    Some(Error::unsupported(message, Some(Place::starting(place(symmetric.span.start)))))
}

fn refuse_statement(tokens: &[TokenWithSpan]) -> Option<Error> {
    let begins = |words: &[&str]| {
        words.len() <= tokens.len() && words.iter().zip(tokens).all(|(word, token)| is_word(&token.token, word))
    };
    // A table may be called like what a statement describes: DESCRIBE model.
    let is_name = |words: &[&str]| {
        matches!(words[0], "DESCRIBE" | "DESC")
            && tokens.get(words.len()).is_none_or(|next| matches!(next.token, Token::SemiColon | Token::Period))
    };
    let (words, instead) = STATEMENTS.iter().find(|(words, _)| begins(words) && !is_name(words))?;
    let message = match *instead {
        "" => words.join(" "),
        instead => format!("{}: {instead}", words.join(" ")),
    };
    Some(Error::unsupported(message, tokens.first().map(|first| Place::starting(place(first.span.start)))))
}
