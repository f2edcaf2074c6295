//! From text to statements: Flink's own are parsed here on sqlparser's tokens, queries and expressions by sqlparser itself
//! with a dialect of ours ([`dialect`]).
//!
//! Invariant: every error says the place in the script, what stands there and what was expected; no input panics.
use sqlparser::ast::Query;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location as TokenLocation, Token, TokenWithSpan};
use wiesel_common::quote::quote;
use wiesel_expressions::types::LogicalType;

use crate::ast::LocatedStatement;
use crate::error::{Error, Location, Result};
use crate::script::still_wanted;

mod ddl;
pub(crate) mod dialect;
mod effort;
mod json;
pub(crate) mod lexer;
pub(crate) mod reserved;
mod rows;
mod show;
mod split;
mod statement;
#[cfg(test)]
mod tests;
pub(crate) mod types;
mod unsupported;
mod words;

pub use reserved::as_written;
pub use split::{SetMark, StatementText, Unfinished, set_mark, split, split_input, unfinished};
pub(crate) use statement::options_of_hint;

/// Expressions and queries within each other, at most.
const MAX_DEPTH: usize = 250;

/// The statements of a script; the first that is none is the error.
pub fn parse(script: &str) -> Result<Vec<LocatedStatement>> {
    split(script).iter().map(parse_statement).collect()
}

/// The statement of a text that [`split`] cut out.
pub fn parse_statement(text: &StatementText) -> Result<LocatedStatement> {
    let tokens = lexer::tokenize(&text.text, text.location)?;
    if let Some(refused) = unsupported::refuse(&tokens) {
        return Err(refused);
    }
    let statement = run(tokens, &text.text, text.location, |parser| statement::parse_statement(parser, &text.text))?;
    Ok(LocatedStatement { statement, location: text.location, text: text.text.clone() })
}

/// A query alone.
pub fn parse_query(text: &str) -> Result<Box<Query>> {
    alone(text, |parser| parser.parse_query())
}

/// An expression alone.
#[cfg(test)]
pub(crate) fn parse_expression(text: &str) -> Result<sqlparser::ast::Expr> {
    alone(text, |parser| parser.parse_expr())
}

/// A type alone, such as `ROW<a INT, b ARRAY<STRING>>`.
pub fn parse_type(text: &str) -> Result<LogicalType> {
    alone(text, types::parse_type)
}

/// What is all of a text.
fn alone<T>(text: &str, parse: impl FnOnce(&mut Parser) -> Result<T, ParserError>) -> Result<T> {
    let start = Location { line: 1, column: 1 };
    run(lexer::tokenize(text, start)?, text, start, parse)
}

fn run<T>(
    tokens: Vec<TokenWithSpan>,
    text: &str,
    start: Location,
    parse: impl FnOnce(&mut Parser) -> Result<T, ParserError>,
) -> Result<T> {
    still_wanted()?;
    let tokens = rows::in_parentheses(without_asymmetric(tokens));
    let end = end_of(text, start);
    let dialect = dialect::FlinkDialect { effort: effort::Effort::of(tokens.len()) };
    let mut parser = Parser::new(&dialect).with_recursion_limit(MAX_DEPTH).with_tokens_with_locations(tokens);
    let result = parse(&mut parser).and_then(|result| {
        while parser.consume_token(&Token::SemiColon) {}
        match parser.peek_token() {
            TokenWithSpan { token: Token::EOF, .. } => Ok(result),
            _ => words::expected_end(&parser),
        }
    });
    match dialect.effort.error() {
        Some(error) => Err(error),
        None => result.map_err(|e| convert(e, end)),
    }
}

/// Without `ASYMMETRIC` behind BETWEEN, which means the same with and without it: `SHOW CREATE` prints it, as Flink does, and what
/// that prints can be read.
fn without_asymmetric(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut follows_between = false;
    tokens.retain(|TokenWithSpan { token, .. }| {
        let left_out = follows_between && words::is_word(token, "ASYMMETRIC");
        if !matches!(token, Token::Whitespace(_)) {
            follows_between = words::is_word(token, "BETWEEN");
        }
        !left_out
    });
    tokens
}

fn end_of(text: &str, start: Location) -> TokenLocation {
    let lines = text.matches('\n').count() as u64;
    let last = text.rsplit('\n').next().unwrap_or_default().chars().count() as u64;
    let column = if lines == 0 { start.column + last } else { last + 1 };
    TokenLocation { line: start.line + lines, column }
}

/// sqlparser says where only in its messages: "Expected: X, found: Y at Line: 1, Column: 2".
fn convert(error: ParserError, end: TokenLocation) -> Error {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => {
            let message = format!("Expressions or queries nest deeper than {MAX_DEPTH} levels.");
            return Error::Parse { message, location: None };
        }
    };
    let (what, at) = match text.rfind(" at Line: ") {
        Some(i) => (&text[..i], read_location(&text[i..]).unwrap_or(end)),
        None => (text.as_str(), end),
    };
    let Some((expected, found)) = what.strip_prefix("Expected: ").and_then(|rest| rest.rsplit_once(", found: ")) else {
        let message = format!("{}, at {}.", quote(what), lexer::place(at));
        return Error::Parse { message, location: Some(lexer::place(at)) };
    };
    match found {
        "EOF" => lexer::encountered("<EOF>", end, expected),
        _ => lexer::encountered(found, at, expected),
    }
}

fn read_location(text: &str) -> Option<TokenLocation> {
    let (line, column) = text.strip_prefix(" at Line: ")?.split_once(", Column: ")?;
    Some(TokenLocation { line: line.parse().ok()?, column: column.parse().ok()? })
}
