//! What sqlparser must know of Flink's lexis and of the expressions that are Flink's own.
use sqlparser::ast::{
    CastKind, DataType, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, Interval, ObjectName, TrimWhereField, UnaryOperator,
};
use sqlparser::dialect::Dialect;
use sqlparser::keywords::{Keyword, RESERVED_FOR_IDENTIFIER};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::effort::Effort;
use super::json;
use super::reserved::object_name;
use super::types::parse_type;
use super::words::{accept, accept_token, expect, is_word};

/// The functions that stand for the parts of a query that sqlparser has no name for.
pub(crate) const TABLE_ARGUMENT: &str = "$TABLE";
/// `PARTITION BY` of a table argument: its arguments are the table and the columns.
pub(crate) const TABLE_PARTITIONED: &str = "$TABLE_PARTITION_BY";
/// `MAP[key, value, …]`.
pub(crate) const MAP_CONSTRUCTOR: &str = "$MAP";
/// `ROW(…)`.
pub(crate) const ROW_CONSTRUCTOR: &str = "$ROW";
/// `JSON(text)` as a value of JSON_ARRAY or JSON_OBJECT.
pub(crate) const JSON_WITHIN: &str = "$JSON";
/// `… IS JSON`: its arguments are the text and the kind of value.
pub(crate) const JSON_TEST: &str = "$IS_JSON";

/// Reserved words that stand behind expressions, or between them, and begin none.
const NO_OPERANDS: [&str; 18] = [
    "AND",
    "AS",
    "BY",
    "ELSE",
    "EXCEPT",
    "FETCH",
    "FROM",
    "GROUP",
    "HAVING",
    "INTERSECT",
    "LIMIT",
    "ON",
    "OR",
    "ORDER",
    "THEN",
    "UNION",
    "WHEN",
    "WHERE",
];
/// What is expected where one of them stands.
const EXPRESSION: &str = "an expression (a reserved word is a name in `back ticks`)";

/// Flink SQL, for one statement.
#[derive(Debug, Default)]
pub(super) struct FlinkDialect {
    /// What the parser has left to read.
    pub(super) effort: Effort,
}

impl Dialect for FlinkDialect {
    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_' || ch == '$'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn require_interval_qualifier(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_select_expr_star(&self) -> bool {
        true
    }

    /// What these begin is read again as a name where it is wrong, unless they are reserved: the mistake would be told of what
    /// stands behind that.
    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        matches!(keyword, Keyword::CASE | Keyword::NOT) || RESERVED_FOR_IDENTIFIER.contains(&keyword)
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if let Err(exhausted) = self.effort.spend(parser) {
            return Some(Err(exhausted));
        }
        let [first, second] = parser.peek_tokens_ref();
        let Token::Word(word) = &first.token else { return None };
        if word.quote_style.is_some() {
            return None;
        }
        let next = &second.token;
        match word.value.to_ascii_uppercase().as_str() {
            "CAST" if *next == Token::LParen => Some(parse_cast(parser, CastKind::Cast)),
            "TRY_CAST" if *next == Token::LParen => Some(parse_cast(parser, CastKind::TryCast)),
            "INTERVAL" if matches!(next, Token::SingleQuotedString(_) | Token::Plus | Token::Minus) => {
                Some(parse_interval(parser))
            }
            "TABLE" if matches!(next, Token::Word(_)) => Some(parse_table_argument(parser)),
            "MAP" if *next == Token::LBracket => Some(parse_map(parser)),
            "ROW" if *next == Token::LParen => Some(parse_row(parser)),
            "CEILING" if *next == Token::LParen => Some(parse_ceiling(parser)),
            "TRIM" if *next == Token::LParen => Some(parse_trim(parser)),
            "JSON_VALUE" | "JSON_QUERY" | "JSON_EXISTS" | "JSON_ARRAY" | "JSON_OBJECT" | "JSON_ARRAYAGG"
            | "JSON_OBJECTAGG"
                if *next == Token::LParen =>
            {
                Some(json::parse_call(parser))
            }
            "ARRAY" if *next == Token::LBracket => Some(parse_array(parser)),
            // A column of this name: sqlparser would look for the type of a string constant, at each of thousands in a row.
            "ARRAY" if *next == Token::Lt => Some(Ok(parse_name(parser))),
            // sqlparser would take it for a name, and find a mistake behind it.
            word if NO_OPERANDS.contains(&word) => Some(parser.expected(EXPRESSION, parser.peek_token())),
            _ => None,
        }
    }

    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, _precedence: u8) -> Option<Result<Expr, ParserError>> {
        if !json::is_test(parser) {
            return None;
        }
        // The operand is copied, and may be one of thousands that have been copied before.
        let copied = self.effort.spend_for_copy(parser, expr);
        Some(copied.and_then(|()| json::parse_test(parser, expr.clone())))
    }
}

/// `CAST(expression AS type)`: the type travels as the text that our own type parser reads again, with the place of the whole.
fn parse_cast(parser: &mut Parser, kind: CastKind) -> Result<Expr, ParserError> {
    let token = parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let expr = Box::new(parser.parse_expr()?);
    expect(parser, "AS")?;
    let data_type = parse_type(parser)?;
    parser.expect_token(&Token::RParen)?;
    let data_type =
        DataType::Custom(ObjectName::from(vec![Ident::with_span(token.span, data_type.to_string())]), Vec::new());
    Ok(Expr::Cast { kind, expr, data_type, array: false, format: None })
}

fn parse_interval(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.next_token();
    let negative = accept_token(parser, &Token::Minus);
    if !negative {
        accept_token(parser, &Token::Plus);
    }
    let value = Expr::Value(parser.parse_value()?);
    let value = if negative { Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(value) } } else { value };
    let leading_field = Some(parse_unit(parser)?);
    let mut interval = Interval {
        value: Box::new(value),
        leading_field,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    };
    if accept_token(parser, &Token::LParen) {
        interval.leading_precision = Some(parser.parse_literal_uint()?);
        if interval.leading_field == Some(DateTimeField::Second) && accept_token(parser, &Token::Comma) {
            interval.fractional_seconds_precision = Some(parser.parse_literal_uint()?);
        }
        parser.expect_token(&Token::RParen)?;
    }
    if interval.leading_field != Some(DateTimeField::Second) && accept(parser, "TO") {
        interval.last_field = Some(parse_unit(parser)?);
        if interval.last_field == Some(DateTimeField::Second) && accept_token(parser, &Token::LParen) {
            interval.fractional_seconds_precision = Some(parser.parse_literal_uint()?);
            parser.expect_token(&Token::RParen)?;
        }
    }
    Ok(Expr::Interval(interval))
}

/// A unit of an interval, in the singular.
fn parse_unit(parser: &mut Parser) -> Result<DateTimeField, ParserError> {
    let units = [
        ("YEAR", DateTimeField::Year),
        ("QUARTER", DateTimeField::Quarter),
        ("MONTH", DateTimeField::Month),
        ("WEEK", DateTimeField::Week(None)),
        ("DAY", DateTimeField::Day),
        ("HOUR", DateTimeField::Hour),
        ("MINUTE", DateTimeField::Minute),
        ("SECOND", DateTimeField::Second),
    ];
    for (name, unit) in units {
        if accept(parser, name) || accept(parser, &format!("{name}S")) {
            return Ok(unit);
        }
    }
    parser.expected("a unit of time such as SECOND, MINUTE, HOUR, DAY, MONTH or YEAR", parser.peek_token())
}

/// `TABLE name` as an argument of a table function, maybe with hints and `PARTITION BY`.
fn parse_table_argument(parser: &mut Parser) -> Result<Expr, ParserError> {
    let table_token = parser.next_token();
    let name = object_name(parser)?;
    let table = Expr::CompoundIdentifier(name.0.iter().filter_map(|part| part.as_ident().cloned()).collect());
    let mut arguments = vec![table];
    if parser.peek_token_ref().token == Token::LParen {
        parser.next_token();
        arguments.push(parser.parse_expr()?);
        parser.expect_token(&Token::RParen)?;
    }
    if is_word(&parser.peek_token_ref().token, "PARTITION") {
        parser.next_token();
        expect(parser, "BY")?;
        let mut columns = if accept_token(parser, &Token::LParen) {
            let columns = parser.parse_comma_separated(Parser::parse_expr)?;
            parser.expect_token(&Token::RParen)?;
            columns
        } else {
            vec![parser.parse_expr()?]
        };
        columns.insert(0, named_call(Ident::with_span(table_token.span, TABLE_ARGUMENT), arguments));
        return Ok(named_call(Ident::with_span(table_token.span, TABLE_PARTITIONED), columns));
    }
    Ok(named_call(Ident::with_span(table_token.span, TABLE_ARGUMENT), arguments))
}

fn parse_map(parser: &mut Parser) -> Result<Expr, ParserError> {
    let token = parser.next_token();
    parser.expect_token(&Token::LBracket)?;
    let items = if parser.peek_token_ref().token == Token::RBracket {
        Vec::new()
    } else {
        parser.parse_comma_separated(Parser::parse_expr)?
    };
    parser.expect_token(&Token::RBracket)?;
    Ok(named_call(Ident::with_span(token.span, MAP_CONSTRUCTOR), items))
}

fn parse_row(parser: &mut Parser) -> Result<Expr, ParserError> {
    let token = parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let items = parser.parse_comma_separated(Parser::parse_expr)?;
    parser.expect_token(&Token::RParen)?;
    Ok(named_call(Ident::with_span(token.span, ROW_CONSTRUCTOR), items))
}

/// `ARRAY[…]`: sqlparser would go back and take what it cannot read for an element of a column named ARRAY.
fn parse_array(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.next_token();
    parser.expect_token(&Token::LBracket)?;
    parser.parse_array_expr(true)
}

fn parse_name(parser: &mut Parser) -> Expr {
    let token = parser.next_token();
    Expr::Identifier(Ident::with_span(token.span, token.token.to_string()))
}

fn parse_ceiling(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.next_token();
    parser.parse_ceil_floor_expr(true)
}

/// `TRIM([BOTH | LEADING | TRAILING] [characters] FROM text)` or `TRIM(text)`; sqlparser wants characters before FROM.
fn parse_trim(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let sides =
        [("BOTH", TrimWhereField::Both), ("LEADING", TrimWhereField::Leading), ("TRAILING", TrimWhereField::Trailing)];
    let trim_where = sides.into_iter().find(|(name, _)| accept(parser, name)).map(|(_, side)| side);
    let (mut trim_what, mut expr) = (None, None);
    if trim_where.is_none() || !is_word(&parser.peek_token_ref().token, "FROM") {
        expr = Some(Box::new(parser.parse_expr()?));
    }
    if trim_where.is_some() || is_word(&parser.peek_token_ref().token, "FROM") {
        expect(parser, "FROM")?;
        trim_what = expr.replace(Box::new(parser.parse_expr()?));
    }
    let Some(expr) = expr else { return parser.expected("a text", parser.peek_token()) };
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Trim { trim_where, trim_what, expr, trim_characters: None })
}

pub(super) fn named_call(name: Ident, items: Vec<Expr>) -> Expr {
    let args = items.into_iter().map(|item| FunctionArg::Unnamed(FunctionArgExpr::Expr(item))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
