//! Statements by their first words.
use sqlparser::ast::{Expr, Ident, Value, ValueWithSpan};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::ddl::{parse_create, parse_drop};
use super::reserved::{identifier, object_name};
use super::show::parse_show;
use super::words::{accept, accept_all, accept_token, expect, expect_all, expected_word, parenthesized, peek, string};
use crate::ast::{Insert, Statement, StopJob};

/// The words that statements begin with, to propose the nearest.
const FIRST_WORDS: [&str; 16] = [
    "BEGIN", "CREATE", "DESC", "DESCRIBE", "DROP", "EXECUTE", "EXPLAIN", "INSERT", "RESET", "SELECT", "SET", "SHOW",
    "STOP", "USE", "VALUES", "WITH",
];

/// A statement. The text is the statement's own, for `SET key = value` without quotes.
pub(super) fn parse_statement(parser: &mut Parser, text: &str) -> Result<Statement, ParserError> {
    if accept(parser, "SET") {
        return parse_set(parser, text);
    }
    if accept(parser, "RESET") {
        let key = match parser.peek_token_ref().token {
            Token::SingleQuotedString(_) => Some(string(parser)?),
            _ => None,
        };
        return Ok(Statement::Reset(key));
    }
    if accept(parser, "EXPLAIN") {
        return parse_explain(parser);
    }
    if accept(parser, "SHOW") {
        return Ok(Statement::Show(parse_show(parser)?));
    }
    if accept(parser, "STOP") {
        return parse_stop(parser);
    }
    if accept(parser, "DESCRIBE") || accept(parser, "DESC") {
        if peek(parser, "JOB") && matches!(parser.peek_nth_token_ref(1).token, Token::SingleQuotedString(_)) {
            parser.next_token();
            return Ok(Statement::DescribeJob(string(parser)?));
        }
        accept(parser, "EXTENDED");
        return Ok(Statement::Describe(object_name(parser)?));
    }
    if accept(parser, "USE") {
        let catalog = accept(parser, "CATALOG");
        return Ok(Statement::Use { catalog, name: parser.parse_object_name(false)? });
    }
    if accept(parser, "CREATE") {
        return parse_create(parser);
    }
    if accept(parser, "DROP") {
        return Ok(Statement::Drop(parse_drop(parser)?));
    }
    parse_job(parser)
}

/// What follows `STOP`.
fn parse_stop(parser: &mut Parser) -> Result<Statement, ParserError> {
    expect(parser, "JOB")?;
    let job = string(parser)?;
    let mut stop = StopJob { job, savepoint: false, drain: false };
    while accept(parser, "WITH") {
        let at = parser.peek_token();
        if !stop.savepoint && accept(parser, "SAVEPOINT") {
            stop.savepoint = true;
        } else if stop.savepoint && !stop.drain && accept(parser, "DRAIN") {
            stop.drain = true;
        } else {
            return parser.expected(if stop.savepoint { "DRAIN" } else { "SAVEPOINT" }, at);
        }
    }
    Ok(Statement::StopJob(stop))
}

/// What runs as a job: a query, an INSERT or a set of them.
fn parse_job(parser: &mut Parser) -> Result<Statement, ParserError> {
    if accept_all(parser, &["EXECUTE", "STATEMENT", "SET"]) {
        expect(parser, "BEGIN")?;
        return parse_set_members(parser);
    }
    if accept_all(parser, &["STATEMENT", "SET", "BEGIN"]) {
        return parse_set_members(parser);
    }
    if accept_all(parser, &["BEGIN", "STATEMENT", "SET"]) {
        parser.expect_token(&Token::SemiColon)?;
        return parse_set_members(parser);
    }
    accept(parser, "EXECUTE");
    if peek(parser, "INSERT") {
        return Ok(Statement::Insert(parse_insert(parser)?));
    }
    let starts_query = ["SELECT", "VALUES", "WITH"].iter().any(|word| peek(parser, word));
    if starts_query || parser.peek_token_ref().token == Token::LParen {
        return Ok(Statement::Query(parser.parse_query()?));
    }
    expected_word(
        parser,
        "SELECT, VALUES, WITH, INSERT, EXECUTE, BEGIN STATEMENT SET, CREATE, DROP, SHOW, DESCRIBE, EXPLAIN, STOP JOB, USE, SET or RESET",
        &FIRST_WORDS,
    )
}

fn parse_set_members(parser: &mut Parser) -> Result<Statement, ParserError> {
    let mut members = Vec::new();
    loop {
        while accept_token(parser, &Token::SemiColon) {}
        if !members.is_empty() && accept(parser, "END") {
            return Ok(Statement::StatementSet(members));
        }
        accept(parser, "EXECUTE");
        members.push(parse_insert(parser)?);
        if parser.peek_token_ref().token != Token::SemiColon {
            return parser.expected("\";\"", parser.peek_token());
        }
    }
}

fn parse_insert(parser: &mut Parser) -> Result<Insert, ParserError> {
    expect(parser, "INSERT")?;
    let overwrite = accept(parser, "OVERWRITE");
    if overwrite {
        accept(parser, "INTO");
    } else {
        expect(parser, "INTO")?;
    }
    let table = object_name(parser)?;
    let options = parse_options_hint(parser)?;
    let mut partition = Vec::new();
    if accept(parser, "PARTITION") {
        partition = parenthesized(parser, |parser| {
            let key = identifier(parser)?;
            parser.expect_token(&Token::Eq)?;
            Ok((key, parser.parse_expr()?))
        })?;
    }
    let columns = parse_insert_columns(parser)?;
    let source = parser.parse_query()?;
    Ok(Insert { table, columns, partition, source, overwrite, options })
}

/// The column list; a parenthesis that opens a query is none.
fn parse_insert_columns(parser: &mut Parser) -> Result<Vec<Ident>, ParserError> {
    if parser.peek_token_ref().token != Token::LParen {
        return Ok(Vec::new());
    }
    let inner = &parser.peek_nth_token_ref(1).token;
    let query = *inner == Token::LParen || ["SELECT", "VALUES", "WITH"].iter().any(|w| super::words::is_word(inner, w));
    if query { Ok(Vec::new()) } else { parenthesized(parser, identifier) }
}

/// `(OPTIONS('key' = 'value', …))`, into which the lexer turned a hint.
fn parse_options_hint(parser: &mut Parser) -> Result<Vec<(String, String)>, ParserError> {
    let is_hint = parser.peek_token_ref().token == Token::LParen
        && super::words::is_word(&parser.peek_nth_token_ref(1).token, "OPTIONS")
        && parser.peek_nth_token_ref(2).token == Token::LParen;
    if !is_hint {
        return Ok(Vec::new());
    }
    parser.expect_token(&Token::LParen)?;
    parser.next_token();
    let options = parenthesized(parser, parse_option)?;
    parser.expect_token(&Token::RParen)?;
    Ok(options)
}

/// `'key' = 'value'`.
pub(super) fn parse_option(parser: &mut Parser) -> Result<(String, String), ParserError> {
    let key = string(parser)?;
    parser.expect_token(&Token::Eq)?;
    Ok((key, string(parser)?))
}

fn parse_explain(parser: &mut Parser) -> Result<Statement, ParserError> {
    let mut details = Vec::new();
    if accept(parser, "PLAN") {
        expect(parser, "FOR")?;
    } else {
        let known = ["ESTIMATED_COST", "CHANGELOG_MODE", "JSON_EXECUTION_PLAN", "PLAN_ADVICE"];
        while let Some(detail) = known.iter().find(|detail| accept(parser, detail)) {
            details.push((*detail).to_owned());
            if !accept_token(parser, &Token::Comma) {
                break;
            }
        }
    }
    Ok(Statement::Explain { details, statement: Box::new(parse_job(parser)?) })
}

/// `SET`, `SET 'key'`, `SET 'key' = 'value'`; as the SQL client does, also `SET key = value` without quotes.
fn parse_set(parser: &mut Parser, text: &str) -> Result<Statement, ParserError> {
    match parser.peek_token_ref().token {
        Token::EOF => return Ok(Statement::Set(None)),
        Token::SingleQuotedString(_) => {
            let key = string(parser)?;
            let value = if accept_token(parser, &Token::Eq) { Some(string(parser)?) } else { None };
            return Ok(Statement::Set(Some((key, value))));
        }
        _ => {}
    }
    let at = parser.peek_token();
    let assignment = text.trim_start().get(3..).and_then(|rest| rest.split_once('='));
    let Some((key, value)) = assignment else { return parser.expected("a key in 'quotes'", at) };
    let (key, value) = (key.trim(), value.trim().trim_matches('\''));
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || ".-_".contains(c));
    if !is_key {
        return parser.expected("a key in 'quotes'", at);
    }
    while parser.peek_token_ref().token != Token::EOF {
        parser.next_token();
    }
    Ok(Statement::Set(Some((key.to_owned(), Some(value.to_owned())))))
}

/// The options in a table's argument list, if the list is a hint's (see the lexer).
pub(crate) fn options_of_hint(arguments: &[Expr]) -> Option<Vec<(String, String)>> {
    use sqlparser::ast::{BinaryOperator, FunctionArg, FunctionArgExpr, FunctionArguments};
    let [Expr::Function(function)] = arguments else { return None };
    if !function.name.to_string().eq_ignore_ascii_case("OPTIONS") {
        return None;
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    let text = |expr: &Expr| match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Some(text.clone()),
        _ => None,
    };
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp { left, op: BinaryOperator::Eq, right })) => {
                Some((text(left)?, text(right)?))
            }
            _ => None,
        })
        .collect()
}

/// `IF NOT EXISTS`.
pub(super) fn if_not_exists(parser: &mut Parser) -> Result<bool, ParserError> {
    let found = accept(parser, "IF");
    if found {
        expect_all(parser, &["NOT", "EXISTS"])?;
    }
    Ok(found)
}
