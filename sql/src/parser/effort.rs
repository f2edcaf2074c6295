//! How often a statement's text may be read.
//!
//! Where one way to read a text fails, sqlparser goes back and tries another, from the same place on. Where such places stand
//! within each other, each doubles what the ones within it cost: a mistake within thirty calls of POSITION is found a thousand
//! million times. So what is read is counted ([`Effort`]), and what would be read again without being counted, parentheses around
//! queries in FROM, is refused before ([`check_parentheses`]).
use std::cell::{Cell, RefCell};

use sqlparser::ast::Expr;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::lexer::place;
use crate::error::{Error, Location, Result};
use crate::script::still_wanted;

/// A statement may be read so often: what people write is read once, a few words of it twice.
const READINGS: usize = 4;
/// Operands that may be read beside: a mistake within a dozen calls is still told as what it is.
const MORE_OPERANDS: usize = 50_000;
/// Tokens of queries in several parentheses that may be read beside: a dozen of them may stand within each other.
const MORE_TOKENS: usize = 300_000;

/// Letters that are copied as fast as an operand is read.
const LETTERS: usize = 16;

/// What the parser has left to read. It counts operands: there is no way through an expression without one.
#[derive(Debug, Default)]
pub(super) struct Effort {
    left: Cell<usize>,
    exhausted: Cell<bool>,
    /// Why the parser was to end, other than that.
    abandoned: RefCell<Option<Error>>,
    /// Line and column of the last operand that the parser came to.
    furthest: Cell<(u64, u64)>,
}

impl Effort {
    /// For a statement of so many tokens.
    pub(super) fn of(tokens: usize) -> Self {
        Self { left: Cell::new(budget(tokens, MORE_OPERANDS)), ..Self::default() }
    }

    /// One more operand is read.
    ///
    /// # Errors
    /// The one error that the parser does not take for a reason to try another way.
    pub(super) fn spend(&self, parser: &Parser) -> Result<(), ParserError> {
        if let Err(abandoned) = still_wanted() {
            self.abandoned.replace(Some(abandoned));
            return Err(ParserError::RecursionLimitExceeded);
        }
        let at = parser.peek_token_ref().span.start;
        self.furthest.set(self.furthest.get().max((at.line, at.column)));
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.exhausted.set(true);
                Err(ParserError::RecursionLimitExceeded)
            }
        }
    }

    /// An expression that was read is copied.
    ///
    /// # Errors
    /// As of [`Self::spend`].
    pub(super) fn spend_for_copy(&self, parser: &Parser, expr: &Expr) -> Result<(), ParserError> {
        let letters = expr.to_string().len();
        self.left.set(self.left.get().saturating_sub(letters / LETTERS));
        self.spend(parser)
    }

    /// The error if there was more to read than there may be, or nobody wants it read, whatever else came of it.
    pub(super) fn error(&self) -> Option<Error> {
        if let Some(abandoned) = self.abandoned.take() {
            return Some(abandoned);
        }
        if !self.exhausted.get() {
            return None;
        }
        let (line, column) = self.furthest.get();
        let at = Location { line, column };
        let message = format!(
            "The statement could not be understood: its parts stand within each other so that they would be read again and again. \
             It was followed up to {at}: look for a mistake there, or put a part of the statement into a view."
        );
        Some(Error::Parse { message, location: Some(at) })
    }
}

fn budget(tokens: usize, more: usize) -> usize {
    tokens.saturating_mul(READINGS).saturating_add(more)
}

/// How the parser reads what a run of parentheses right before each other, `(((`, holds.
#[derive(Clone, Copy)]
enum Kind {
    /// No query: the parser sees at once what they are.
    Plain,
    /// A query, taken for one at once.
    Query,
    /// No query of Flink's, such as DELETE, but the parser follows it once before it takes the word for the name of a table.
    Followed,
}

/// A parenthesis that is open.
#[derive(Clone, Copy)]
struct Open {
    /// Its place in its run of parentheses, from 1.
    position_in_run: usize,
    /// How often the text around the run is read.
    readings_around: usize,
    /// That of the run.
    kind: Kind,
}

impl Open {
    /// How often the text in it is read: before a query, each parenthesis of the run has it read once more, because it is first
    /// taken for one around a query and then for one around a table.
    fn readings(&self) -> usize {
        let each_time = match self.kind {
            Kind::Plain => 1,
            Kind::Query => self.position_in_run,
            Kind::Followed => self.position_in_run + 1,
        };
        self.readings_around.saturating_mul(each_time)
    }
}

/// Refuses parentheses in FROM that would have their text read too often: `((SELECT …) AS a)` is first taken for a query in
/// parentheses, then for a table in parentheses, and so are those within it each time.
pub(super) fn check_parentheses(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut open: Vec<Open> = Vec::new();
    let mut readings: usize = 0;
    for (position, TokenWithSpan { token, span }) in tokens.iter().enumerate() {
        match token {
            Token::LParen => open.push(opened(tokens, position, open.last())),
            Token::RParen => {
                open.pop();
            }
            Token::SemiColon => open.clear(),
            _ => {}
        }
        readings = readings.saturating_add(open.last().map_or(1, Open::readings));
        if readings > budget(tokens.len(), MORE_TOKENS) {
            let at = place(span.start);
            let message = format!(
                "Queries in several parentheses stand within each other so that they would be read again and again, at {at}. Take \
                 away the parentheses that nothing needs, or put a query into a view."
            );
            return Err(Error::Parse { message, location: Some(at) });
        }
    }
    Ok(())
}

/// The parenthesis that opens at a token. `around`: the innermost one that is open there.
fn opened(tokens: &[TokenWithSpan], position: usize, around: Option<&Open>) -> Open {
    if let Some(around) = around
        && position.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|t| t.token == Token::LParen)
    {
        return Open { position_in_run: around.position_in_run + 1, ..*around };
    }
    let first = tokens[position..].iter().find(|token| token.token != Token::LParen);
    let kind = match first.map(|token| &token.token) {
        Some(Token::Word(word)) => match word.keyword {
            Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE | Keyword::FROM => Kind::Query,
            Keyword::INSERT | Keyword::UPDATE | Keyword::DELETE | Keyword::MERGE => Kind::Followed,
            _ => Kind::Plain,
        },
        _ => Kind::Plain,
    };
    Open { position_in_run: 1, readings_around: around.map_or(1, Open::readings), kind }
}
