//! Rows of VALUES without parentheses: `VALUES 1, 2` are two rows of one column. sqlparser wants parentheses around each row.
use sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::words::is_word;

/// Words that may stand behind the rows of VALUES.
const BEHIND: [&str; 8] = ["UNION", "EXCEPT", "INTERSECT", "MINUS", "ORDER", "LIMIT", "OFFSET", "FETCH"];

/// Words that begin a query, which is no row.
const QUERIES: [&str; 5] = ["SELECT", "WITH", "VALUES", "TABLE", "FROM"];

/// What is read within the innermost brackets that are open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// No rows of VALUES.
    Other,
    /// A row is to come.
    BeforeRow,
    /// A row in its parentheses, or what is none.
    Row,
    /// A row that gets parentheses.
    BareRow,
}

/// The tokens of a statement, with parentheses around each row of VALUES that has none.
pub(super) fn in_parentheses(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let added = missing(&tokens);
    if added.is_empty() {
        return tokens;
    }
    let mut all = Vec::with_capacity(tokens.len() + added.len());
    let mut added = added.into_iter().peekable();
    for (position, token) in tokens.into_iter().enumerate() {
        while let Some((_, parenthesis)) = added.next_if(|(before, _)| *before <= position) {
            all.push(parenthesis);
        }
        all.push(token);
    }
    all.extend(added.map(|(_, parenthesis)| parenthesis));
    all
}

/// The parentheses that are missing, each with the position of the token before which it belongs.
fn missing(tokens: &[TokenWithSpan]) -> Vec<(usize, TokenWithSpan)> {
    let mut added = Vec::new();
    let mut around: Vec<Reading> = Vec::new();
    let mut reading = Reading::Other;
    for (position, TokenWithSpan { token, span }) in tokens.iter().enumerate() {
        if ends_row(token) {
            if reading == Reading::BareRow {
                added.push((position, closing(tokens, position)));
            }
            reading = match (token, reading) {
                (Token::Comma, Reading::Row | Reading::BareRow) => Reading::BeforeRow,
                // Also for a comma where a row should be: the error stands there.
                _ => Reading::Other,
            };
        } else if reading == Reading::BeforeRow {
            reading = Reading::Row;
            if is_bare(token, tokens.get(position + 1)) {
                reading = Reading::BareRow;
                added.push((position, parenthesis(Token::LParen, Span { start: span.start, end: span.start })));
            }
        }
        match token {
            Token::LParen | Token::LBracket => around.push(std::mem::replace(&mut reading, Reading::Other)),
            Token::RParen | Token::RBracket => reading = around.pop().unwrap_or(Reading::Other),
            Token::SemiColon => around.clear(),
            token if is_word(token, "VALUES") && !follows_period(tokens, position) => reading = Reading::BeforeRow,
            _ => {}
        }
    }
    if reading == Reading::BareRow {
        added.push((tokens.len(), closing(tokens, tokens.len())));
    }
    added
}

/// Whether a token is behind a row, if it is in no brackets within it.
fn ends_row(token: &Token) -> bool {
    matches!(token, Token::Comma | Token::RParen | Token::RBracket | Token::SemiColon | Token::EOF)
        || BEHIND.iter().any(|word| is_word(token, word))
}

/// Whether a row begins with this token that has no parentheses. As in Flink, a parenthesis at the beginning is the row's own:
/// `(1) + 2` is none.
fn is_bare(token: &Token, next: Option<&TokenWithSpan>) -> bool {
    let row = is_word(token, "ROW") && next.is_some_and(|next| next.token == Token::LParen);
    !(row || matches!(token, Token::LParen | Token::Mul) || QUERIES.iter().any(|word| is_word(token, word)))
}

/// Whether the word is part of a name.
fn follows_period(tokens: &[TokenWithSpan], position: usize) -> bool {
    position.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|before| before.token == Token::Period)
}

/// The end of a row, where its last token ends: the error of a row that lacks something is told there.
fn closing(tokens: &[TokenWithSpan], position: usize) -> TokenWithSpan {
    let end = position.checked_sub(1).and_then(|before| tokens.get(before)).map_or(Span::empty(), |last| last.span).end;
    parenthesis(Token::RParen, Span { start: end, end })
}

fn parenthesis(token: Token, span: Span) -> TokenWithSpan {
    TokenWithSpan { token, span }
}
