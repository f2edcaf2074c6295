//! From a statement's text to the tokens that the parser reads: sqlparser's, with Flink's lexis settled beforehand.
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location as TokenLocation, Span, Token, TokenWithSpan, Tokenizer, Whitespace, Word};
use wiesel_common::quote::{MAX_IDENTIFIER, quote};

use super::dialect::FlinkDialect;
use crate::error::{Error, Location, Place, Result};

/// So many operators may stand in a row, those of the parentheses around them included: each nests what precedes it once
/// more, and what walks the tree has a stack for as many.
const MAX_OPERATORS_IN_A_ROW: usize = 20_000;

/// So many operators may stand before an operand: the parser calls itself for each.
const MAX_SIGNS_IN_A_ROW: usize = 100;

/// So many words and signs a statement may have: what is parsed of one takes several hundred bytes.
const MAX_TOKENS: usize = 500_000;

/// The tokens of a statement that begins at `start`, without white space. A table's `/*+ OPTIONS(…) */` becomes the argument
/// list `(OPTIONS(…))` after the table's name; other hints are dropped as comments are.
pub(super) fn tokenize(text: &str, start: Location) -> Result<Vec<TokenWithSpan>> {
    let raw = Tokenizer::new(&FlinkDialect::default(), text)
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
            Token::Word(word) if word.value.encode_utf16().nth(MAX_IDENTIFIER).is_some() => {
                return Err(too_long(&word.value, span.start));
            }
            token => tokens.push(TokenWithSpan { token, span }),
        }
        newline = false;
    }
    refuse_what_is_too_deep(&tokens)?;
    super::effort::check_parentheses(&tokens)?;
    reach_over_calls(&mut tokens);
    if tokens.len() > MAX_TOKENS {
        let message = format!(
            "The statement has {} words and signs, of at most {MAX_TOKENS}. Make several of it, or read rows that it contains from a \
             file.",
            tokens.len()
        );
        return Err(Error::Parse { message, location: Some(start) });
    }
    Ok(tokens)
}

/// A word before parentheses, MAP and ARRAY before brackets, reach to where these close: the parser keeps the place of a call's
/// name, and none of its end.
fn reach_over_calls(tokens: &mut [TokenWithSpan]) {
    // The word before each that is open.
    let mut open: Vec<Option<usize>> = Vec::new();
    for index in 0..tokens.len() {
        let token = &tokens[index].token;
        match token {
            Token::LParen | Token::LBracket => {
                let before = index.checked_sub(1).filter(|before| match &tokens[*before].token {
                    Token::Word(word) => {
                        *token == Token::LParen || matches!(word.keyword, Keyword::MAP | Keyword::ARRAY)
                    }
                    _ => false,
                });
                open.push(before);
            }
            Token::RParen | Token::RBracket => {
                // A hint's parentheses stand for the whole of it.
                if let Some(Some(word)) = open.pop()
                    && tokens[word + 1].span != tokens[index].span
                {
                    tokens[word].span.end = tokens[index].span.end;
                }
            }
            _ => {}
        }
    }
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

/// Left-associative operators nest once each; what would nest too deep to be walked is refused here, before it is parsed.
fn refuse_what_is_too_deep(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut levels = vec![Level::default()];
    let (mut all, mut signs) = (0, 0);
    for TokenWithSpan { token, span } in tokens {
        signs = if is_sign(token) { signs + 1 } else { 0 };
        match token {
            Token::LParen => levels.push(Level::default()),
            Token::Word(word) if word.keyword == Keyword::CASE => levels.push(Level::default()),
            Token::LBracket => {
                all += bump(&mut levels, |level| &mut level.operators);
                levels.push(Level::default());
            }
            Token::RParen | Token::RBracket => all -= close(&mut levels),
            Token::Word(word) if word.keyword == Keyword::END => all -= close(&mut levels),
            Token::SemiColon => (levels, all) = (vec![Level::default()], 0),
            token if ends_expression(token) => {
                all -= levels.last_mut().map_or(0, Level::end_expression);
                if is_set_operator(token) {
                    all += bump(&mut levels, |level| &mut level.queries);
                }
            }
            Token::Word(word) if matches!(word.keyword, Keyword::AND | Keyword::OR | Keyword::XOR) => {
                // What binds closer stands beside what precedes the word, not over it.
                all -= levels.last_mut().map_or(0, |level| std::mem::take(&mut level.operators));
                all += bump(&mut levels, |level| &mut level.connectives);
            }
            Token::Word(word) if !is_operator(word.keyword) => {}
            // The parts of a name are a list.
            Token::Number(..) | Token::SingleQuotedString(_) | Token::HexStringLiteral(_) | Token::Period => {}
            _ => all += bump(&mut levels, |level| &mut level.operators),
        }
        if signs > MAX_SIGNS_IN_A_ROW {
            let at = place(span.start);
            let message = format!("More than {MAX_SIGNS_IN_A_ROW} signs or NOTs in a row at {at}.");
            return Err(Error::Parse { message, location: Some(at) });
        }
        if levels.len() > super::MAX_DEPTH {
            let at = place(span.start);
            let message = format!("Expressions or queries nest deeper than {} levels at {at}.", super::MAX_DEPTH);
            return Err(Error::Parse { message, location: Some(at) });
        }
        if all > MAX_OPERATORS_IN_A_ROW {
            let message = format!(
                "More than {MAX_OPERATORS_IN_A_ROW} operators in a row at {}. Compute parts of it in a view or a subquery, or \
                 write a list (IN) instead.",
                place(span.start)
            );
            return Err(Error::Parse { message, location: Some(place(span.start)) });
        }
    }
    Ok(())
}

/// What stands between two parentheses, or between CASE and END.
#[derive(Default)]
struct Level {
    /// AND and OR of the expression so far.
    connectives: usize,
    /// Other operators since the last of them.
    operators: usize,
    /// UNION and its like: the end of an expression does not end their chain.
    queries: usize,
}

impl Level {
    /// What follows is another expression; says what this one counted.
    fn end_expression(&mut self) -> usize {
        std::mem::take(&mut self.operators) + std::mem::take(&mut self.connectives)
    }
}

/// Ends the innermost level and says what it counted.
fn close(levels: &mut Vec<Level>) -> usize {
    levels.pop().map_or(0, |mut closed| closed.end_expression() + closed.queries)
}

/// Whether what follows at this level is another expression.
fn ends_expression(token: &Token) -> bool {
    match token {
        Token::Comma => true,
        Token::Word(word) => {
            matches!(word.keyword, Keyword::WHEN | Keyword::THEN | Keyword::ELSE | Keyword::WHERE | Keyword::HAVING)
                || is_set_operator(token)
        }
        _ => false,
    }
}

fn is_sign(token: &Token) -> bool {
    match token {
        Token::Plus | Token::Minus => true,
        Token::Word(word) => word.keyword == Keyword::NOT,
        _ => false,
    }
}

fn is_set_operator(token: &Token) -> bool {
    matches!(token, Token::Word(word) if matches!(word.keyword, Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT))
}

/// One more at the innermost level; parentheses that close too often are the parser's to complain of.
fn bump(levels: &mut Vec<Level>, count: impl FnOnce(&mut Level) -> &mut usize) -> usize {
    if levels.is_empty() {
        levels.push(Level::default());
    }
    if let Some(level) = levels.last_mut() {
        *count(level) += 1;
    }
    1
}

/// Words that the parser takes as operators.
fn is_operator(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::NOT
            | Keyword::IS
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::SIMILAR
            | Keyword::BETWEEN
            | Keyword::IN
            | Keyword::OVERLAPS
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::MEMBER
            | Keyword::NOTNULL
    )
}

fn shift(inner: TokenLocation, start: Location) -> TokenLocation {
    let column = if inner.line <= 1 { inner.column + start.column - 1 } else { inner.column };
    TokenLocation { line: inner.line.max(1) + start.line - 1, column }
}

/// Our location of a token's.
pub(crate) fn place(location: TokenLocation) -> Location {
    Location { line: location.line, column: location.column }
}

/// Where the tokens of a span stand; nowhere if it is of none.
pub(crate) fn place_of(span: Span) -> Option<Place> {
    // A token's end is the character behind it.
    let end = Location { line: span.end.line, column: span.end.column.saturating_sub(1).max(1) };
    (span.start.line > 0).then(|| Place { start: place(span.start), end: (span.end.line > 0).then_some(end) })
}

/// Flink's words for a name that is too long.
fn too_long(name: &str, at: TokenLocation) -> Error {
    let name = quote(name);
    let message = format!(
        "Length of identifier '{name}' must be less than or equal to {MAX_IDENTIFIER} characters, at {}.",
        place(at)
    );
    Error::Parse { message, location: Some(place(at)) }
}

fn lexical(message: &str, location: TokenLocation) -> Error {
    let message = format!("Lexical error at {}: {}.", place(location), quote(message));
    Error::Parse { message, location: Some(place(location)) }
}

/// The error for a token that does not belong where it stands.
pub(super) fn encountered(found: &str, at: TokenLocation, expected: &str) -> Error {
    let found = quote(found);
    let message = format!("Encountered \"{found}\" at {}.\nWas expecting: {expected}", place(at));
    Error::Parse { message, location: Some(place(at)) }
}
