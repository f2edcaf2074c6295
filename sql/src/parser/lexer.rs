//! From a statement's text to the tokens that the parser reads: sqlparser's, with Flink's lexis settled beforehand.
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location as TokenLocation, Span, Token, TokenWithSpan, Tokenizer, Whitespace, Word};

use super::dialect::FlinkDialect;
use crate::error::{Error, Location, Result};

/// So deep an expression may be built of operators in a row; a deeper one could exhaust the stack.
const MAX_OPERATORS_IN_A_ROW: usize = 1_000;

/// The tokens of a statement that begins at `start`, without white space. A table's `/*+ OPTIONS(…) */` becomes the argument
/// list `(OPTIONS(…))` after the table's name; other hints are dropped as comments are.
pub(super) fn tokenize(text: &str, start: Location) -> Result<Vec<TokenWithSpan>> {
    let raw = Tokenizer::new(&FlinkDialect, text)
        .tokenize_with_location()
        .map_err(|e| lexical(&e.message, shift(e.location, start)))?;
    let mut tokens: Vec<TokenWithSpan> = Vec::with_capacity(raw.len());
    let mut newline = false;
    for TokenWithSpan { token, span } in raw {
        let span = Span { start: shift(span.start, start), end: shift(span.end, start) };
        match token {
            Token::Whitespace(Whitespace::MultiLineComment(comment)) => {
                if let Some(hint) = comment.strip_prefix('+') {
                    push_hint(&mut tokens, hint, span)?;
                }
                newline |= comment.contains('\n');
                continue;
            }
            Token::Whitespace(space) => {
                newline |= !matches!(space, Whitespace::Space | Whitespace::Tab);
                continue;
            }
            Token::ShiftRight => {
                tokens.push(TokenWithSpan { token: Token::Gt, span });
                tokens.push(TokenWithSpan { token: Token::Gt, span });
            }
            Token::NationalStringLiteral(s) | Token::UnicodeStringLiteral(s) | Token::SingleQuotedString(s) => {
                push_string(&mut tokens, s, span, newline);
            }
            Token::DoubleQuotedString(_) => {
                return Err(encountered("\"", span.start, "a name in `back ticks` or a string in 'quotes'"));
            }
            Token::Number(number, true) => {
                tokens.push(TokenWithSpan { token: Token::Number(number, false), span });
                tokens.push(TokenWithSpan { token: Token::make_word("L", None), span });
            }
            token => tokens.push(TokenWithSpan { token, span }),
        }
        newline = false;
    }
    refuse_endless_chains(&tokens)?;
    Ok(tokens)
}

/// A string, joined to the one before it if only a line break is between, and without its charset (`_UTF8'…'`).
fn push_string(tokens: &mut Vec<TokenWithSpan>, text: String, span: Span, newline: bool) {
    match tokens.last_mut() {
        Some(TokenWithSpan { token: Token::SingleQuotedString(before), .. }) if newline => {
            before.push_str(&text);
            return;
        }
        Some(TokenWithSpan { token: Token::Word(word), span: place })
            if word.quote_style.is_none() && word.value.starts_with('_') && place.end == span.start =>
        {
            tokens.pop();
        }
        _ => {}
    }
    tokens.push(TokenWithSpan { token: Token::SingleQuotedString(text), span });
}

fn push_hint(tokens: &mut Vec<TokenWithSpan>, hint: &str, span: Span) -> Result<()> {
    let after_name = matches!(
        tokens.last().map(|last| &last.token),
        Some(Token::Word(Word { keyword, .. })) if *keyword != Keyword::SELECT
    );
    if !after_name {
        return Ok(());
    }
    let place = Location { line: span.start.line, column: span.start.column + 3 };
    let inner = tokenize(hint, place)?;
    let is_options =
        matches!(inner.first().map(|t| &t.token), Some(Token::Word(w)) if w.value.eq_ignore_ascii_case("OPTIONS"));
    if is_options {
        tokens.push(TokenWithSpan { token: Token::LParen, span });
        tokens.extend(inner);
        tokens.push(TokenWithSpan { token: Token::RParen, span });
    }
    Ok(())
}

/// Left-associative operators nest once each; what would nest too deep to be walked is refused here.
fn refuse_endless_chains(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut counts = vec![0_usize];
    for TokenWithSpan { token, span } in tokens {
        match token {
            Token::LParen | Token::LBracket => counts.push(0),
            Token::RParen | Token::RBracket => {
                counts.pop();
            }
            Token::Comma => {
                counts.pop();
                counts.push(0);
            }
            Token::SemiColon => counts = vec![0],
            Token::Word(word)
                if matches!(word.keyword, Keyword::AND | Keyword::OR | Keyword::UNION | Keyword::NOT | Keyword::IS) =>
            {
                bump(&mut counts);
            }
            Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::StringConcat | Token::Period => {
                bump(&mut counts);
            }
            _ => {}
        }
        if counts.last().is_some_and(|count| *count > MAX_OPERATORS_IN_A_ROW) {
            let message = format!("More than {MAX_OPERATORS_IN_A_ROW} operators in a row at {}.", place(span.start));
            return Err(Error::Parse { message, location: Some(place(span.start)) });
        }
    }
    Ok(())
}

fn bump(counts: &mut Vec<usize>) {
    match counts.last_mut() {
        Some(count) => *count += 1,
        None => counts.push(1),
    }
}

fn shift(inner: TokenLocation, start: Location) -> TokenLocation {
    let column = if inner.line <= 1 { inner.column + start.column - 1 } else { inner.column };
    TokenLocation { line: inner.line.max(1) + start.line - 1, column }
}

/// Our location of a token's.
pub(crate) fn place(location: TokenLocation) -> Location {
    Location { line: location.line, column: location.column }
}

fn lexical(message: &str, location: TokenLocation) -> Error {
    let message = format!("Lexical error at {}: {message}.", place(location));
    Error::Parse { message, location: Some(place(location)) }
}

/// The error for a token that does not belong where it stands.
pub(super) fn encountered(found: &str, at: TokenLocation, expected: &str) -> Error {
    let message = format!("Encountered \"{found}\" at {}.\nWas expecting: {expected}", place(at));
    Error::Parse { message, location: Some(place(at)) }
}
