//! Cuts a script into statements at the semicolons outside quotes and comments.
use crate::error::Location;

/// A statement's text and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementText {
    /// From its first to its last character, without comments before it and without the semicolon.
    pub text: String,
    /// Where the text begins in the script.
    pub location: Location,
    /// It ended in a semicolon; the last one of a script need not.
    pub terminated: bool,
}

/// The statements of a script, in order. Nothing but white space and comments is no statement, but a comment without an end is:
/// what it hides may be one, and it is the error of whoever reads it. A statement set is one statement up to its END.
pub fn split(script: &str) -> Vec<StatementText> {
    joined(pieces(script), |text| begins_set(text) || opens_set(text))
}

/// The statements of an input at a prompt, which is given those between `BEGIN STATEMENT SET;` and `END;` one by one.
pub fn split_input(input: &str) -> Vec<StatementText> {
    joined(pieces(input), opens_set)
}

/// The pieces as statements: from one that opens a set to its END they are one.
fn joined(pieces: Vec<Piece>, opens: impl Fn(&str) -> bool) -> Vec<StatementText> {
    let mut statements = Vec::new();
    let mut pending: Option<StatementText> = None;
    for piece in pieces {
        match pending.as_mut() {
            Some(set) => {
                set.text.push(';');
                set.text.push_str(&piece.whole);
                set.terminated = piece.terminated;
                if first_words(&piece.whole, 1) == ["END"] {
                    set.text.truncate(set.text.trim_end().len());
                    statements.extend(pending.take());
                }
            }
            None => {
                let Some((offset, location)) = piece.start else { continue };
                let statement = StatementText {
                    text: piece.whole[offset..].trim_end().to_owned(),
                    location,
                    terminated: piece.terminated,
                };
                if opens(&statement.text) && piece.terminated {
                    // The characters after the text still count for the positions of what follows.
                    pending = Some(StatementText { text: piece.whole[offset..].to_owned(), ..statement });
                } else {
                    statements.push(statement);
                }
            }
        }
    }
    if let Some(mut set) = pending {
        set.text.truncate(set.text.trim_end().len());
        set.terminated = false;
        statements.push(set);
    }
    statements
}

/// What an input at a prompt waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// A semicolon.
    Statement,
    /// The END of a set in one statement.
    Set,
    /// The quote that closes a text.
    Text,
    /// The back tick that closes a name.
    Name,
    /// The end of a comment.
    Comment,
}

/// What an input at a prompt waits for; none: it ends in a complete statement, or is empty.
pub fn unfinished(input: &str) -> Option<Unfinished> {
    let pieces = pieces(input);
    match pieces.last().and_then(|last| last.open) {
        Some("'") => return Some(Unfinished::Text),
        Some("`") => return Some(Unfinished::Name),
        Some(_) => return Some(Unfinished::Comment),
        None => {}
    }
    let last = joined(pieces, opens_set).pop().filter(|last| !last.terminated)?;
    Some(if opens_set(&last.text) { Unfinished::Set } else { Unfinished::Statement })
}

/// The statements around those of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetMark {
    /// `BEGIN STATEMENT SET`.
    Begin,
    /// `END`.
    End,
}

/// Whether a statement of [`split_input`] begins or ends a set.
pub fn set_mark(statement: &StatementText) -> Option<SetMark> {
    match first_words(&statement.text, 4).as_slice() {
        [begin, _, _] if begin == "BEGIN" && begins_set(&statement.text) => Some(SetMark::Begin),
        [end] if end == "END" => Some(SetMark::End),
        _ => None,
    }
}

fn begins_set(text: &str) -> bool {
    first_words(text, 3) == ["BEGIN", "STATEMENT", "SET"]
}

/// Whether a set in one statement begins.
fn opens_set(text: &str) -> bool {
    let words = first_words(text, 5);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    matches!(
        words.as_slice(),
        ["EXECUTE", "STATEMENT", "SET", "BEGIN", ..]
            | ["EXPLAIN", "STATEMENT", "SET", "BEGIN", ..]
            | ["EXPLAIN", "EXECUTE", "STATEMENT", "SET", "BEGIN"]
    )
}

struct Piece {
    whole: String,
    start: Option<(usize, Location)>,
    terminated: bool,
    /// What would close the text, name or comment that it ends in.
    open: Option<&'static str>,
}

fn pieces(script: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut begin = 0;
    let mut start = None;
    let mut open = None;
    let mut location = Location { line: 1, column: 1 };
    let mut rest = script.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let here = location;
        advance(&mut location, c);
        let next = rest.peek().map(|(_, next)| *next);
        let closed_by: Option<&'static str> = match (c, next) {
            ('-', Some('-')) => Some("\n"),
            ('/', Some('*')) => Some("*/"),
            ('\'', _) => Some("'"),
            ('`', _) => Some("`"),
            _ => None,
        };
        let comment = matches!(closed_by, Some("\n" | "*/")) && !script[at..].starts_with("/*+");
        if c == ';' {
            pieces.push(Piece {
                whole: script[begin..at].to_owned(),
                start: start.take(),
                terminated: true,
                open: None,
            });
            begin = at + 1;
            continue;
        }
        if start.is_none() && !c.is_whitespace() && !comment {
            start = Some((at - begin, here));
        }
        if let Some(close) = closed_by {
            let opening = if comment || close == "*/" { 2 } else { 1 };
            let inside = at + opening;
            let closed = script.get(inside..).and_then(|text| text.find(close));
            if closed.is_none() && close != "\n" {
                open = Some(close);
                start.get_or_insert((at - begin, here));
            }
            let end = closed.map_or(script.len(), |i| inside + i + close.len());
            while let Some((_, skipped)) = rest.next_if(|(i, _)| *i < end) {
                advance(&mut location, skipped);
            }
        }
    }
    pieces.push(Piece { whole: script[begin..].to_owned(), start, terminated: false, open });
    pieces
}

fn advance(location: &mut Location, c: char) {
    if c == '\n' {
        location.line += 1;
        location.column = 1;
    } else {
        location.column += 1;
    }
}

/// The first words of a text in upper case, past comments.
pub(super) fn first_words(text: &str, count: usize) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while words.len() < count {
        rest = rest.trim_start();
        if rest.starts_with("--") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if rest.starts_with("/*") {
            rest = rest.split_once("*/").map_or("", |(_, rest)| rest);
        } else {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            if end == 0 {
                break;
            }
            words.push(rest[..end].to_uppercase());
            rest = &rest[end..];
        }
    }
    words
}
