//! Small steps over a parser's tokens by word: many of Flink's words are no keywords of sqlparser's.
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;
use wiesel_common::text::{nearest, suggestion};

/// The words that go on with a query.
const CLAUSES: [&str; 13] = [
    "EXCEPT",
    "FETCH",
    "FROM",
    "GROUP",
    "HAVING",
    "INTERSECT",
    "JOIN",
    "LIMIT",
    "OFFSET",
    "ORDER",
    "UNION",
    "WHERE",
    "WINDOW",
];

/// Whether a token is this word, unquoted, in any case.
pub(super) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

/// Whether this word is next.
pub(super) fn peek(parser: &Parser, word: &str) -> bool {
    is_word(&parser.peek_token_ref().token, word)
}

/// Takes the word if it is next.
pub(super) fn accept(parser: &mut Parser, word: &str) -> bool {
    let found = peek(parser, word);
    if found {
        parser.next_token();
    }
    found
}

/// Takes all the words if they are next.
pub(super) fn accept_all(parser: &mut Parser, words: &[&str]) -> bool {
    let found = words.iter().enumerate().all(|(i, word)| is_word(&parser.peek_nth_token_ref(i).token, word));
    if found {
        words.iter().for_each(|_| {
            parser.next_token();
        });
    }
    found
}

/// Takes the word or fails.
pub(super) fn expect(parser: &mut Parser, word: &str) -> Result<(), ParserError> {
    if accept(parser, word) { Ok(()) } else { parser.expected(word, parser.peek_token()) }
}

/// The error for what is none of these words, with the one that is most like it.
pub(super) fn expected_word<T>(parser: &Parser, expected: &str, words: &[&str]) -> Result<T, ParserError> {
    let found = parser.peek_token();
    let near = match &found.token {
        Token::Word(word) if word.quote_style.is_none() => {
            suggestion(&word.value.to_uppercase(), words.iter().copied())
        }
        _ => String::new(),
    };
    parser.expected(&format!("{expected}{near}"), found)
}

/// The error for what stands behind a whole statement, with the word that would go on with it if that was misspelt: here, or just
/// before a word or number, where it was taken for an alias: `FROM t WHER a = 1`.
pub(super) fn expected_end<T>(parser: &Parser) -> Result<T, ParserError> {
    let found = parser.peek_token();
    let follows_alias = matches!(found.token, Token::Word(_) | Token::Number(..));
    let alias = Some(&parser.get_current_token().token).filter(|_| follows_alias);
    let near = match (clause_like(&found.token), alias.and_then(clause_like)) {
        (Some((clause, _)), _) => format!("; did you mean '{clause}'?"),
        (None, Some((clause, word))) => format!("; did you mean '{clause}' with '{word}'?"),
        (None, None) => String::new(),
    };
    parser.expected(&format!("the end of the statement{near}"), found)
}

/// The word of [`CLAUSES`] that is most like this one, with this one.
fn clause_like(token: &Token) -> Option<(&'static str, &str)> {
    let Token::Word(word) = token else { return None };
    let word = Some(word.value.as_str()).filter(|_| word.quote_style.is_none())?;
    Some((nearest(&word.to_uppercase(), CLAUSES.into_iter())?, word))
}

/// Takes the words or fails at the first that is missing.
pub(super) fn expect_all(parser: &mut Parser, words: &[&str]) -> Result<(), ParserError> {
    words.iter().try_for_each(|word| expect(parser, word))
}

/// Takes the token if it is next.
pub(super) fn accept_token(parser: &mut Parser, token: &Token) -> bool {
    parser.consume_token(token)
}

/// A string literal.
pub(super) fn string(parser: &mut Parser) -> Result<String, ParserError> {
    match &parser.peek_token_ref().token {
        Token::SingleQuotedString(text) => {
            let text = text.clone();
            parser.next_token();
            Ok(text)
        }
        _ => parser.expected("a string in 'quotes'", parser.peek_token()),
    }
}

/// Items between parentheses, separated by commas; at least one.
pub(super) fn parenthesized<T>(
    parser: &mut Parser,
    mut item: impl FnMut(&mut Parser) -> Result<T, ParserError>,
) -> Result<Vec<T>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let mut items = vec![item(parser)?];
    while accept_token(parser, &Token::Comma) {
        items.push(item(parser)?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(items)
}
