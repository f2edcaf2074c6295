//! `CREATE TABLE`, `CREATE VIEW`, `DROP`.
use sqlparser::ast::Ident;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::reserved::{identifier, object_name};
use super::statement::{if_not_exists, parse_option};
use super::types::parse_type;
use super::words::{accept, accept_all, accept_token, expect, expect_all, expected_word, parenthesized, peek, string};
use crate::ast::{ColumnDefinition, ColumnKind, CreateTable, CreateView, Drop, Statement};

/// What follows `CREATE`.
pub(super) fn parse_create(parser: &mut Parser) -> Result<Statement, ParserError> {
    let temporary = accept(parser, "TEMPORARY");
    if accept(parser, "VIEW") {
        return Ok(Statement::CreateView(parse_view(parser, temporary)?));
    }
    if accept(parser, "TABLE") {
        return Ok(Statement::CreateTable(parse_table(parser, temporary)?));
    }
    expected_word(parser, "TABLE or VIEW", &["TABLE", "VIEW"])
}

/// What follows `DROP`.
pub(super) fn parse_drop(parser: &mut Parser) -> Result<Drop, ParserError> {
    let temporary = accept(parser, "TEMPORARY");
    let view = accept(parser, "VIEW");
    if !view && !accept(parser, "TABLE") {
        return expected_word(parser, "TABLE or VIEW", &["TABLE", "VIEW"]);
    }
    let if_exists = accept(parser, "IF");
    if if_exists {
        expect(parser, "EXISTS")?;
    }
    Ok(Drop { view, name: object_name(parser)?, if_exists, temporary })
}

fn parse_view(parser: &mut Parser, temporary: bool) -> Result<CreateView, ParserError> {
    let if_not_exists = if_not_exists(parser)?;
    let name = object_name(parser)?;
    let columns = match parser.peek_token_ref().token {
        Token::LParen => parenthesized(parser, identifier)?,
        _ => Vec::new(),
    };
    let comment = parse_comment(parser)?;
    expect(parser, "AS")?;
    let query = parser.parse_query()?;
    Ok(CreateView { name, columns, query, comment, if_not_exists, temporary })
}

fn parse_comment(parser: &mut Parser) -> Result<Option<String>, ParserError> {
    if accept(parser, "COMMENT") { string(parser).map(Some) } else { Ok(None) }
}

fn parse_table(parser: &mut Parser, temporary: bool) -> Result<CreateTable, ParserError> {
    let if_not_exists = if_not_exists(parser)?;
    let mut table = CreateTable {
        name: object_name(parser)?,
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        options: Vec::new(),
        comment: None,
        like: None,
        query: None,
        if_not_exists,
        temporary,
    };
    if accept_token(parser, &Token::LParen) && !accept_token(parser, &Token::RParen) {
        loop {
            parse_element(parser, &mut table)?;
            if !accept_token(parser, &Token::Comma) {
                break;
            }
        }
        parser.expect_token(&Token::RParen)?;
    }
    table.comment = parse_comment(parser)?;
    parse_distribution(parser)?;
    if accept(parser, "PARTITIONED") {
        expect(parser, "BY")?;
        table.partitioned_by = parenthesized(parser, identifier)?;
    }
    if accept(parser, "WITH") {
        parser.expect_token(&Token::LParen)?;
        if !accept_token(parser, &Token::RParen) {
            table.options = parser.parse_comma_separated(parse_option)?;
            parser.expect_token(&Token::RParen)?;
        }
    }
    if accept(parser, "LIKE") {
        let source = object_name(parser)?;
        table.like = Some((source, parse_like_options(parser)?));
    } else if accept(parser, "AS") {
        table.query = Some(parser.parse_query()?);
    }
    Ok(table)
}

/// `DISTRIBUTED [BY [HASH | RANGE] (…)] [INTO n BUCKETS]`: read and left aside, for no connector here has buckets.
fn parse_distribution(parser: &mut Parser) -> Result<(), ParserError> {
    if !accept(parser, "DISTRIBUTED") {
        return Ok(());
    }
    if accept(parser, "BY") {
        if !accept(parser, "HASH") {
            accept(parser, "RANGE");
        }
        parenthesized(parser, identifier)?;
    }
    if accept(parser, "INTO") {
        parser.parse_literal_uint()?;
        expect(parser, "BUCKETS")?;
    }
    Ok(())
}

fn parse_like_options(parser: &mut Parser) -> Result<Vec<String>, ParserError> {
    if !accept_token(parser, &Token::LParen) {
        return Ok(Vec::new());
    }
    let mut options = Vec::new();
    while !accept_token(parser, &Token::RParen) {
        let strategies = ["INCLUDING", "EXCLUDING", "OVERWRITING"];
        let features =
            ["ALL", "CONSTRAINTS", "DISTRIBUTION", "GENERATED", "METADATA", "OPTIONS", "PARTITIONS", "WATERMARKS"];
        let Some(strategy) = strategies.iter().find(|word| accept(parser, word)) else {
            return parser.expected("INCLUDING, EXCLUDING or OVERWRITING", parser.peek_token());
        };
        let Some(feature) = features.iter().find(|word| accept(parser, word)) else {
            return parser.expected(&features.join(", "), parser.peek_token());
        };
        options.push(format!("{strategy} {feature}"));
    }
    Ok(options)
}

fn parse_element(parser: &mut Parser, table: &mut CreateTable) -> Result<(), ParserError> {
    let next_is_name = matches!(parser.peek_nth_token_ref(1).token, Token::Word(_));
    if peek(parser, "WATERMARK") && super::words::is_word(&parser.peek_nth_token_ref(1).token, "FOR") {
        if table.watermark.is_some() {
            return parser.expected("one WATERMARK only", parser.peek_token());
        }
        expect_all(parser, &["WATERMARK", "FOR"])?;
        let mut column = vec![identifier(parser)?];
        while accept_token(parser, &Token::Period) {
            column.push(identifier(parser)?);
        }
        expect(parser, "AS")?;
        table.watermark = Some((column, parser.parse_expr()?));
        return Ok(());
    }
    if peek(parser, "CONSTRAINT") && next_is_name {
        parser.next_token();
        parser.parse_identifier()?;
        return parse_table_key(parser, table);
    }
    if peek(parser, "PRIMARY") || peek(parser, "UNIQUE") {
        return parse_table_key(parser, table);
    }
    parse_column(parser, table)
}

fn parse_table_key(parser: &mut Parser, table: &mut CreateTable) -> Result<(), ParserError> {
    expect_all(parser, &["PRIMARY", "KEY"])?;
    let columns = parenthesized(parser, identifier)?;
    set_key(parser, table, columns)
}

fn set_key(parser: &mut Parser, table: &mut CreateTable, columns: Vec<Ident>) -> Result<(), ParserError> {
    if !table.primary_key.is_empty() {
        return parser.expected("one PRIMARY KEY only", parser.peek_token());
    }
    if !accept_all(parser, &["NOT", "ENFORCED"]) {
        return parser.expected("NOT ENFORCED: a PRIMARY KEY cannot be enforced", parser.peek_token());
    }
    table.primary_key = columns;
    Ok(())
}

fn parse_column(parser: &mut Parser, table: &mut CreateTable) -> Result<(), ParserError> {
    let name = identifier(parser)?;
    if accept(parser, "AS") {
        let kind = ColumnKind::Computed(parser.parse_expr()?);
        let comment = parse_comment(parser)?;
        table.columns.push(ColumnDefinition { name, kind, comment });
        return Ok(());
    }
    let data_type = parse_type(parser)?;
    if accept(parser, "METADATA") {
        let key = if accept(parser, "FROM") { Some(string(parser)?) } else { None };
        let kind = ColumnKind::Metadata { data_type, key, is_virtual: accept(parser, "VIRTUAL") };
        let comment = parse_comment(parser)?;
        table.columns.push(ColumnDefinition { name, kind, comment });
        return Ok(());
    }
    if accept(parser, "CONSTRAINT") {
        parser.parse_identifier()?;
    }
    if accept_all(parser, &["PRIMARY", "KEY"]) {
        set_key(parser, table, vec![name.clone()])?;
    }
    let comment = parse_comment(parser)?;
    table.columns.push(ColumnDefinition { name, kind: ColumnKind::Physical(data_type), comment });
    Ok(())
}
