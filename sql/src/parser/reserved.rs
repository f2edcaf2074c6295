//! Words that are no names unless they stand in back ticks.
use sqlparser::ast::{Ident, ObjectName};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::lexer::encountered;
use crate::error::Result;

/// What is expected where one of them stands.
const NAME: &str = "a name (a reserved word is one in `back ticks`)";

/// Whether Flink's grammar reserves a word.
fn is_reserved(word: &str) -> bool {
    RESERVED.binary_search(&word.to_ascii_uppercase().as_str()).is_ok()
}

/// A name where the parser expects one.
pub(super) fn identifier(parser: &mut Parser) -> Result<Ident, ParserError> {
    refuse_next(parser)?;
    parser.parse_identifier()
}

/// A name of one or more parts where the parser expects one.
pub(super) fn object_name(parser: &mut Parser) -> Result<ObjectName, ParserError> {
    refuse_next(parser)?;
    let name = parser.parse_object_name(false)?;
    for part in name.0.iter().filter_map(|part| part.as_ident()) {
        if part.quote_style.is_none() && is_reserved(&part.value) {
            let at = part.span.start;
            let text = format!("Expected: {NAME}, found: {} at Line: {}, Column: {}", part.value, at.line, at.column);
            return Err(ParserError::ParserError(text));
        }
    }
    Ok(name)
}

fn refuse_next(parser: &Parser) -> Result<(), ParserError> {
    match &parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style.is_none() && is_reserved(&word.value) => {
            parser.expected(NAME, parser.peek_token())
        }
        _ => Ok(()),
    }
}

/// A name as a statement has to write it: in back ticks where it is no word, or a reserved one.
pub fn as_written(name: &str) -> String {
    let begins = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let is_word = begins && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$');
    if is_word && !is_reserved(name) { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}

/// Refuses a name of a query, which sqlparser reads: it knows reserved words of other grammars.
pub(crate) fn refuse(name: &Ident) -> Result<()> {
    // A name without a place is no word of a text.
    if name.quote_style.is_some() || name.span.start.line == 0 || !is_reserved(&name.value) {
        return Ok(());
    }
    Err(encountered(&name.value, name.span.start, NAME))
}

/// In order. Those of Calcite's grammar that Flink's does not free, and Flink's own; without the functions that are called
/// without parentheses (CURRENT_DATE), and without words of which we do not know for sure.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "ABS", "ALL", "ALLOCATE", "ALLOW", "ALTER", "AND", "ANY", "ARE", "ARRAY", "ARRAY_MAX_CARDINALITY", "AS",
    "ASENSITIVE", "ASYMMETRIC", "AT", "ATOMIC", "AUTHORIZATION", "AVG", "BEGIN", "BEGIN_FRAME", "BEGIN_PARTITION",
    "BETWEEN", "BIGINT", "BINARY", "BIT", "BLOB", "BOOLEAN", "BOTH", "BY", "BYTES", "CALL", "CALLED", "CARDINALITY",
    "CASCADED", "CASE", "CAST", "CATALOGS", "CEIL", "CEILING", "CHAR", "CHARACTER", "CHARACTER_LENGTH",
    "CHAR_LENGTH", "CHECK", "CLASSIFIER", "CLOB", "CLOSE", "COALESCE", "COLLATE", "COLLECT", "COLUMN", "COMMENT",
    "COMMIT", "CONDITION", "CONNECT", "CONSTRAINT", "CONTAINS", "CONVERT", "CORR", "CORRESPONDING", "COUNT",
    "COVAR_POP", "COVAR_SAMP", "CREATE", "CROSS", "CUBE", "CUME_DIST", "CURRENT", "CURSOR", "CYCLE", "DATABASES",
    "DATE", "DAY", "DEALLOCATE", "DEC", "DECIMAL", "DECLARE", "DEFAULT", "DEFINE", "DELETE", "DENSE_RANK", "DEREF",
    "DESCRIBE", "DETERMINISTIC", "DISALLOW", "DISCONNECT", "DISTINCT", "DOUBLE", "DROP", "DYNAMIC", "EACH",
    "ELEMENT", "ELSE", "EMPTY", "END", "END_FRAME", "END_PARTITION", "EQUALS", "ESCAPE", "EVERY", "EXCEPT", "EXEC",
    "EXECUTE", "EXISTS", "EXP", "EXPLAIN", "EXTEND", "EXTENDED", "EXTERNAL", "EXTRACT", "FALSE", "FETCH", "FILTER",
    "FIRST_VALUE", "FLOAT", "FLOOR", "FOR", "FOREIGN", "FRAME_ROW", "FREE", "FROM", "FULL", "FUNCTION", "FUNCTIONS",
    "FUSION", "GET", "GLOBAL", "GRANT", "GROUP", "GROUPING", "GROUPS", "HASH", "HAVING", "HOLD", "HOUR", "IDENTITY",
    "IMPORT", "IN", "INDICATOR", "INITIAL", "INNER", "INOUT", "INSENSITIVE", "INSERT", "INT", "INTEGER", "INTERSECT",
    "INTERSECTION", "INTERVAL", "INTO", "IS", "JOIN", "LAG", "LANGUAGE", "LARGE", "LAST_VALUE", "LATERAL", "LEAD",
    "LEADING", "LEFT", "LIKE", "LIKE_REGEX", "LIMIT", "LN", "LOCAL", "LOWER", "MATCH", "MATCHES", "MATCH_NUMBER",
    "MATCH_RECOGNIZE", "MAX", "MEASURES", "MEMBER", "MERGE", "METHOD", "MIN", "MINUS", "MINUTE", "MOD", "MODIFIES",
    "MODIFY", "MODULE", "MODULES", "MONTH", "MULTISET", "NATIONAL", "NATURAL", "NCHAR", "NCLOB", "NEW", "NEXT", "NO",
    "NONE", "NORMALIZE", "NOT", "NTH_VALUE", "NTILE", "NULL", "NULLIF", "NUMERIC", "OCCURRENCES_REGEX",
    "OCTET_LENGTH", "OF", "OFFSET", "OLD", "OMIT", "ON", "ONE", "ONLY", "OPEN", "OR", "ORDER", "OUT", "OUTER",
    "OVER", "OVERLAPS", "OVERLAY", "PARAMETER", "PARTITION", "PATTERN", "PER", "PERCENT", "PERCENTILE_CONT",
    "PERCENTILE_DISC", "PERCENT_RANK", "PERIOD", "PERMUTE", "PORTION", "POSITION", "POSITION_REGEX", "POWER",
    "PRECEDES", "PRECISION", "PREPARE", "PREV", "PRIMARY", "PROCEDURE", "PROCEDURES", "QUALIFY", "RANGE", "RANK", "RAW",
    "READS", "REAL", "RECURSIVE", "REF", "REFERENCES", "REFERENCING", "RELEASE", "RENAME", "RESET", "RESULT",
    "RETURN", "RETURNS", "REVOKE", "RIGHT", "ROLLBACK", "ROLLUP", "ROW", "ROWS", "ROW_NUMBER", "RUNNING",
    "SAVEPOINT", "SCALA", "SCOPE", "SCROLL", "SEARCH", "SECOND", "SEEK", "SELECT", "SENSITIVE", "SET", "SHOW",
    "SIMILAR", "SKIP", "SMALLINT", "SOME", "SPECIFIC", "SPECIFICTYPE", "SQL", "SQLEXCEPTION", "SQLSTATE",
    "SQLWARNING", "SQRT", "START", "STATIC", "STDDEV_POP", "STDDEV_SAMP", "STREAM", "STRING", "STRUCTURED",
    "SUBMULTISET", "SUBSET", "SUBSTRING", "SUBSTRING_REGEX", "SUCCEEDS", "SUM", "SYMMETRIC", "SYSTEM", "SYSTEM_TIME",
    "TABLE", "TABLES", "TABLESAMPLE", "THEN", "TIME", "TIMESTAMP", "TIMESTAMP_LTZ", "TIMEZONE_HOUR",
    "TIMEZONE_MINUTE", "TINYINT", "TO", "TRAILING", "TRANSLATE", "TRANSLATE_REGEX", "TRANSLATION", "TREAT",
    "TRIGGER", "TRIM", "TRIM_ARRAY", "TRUE", "TRUNCATE", "UESCAPE", "UNION", "UNIQUE", "UNNEST", "UPDATE", "UPPER",
    "UPSERT", "USE", "USER", "USING", "VALUE", "VALUES", "VALUE_OF", "VARBINARY", "VARCHAR", "VARYING", "VAR_POP",
    "VAR_SAMP", "VERSIONING", "VIEWS", "WATERMARK", "WATERMARKS", "WHEN", "WHENEVER", "WHERE", "WIDTH_BUCKET",
    "WINDOW", "WITH", "WITHIN", "WITHOUT", "YEAR",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_found() {
        assert!(RESERVED.is_sorted());
        let names = ["a_1", "größe", "order", "two words", "1a", "a`b"];
        assert_eq!(names.map(as_written), ["a_1", "größe", "`order`", "`two words`", "`1a`", "`a``b`"]);
        assert!(["value", "ORDER", "User", "comment"].into_iter().all(is_reserved));
        assert!(
            !["name", "key", "type", "length", "version", "current_date", "order_", ""].into_iter().any(is_reserved)
        );
    }
}
