//! `SHOW …`.
use sqlparser::parser::{Parser, ParserError};

use super::words::{accept, accept_all, expected_word, peek, string};
use crate::ast::{Show, ShowFilter};

/// What follows `SHOW`.
pub(super) fn parse_show(parser: &mut Parser) -> Result<Show, ParserError> {
    if accept_all(parser, &["CREATE", "TABLE"]) {
        return Ok(Show::CreateTable(parser.parse_object_name(false)?));
    }
    if accept_all(parser, &["CREATE", "VIEW"]) {
        return Ok(Show::CreateView(parser.parse_object_name(false)?));
    }
    if accept_all(parser, &["CURRENT", "CATALOG"]) {
        return Ok(Show::CurrentCatalog);
    }
    if accept_all(parser, &["CURRENT", "DATABASE"]) {
        return Ok(Show::CurrentDatabase);
    }
    if accept(parser, "JOBS") {
        return Ok(Show::Jobs);
    }
    if accept(parser, "COLUMNS") {
        if !accept(parser, "FROM") && !accept(parser, "IN") {
            return parser.expected("FROM or IN", parser.peek_token());
        }
        let table = parser.parse_object_name(false)?;
        return Ok(Show::Columns(table, parse_filter(parser)?));
    }
    if accept_all(parser, &["USER", "FUNCTIONS"]) {
        return Ok(Show::UserFunctions(parse_filter(parser)?));
    }
    let lists: [(&str, fn(ShowFilter) -> Show); 5] = [
        ("TABLES", Show::Tables),
        ("VIEWS", Show::Views),
        ("CATALOGS", Show::Catalogs),
        ("DATABASES", Show::Databases),
        ("FUNCTIONS", Show::Functions),
    ];
    for (word, make) in lists {
        if accept(parser, word) {
            return Ok(make(parse_filter(parser)?));
        }
    }
    // Neither is followed by what it is above.
    if accept(parser, "CREATE") {
        return expected_word(parser, "TABLE or VIEW", &["TABLE", "VIEW"]);
    }
    if accept(parser, "CURRENT") {
        return expected_word(parser, "CATALOG or DATABASE", &["CATALOG", "DATABASE"]);
    }
    let words = ["CATALOGS", "COLUMNS", "CREATE", "CURRENT", "DATABASES", "FUNCTIONS", "JOBS", "TABLES", "VIEWS"];
    expected_word(
        parser,
        "TABLES, VIEWS, COLUMNS, CATALOGS, DATABASES, [USER] FUNCTIONS, JOBS, CREATE TABLE, CREATE VIEW, CURRENT CATALOG or CURRENT DATABASE",
        &words,
    )
}

fn parse_filter(parser: &mut Parser) -> Result<ShowFilter, ParserError> {
    let mut filter = ShowFilter::default();
    if accept(parser, "FROM") || accept(parser, "IN") {
        filter.from = Some(parser.parse_object_name(false)?);
    }
    filter.negated = accept(parser, "NOT");
    if peek(parser, "LIKE") || peek(parser, "ILIKE") {
        filter.case_insensitive = accept(parser, "ILIKE");
        if !filter.case_insensitive {
            accept(parser, "LIKE");
        }
        filter.pattern = Some(string(parser)?);
    } else if filter.negated {
        return parser.expected("LIKE or ILIKE", parser.peek_token());
    }
    Ok(filter)
}
