//! Functions of JSON with their clauses, and IS JSON. Clauses become arguments: texts that say what to do, and
//! the values of DEFAULT.
use sqlparser::ast::{Expr, Ident, UnaryOperator, Value};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::dialect::{JSON_TEST, JSON_WITHIN, named_call};
use super::types::parse_type;
use super::words::{accept, accept_all, accept_token, expect, is_word, peek};

fn text(value: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.to_owned()).with_empty_span())
}

/// A call of one of these functions.
pub(super) fn parse_call(parser: &mut Parser) -> Result<Expr, ParserError> {
    let token = parser.next_token();
    let name = token.token.to_string().to_ascii_uppercase();
    parser.expect_token(&Token::LParen)?;
    let arguments = match name.as_str() {
        "JSON_ARRAY" => values(parser, "ABSENT", false)?,
        "JSON_OBJECT" => values(parser, "NULL", true)?,
        "JSON_ARRAYAGG" => aggregated(parser, "ABSENT", false)?,
        "JSON_OBJECTAGG" => aggregated(parser, "NULL", true)?,
        name => search(parser, name)?,
    };
    parser.expect_token(&Token::RParen)?;
    Ok(named_call(Ident::with_span(token.span, name), arguments))
}

/// What looks for a path in a document.
fn search(parser: &mut Parser, name: &str) -> Result<Vec<Expr>, ParserError> {
    let mut arguments = vec![parser.parse_expr()?];
    parser.expect_token(&Token::Comma)?;
    arguments.push(parser.parse_expr()?);
    match name {
        "JSON_VALUE" => value_clauses(parser, &mut arguments)?,
        "JSON_QUERY" => query_clauses(parser, &mut arguments)?,
        _ => exists_clause(parser, &mut arguments)?,
    }
    Ok(arguments)
}

/// `value [{NULL | ABSENT} ON NULL]`, of an object `[KEY] name VALUE value`: what becomes of null, then the rest.
fn aggregated(parser: &mut Parser, default: &str, with_name: bool) -> Result<Vec<Expr>, ParserError> {
    let mut arguments = vec![text(default)];
    if with_name {
        accept(parser, "KEY");
        arguments.push(parser.parse_expr()?);
        expect(parser, "VALUE")?;
    }
    arguments.push(parser.parse_expr()?);
    if let Some(on_null) = on_null(parser) {
        arguments[0] = text(on_null);
    }
    Ok(arguments)
}

/// `[{NULL | ABSENT} ON NULL]`.
fn on_null(parser: &mut Parser) -> Option<&'static str> {
    ["NULL", "ABSENT"].into_iter().find(|word| accept_all(parser, &[*word, "ON", "NULL"]))
}

/// `[value, …] [{NULL | ABSENT} ON NULL]`, of an object `[KEY] name VALUE value`: what becomes of null, then the rest.
fn values(parser: &mut Parser, default: &str, with_names: bool) -> Result<Vec<Expr>, ParserError> {
    let mut arguments = vec![text(default)];
    let mut found = on_null(parser);
    if found.is_none() && parser.peek_token_ref().token != Token::RParen {
        loop {
            if with_names {
                accept(parser, "KEY");
                arguments.push(parser.parse_expr()?);
                expect(parser, "VALUE")?;
            }
            arguments.push(value(parser)?);
            if !accept_token(parser, &Token::Comma) {
                break;
            }
        }
        found = on_null(parser);
    }
    if let Some(on_null) = found {
        arguments[0] = text(on_null);
    }
    Ok(arguments)
}

/// A value of an array or an object, which may be JSON: nowhere else may `JSON(text)` stand.
fn value(parser: &mut Parser) -> Result<Expr, ParserError> {
    if !peek(parser, "JSON") || parser.peek_nth_token_ref(1).token != Token::LParen {
        return parser.parse_expr();
    }
    let token = parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let text = parser.parse_expr()?;
    parser.expect_token(&Token::RParen)?;
    Ok(named_call(Ident::with_span(token.span, JSON_WITHIN), vec![text]))
}

/// `[RETURNING type]`: the type as a text, which is empty without it.
fn returning(parser: &mut Parser) -> Result<Expr, ParserError> {
    if !accept(parser, "RETURNING") {
        return Ok(text(""));
    }
    Ok(text(&parse_type(parser)?.to_string()))
}

/// `ON EMPTY` or `ON ERROR`: whether it is the former.
fn is_on_empty(parser: &mut Parser) -> Result<bool, ParserError> {
    expect(parser, "ON")?;
    if accept(parser, "EMPTY") {
        return Ok(true);
    }
    expect(parser, "ERROR")?;
    Ok(false)
}

/// The type, what to do on empty, its default, what to do on error, its default.
fn value_clauses(parser: &mut Parser, arguments: &mut Vec<Expr>) -> Result<(), ParserError> {
    arguments.push(returning(parser)?);
    let (mut empty, mut error) = (("NULL", text("")), ("NULL", text("")));
    loop {
        let action = if accept(parser, "NULL") {
            ("NULL", text(""))
        } else if accept(parser, "ERROR") {
            ("ERROR", text(""))
        } else if accept(parser, "DEFAULT") {
            ("DEFAULT", parser.parse_expr()?)
        } else {
            break;
        };
        match is_on_empty(parser)? {
            true => empty = action,
            false => error = action,
        }
    }
    for (action, default) in [empty, error] {
        arguments.extend([text(action), default]);
    }
    Ok(())
}

/// The type, the wrapper, what to do on empty, what to do on error.
fn query_clauses(parser: &mut Parser, arguments: &mut Vec<Expr>) -> Result<(), ParserError> {
    arguments.push(returning(parser)?);
    arguments.push(text(wrapper(parser)?));
    let (mut empty, mut error) = ("NULL", "NULL");
    loop {
        let action = if accept(parser, "NULL") {
            "NULL"
        } else if accept(parser, "ERROR") {
            "ERROR"
        } else if accept_all(parser, &["EMPTY", "ARRAY"]) {
            "EMPTY ARRAY"
        } else if accept_all(parser, &["EMPTY", "OBJECT"]) {
            "EMPTY OBJECT"
        } else {
            break;
        };
        match is_on_empty(parser)? {
            true => empty = action,
            false => error = action,
        }
    }
    arguments.extend([text(empty), text(error)]);
    Ok(())
}

/// `[{WITHOUT | WITH [CONDITIONAL | UNCONDITIONAL]} [ARRAY] WRAPPER]`.
fn wrapper(parser: &mut Parser) -> Result<&'static str, ParserError> {
    let wrapper = if accept(parser, "WITHOUT") {
        "WITHOUT"
    } else if accept(parser, "WITH") {
        let is_conditional = accept(parser, "CONDITIONAL");
        if is_conditional {
            "CONDITIONAL"
        } else {
            accept(parser, "UNCONDITIONAL");
            "UNCONDITIONAL"
        }
    } else {
        return Ok("WITHOUT");
    };
    accept(parser, "ARRAY");
    expect(parser, "WRAPPER")?;
    Ok(wrapper)
}

/// `[{TRUE | FALSE | UNKNOWN | ERROR} ON ERROR]`.
fn exists_clause(parser: &mut Parser, arguments: &mut Vec<Expr>) -> Result<(), ParserError> {
    let action = ["TRUE", "FALSE", "UNKNOWN", "ERROR"].into_iter().find(|action| accept(parser, action));
    if action.is_some() {
        expect(parser, "ON")?;
        expect(parser, "ERROR")?;
    }
    arguments.push(text(action.unwrap_or("FALSE")));
    Ok(())
}

/// Whether `IS [NOT] JSON` is next.
pub(super) fn is_test(parser: &Parser) -> bool {
    let word = |index: usize, word: &str| is_word(&parser.peek_nth_token_ref(index).token, word);
    word(0, "IS") && (word(1, "JSON") || word(1, "NOT") && word(2, "JSON"))
}

/// `value IS [NOT] JSON [VALUE | ARRAY | OBJECT | SCALAR]`, behind the value.
pub(super) fn parse_test(parser: &mut Parser, value: Expr) -> Result<Expr, ParserError> {
    let token = parser.next_token();
    let is_negated = accept(parser, "NOT");
    expect(parser, "JSON")?;
    let kind = ["VALUE", "ARRAY", "OBJECT", "SCALAR"].into_iter().find(|kind| accept(parser, kind));
    let test = named_call(Ident::with_span(token.span, JSON_TEST), vec![value, text(kind.unwrap_or("VALUE"))]);
    Ok(if is_negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(test) } } else { test })
}
