//! Flink's types as they are written in `CREATE TABLE` and `CAST`.
use std::collections::HashSet;

use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;
use wiesel_common::text::suggestion;
use wiesel_expressions::types::{LogicalType, MAX_LENGTH, RowField, TimeAttribute, TypeKind};

use super::reserved::identifier;
use super::words::{accept, accept_all, accept_token, expect, is_word, string};

/// The resolution of every interval of months, as Flink's planner has it.
pub(crate) const MONTH_RESOLUTION: &str = "MONTH";
/// The resolution of every interval of time, as Flink's planner has it.
pub(crate) const SECOND_RESOLUTION: &str = "SECOND(3)";
/// Types within types, at most: those who read a message of a type bound how deep it is.
pub(crate) const MAX_DEPTH: usize = 32;

/// The names that types are mostly written by, to propose the nearest.
const NAMES: [&str; 26] = [
    "ARRAY",
    "BIGINT",
    "BINARY",
    "BITMAP",
    "BOOLEAN",
    "BYTES",
    "CHAR",
    "DATE",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "INT",
    "INTEGER",
    "INTERVAL",
    "MAP",
    "MULTISET",
    "ROW",
    "SMALLINT",
    "STRING",
    "STRUCTURED",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "TINYINT",
    "VARCHAR",
    "VARIANT",
];

/// A type with its nullability, and `ARRAY` and `MULTISET` after it.
pub(super) fn parse_type(parser: &mut Parser) -> Result<LogicalType, ParserError> {
    parse_nested(parser, 0)
}

fn parse_nested(parser: &mut Parser, depth: usize) -> Result<LogicalType, ParserError> {
    refuse_too_deep(parser, depth)?;
    let mut data_type = LogicalType { kind: parse_kind(parser, depth)?, nullable: true };
    data_type.nullable = parse_nullable(parser)?;
    for around in depth + 1.. {
        if accept(parser, "ARRAY") {
            data_type = TypeKind::Array(Box::new(data_type)).nullable();
        } else if accept(parser, "MULTISET") {
            data_type = TypeKind::Multiset(Box::new(data_type)).nullable();
        } else {
            break;
        }
        refuse_too_deep(parser, around)?;
        data_type.nullable = parse_nullable(parser)?;
    }
    Ok(data_type)
}

/// `depth`: types around the one that is parsed.
fn refuse_too_deep(parser: &Parser, depth: usize) -> Result<(), ParserError> {
    if depth < MAX_DEPTH {
        return Ok(());
    }
    parser.expected("at most 32 types within each other", parser.peek_token())
}

fn parse_nullable(parser: &mut Parser) -> Result<bool, ParserError> {
    if accept(parser, "NOT") {
        expect(parser, "NULL")?;
        return Ok(false);
    }
    // The `NULL ON EMPTY` behind the type that a function of JSON returns is none of the type's.
    if !is_word(&parser.peek_nth_token_ref(1).token, "ON") {
        accept(parser, "NULL");
    }
    Ok(true)
}

fn parse_kind(parser: &mut Parser, depth: usize) -> Result<TypeKind, ParserError> {
    let token = parser.peek_token();
    let Token::Word(word) = &token.token else { return parser.expected("a type", token) };
    if word.quote_style.is_some() {
        return parser.expected("a type", token);
    }
    let name = word.value.to_ascii_uppercase();
    parser.next_token();
    Ok(match name.as_str() {
        "CHAR" | "CHARACTER" => {
            if accept(parser, "VARYING") {
                TypeKind::Varchar(length(parser)?.unwrap_or(MAX_LENGTH))
            } else {
                TypeKind::Char(length(parser)?.unwrap_or(1))
            }
        }
        "VARCHAR" => TypeKind::Varchar(length(parser)?.unwrap_or(MAX_LENGTH)),
        "STRING" => TypeKind::string(),
        "BOOLEAN" => TypeKind::Boolean,
        "BINARY" => {
            if accept(parser, "VARYING") {
                TypeKind::Varbinary(length(parser)?.unwrap_or(MAX_LENGTH))
            } else {
                TypeKind::Binary(length(parser)?.unwrap_or(1))
            }
        }
        "VARBINARY" => TypeKind::Varbinary(length(parser)?.unwrap_or(MAX_LENGTH)),
        "BYTES" => TypeKind::bytes(),
        "DECIMAL" | "DEC" | "NUMERIC" => decimal(parser)?,
        "TINYINT" => TypeKind::Tinyint,
        "SMALLINT" => TypeKind::Smallint,
        "INT" | "INTEGER" => TypeKind::Int,
        "BIGINT" => TypeKind::Bigint,
        "FLOAT" => TypeKind::Float,
        "DOUBLE" => {
            accept(parser, "PRECISION");
            TypeKind::Double
        }
        "DATE" => TypeKind::Date,
        "TIME" => {
            let precision = precision(parser, 0)?;
            accept_all(parser, &["WITHOUT", "TIME", "ZONE"]);
            TypeKind::Time(precision)
        }
        "TIMESTAMP" => {
            let precision = precision(parser, 6)?;
            if accept_all(parser, &["WITH", "LOCAL", "TIME", "ZONE"]) {
                TypeKind::TimestampLtz(precision, TimeAttribute::Regular)
            } else if accept_all(parser, &["WITH", "TIME", "ZONE"]) {
                return parser
                    .expected("TIMESTAMP or TIMESTAMP_LTZ: TIMESTAMP WITH TIME ZONE is no type of a table", token);
            } else {
                accept_all(parser, &["WITHOUT", "TIME", "ZONE"]);
                TypeKind::Timestamp(precision, TimeAttribute::Regular)
            }
        }
        "TIMESTAMP_LTZ" => TypeKind::TimestampLtz(precision(parser, 6)?, TimeAttribute::Regular),
        "INTERVAL" => interval(parser)?,
        "ARRAY" => {
            parser.expect_token(&Token::Lt)?;
            let element = parse_nested(parser, depth + 1)?;
            parser.expect_token(&Token::Gt)?;
            TypeKind::Array(Box::new(element))
        }
        "MULTISET" => {
            parser.expect_token(&Token::Lt)?;
            let element = parse_nested(parser, depth + 1)?;
            parser.expect_token(&Token::Gt)?;
            TypeKind::Multiset(Box::new(element))
        }
        "MAP" => {
            parser.expect_token(&Token::Lt)?;
            let key = parse_nested(parser, depth + 1)?;
            parser.expect_token(&Token::Comma)?;
            let value = parse_nested(parser, depth + 1)?;
            parser.expect_token(&Token::Gt)?;
            TypeKind::Map(Box::new(key), Box::new(value))
        }
        "ROW" => row(parser, depth)?,
        "STRUCTURED" => structured(parser, depth)?,
        "VARIANT" => TypeKind::Variant,
        "BITMAP" => TypeKind::Bitmap,
        "NULL" => TypeKind::Null,
        _ => return parser.expected(&format!("a type{}", suggestion(&name, NAMES.into_iter())), token),
    })
}

fn row(parser: &mut Parser, depth: usize) -> Result<TypeKind, ParserError> {
    if accept_token(parser, &Token::Neq) {
        return Ok(TypeKind::Row(Vec::new()));
    }
    let close = if accept_token(parser, &Token::LParen) {
        Token::RParen
    } else {
        parser.expect_token(&Token::Lt)?;
        Token::Gt
    };
    let mut fields: Vec<RowField> = Vec::new();
    let mut names = HashSet::new();
    if accept_token(parser, &close) {
        return Ok(TypeKind::Row(fields));
    }
    loop {
        fields.push(field(parser, depth, &mut names)?);
        if !accept_token(parser, &Token::Comma) {
            break;
        }
    }
    parser.expect_token(&close)?;
    Ok(TypeKind::Row(fields))
}

/// A field of a ROW or a structured type, whose name none of `names` has.
fn field(parser: &mut Parser, depth: usize, names: &mut HashSet<String>) -> Result<RowField, ParserError> {
    let name = identifier(parser)?;
    if !names.insert(name.value.clone()) {
        return parser
            .expected(&format!("field names that differ: `{}` stands twice", name.value), parser.peek_token());
    }
    let data_type = parse_nested(parser, depth + 1)?;
    // A field's type or its comment may follow in either dialect of the ROW; the comment is not part of the type.
    if accept(parser, "COMMENT") || matches!(parser.peek_token_ref().token, Token::SingleQuotedString(_)) {
        string(parser)?;
    }
    Ok(RowField::new(name.value, data_type))
}

/// `<'class', name type, …>`. Without fields a comma may stand behind the class, too.
fn structured(parser: &mut Parser, depth: usize) -> Result<TypeKind, ParserError> {
    parser.expect_token(&Token::Lt)?;
    let token = parser.peek_token();
    let class = string(parser)?;
    if !is_class_name(&class) {
        return parser.expected("a class name that complies with JVM identifier rules", token);
    }
    let (mut fields, mut names) = (Vec::new(), HashSet::new());
    while accept_token(parser, &Token::Comma) && parser.peek_token_ref().token != Token::Gt {
        fields.push(field(parser, depth, &mut names)?);
    }
    parser.expect_token(&Token::Gt)?;
    Ok(TypeKind::Structured(class, fields))
}

/// Words that Java does not take for names.
#[rustfmt::skip]
const JAVA_WORDS: [&str; 54] = [
    "_", "abstract", "assert", "boolean", "break", "byte", "case", "catch", "char", "class", "const", "continue",
    "default", "do", "double", "else", "enum", "extends", "false", "final", "finally", "float", "for", "goto", "if",
    "implements", "import", "instanceof", "int", "interface", "long", "native", "new", "null", "package", "private",
    "protected", "public", "return", "short", "static", "strictfp", "super", "switch", "synchronized", "this", "throw",
    "throws", "transient", "true", "try", "void", "volatile", "while",
];

/// Whether a text is the name of a Java class: names with dots between them.
pub(crate) fn is_class_name(text: &str) -> bool {
    let begins = |character: char| character.is_alphabetic() || matches!(character, '_' | '$' | '¢'..='¥' | '€');
    text.split('.').all(|name| {
        let mut characters = name.chars();
        characters.next().is_some_and(begins)
            && characters.all(|character| begins(character) || character.is_numeric())
            && !JAVA_WORDS.contains(&name)
    })
}

fn number(parser: &mut Parser, least: u64, most: u64) -> Result<u64, ParserError> {
    let token = parser.peek_token();
    let value = parser.parse_literal_uint()?;
    if value < least || value > most {
        return parser.expected(&format!("a number from {least} to {most}"), token);
    }
    Ok(value)
}

fn length(parser: &mut Parser) -> Result<Option<u32>, ParserError> {
    if !accept_token(parser, &Token::LParen) {
        return Ok(None);
    }
    let length = number(parser, 1, u64::from(MAX_LENGTH))?;
    parser.expect_token(&Token::RParen)?;
    Ok(u32::try_from(length).ok())
}

fn precision(parser: &mut Parser, default: u8) -> Result<u8, ParserError> {
    if !accept_token(parser, &Token::LParen) {
        return Ok(default);
    }
    let precision = number(parser, 0, 9)?;
    parser.expect_token(&Token::RParen)?;
    Ok(precision as u8)
}

fn decimal(parser: &mut Parser) -> Result<TypeKind, ParserError> {
    if !accept_token(parser, &Token::LParen) {
        return Ok(TypeKind::Decimal(10, 0));
    }
    let precision = number(parser, 1, 38)?;
    let scale = if accept_token(parser, &Token::Comma) { number(parser, 0, precision)? } else { 0 };
    parser.expect_token(&Token::RParen)?;
    Ok(TypeKind::Decimal(precision as u8, scale as i8))
}

fn interval(parser: &mut Parser) -> Result<TypeKind, ParserError> {
    let units = ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"];
    let Some(leading) = units.iter().position(|unit| accept(parser, unit)) else {
        return parser.expected("a unit of time such as SECOND, MINUTE, HOUR, DAY, MONTH or YEAR", parser.peek_token());
    };
    interval_precision(parser)?;
    if accept(parser, "TO") {
        let token = parser.peek_token();
        let same_kind = |last: usize| last > leading && (last < 2) == (leading < 2);
        match units.iter().position(|unit| accept(parser, unit)) {
            Some(last) if same_kind(last) => interval_precision(parser)?,
            _ => return parser.expected("a smaller unit of time", token),
        }
    }
    Ok(if leading < 2 {
        TypeKind::IntervalYearMonth(MONTH_RESOLUTION.to_owned())
    } else {
        TypeKind::IntervalDayTime(SECOND_RESOLUTION.to_owned())
    })
}

fn interval_precision(parser: &mut Parser) -> Result<(), ParserError> {
    if accept_token(parser, &Token::LParen) {
        number(parser, 0, 9)?;
        if accept_token(parser, &Token::Comma) {
            number(parser, 0, 9)?;
        }
        parser.expect_token(&Token::RParen)?;
    }
    Ok(())
}
