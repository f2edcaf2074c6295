//! Bounds of messages, and of the values of users in them: enough to recognise them, never the whole of what may have any size. A
//! message goes through calls, logs, histories and answers, each of which holds it once more.
use std::borrow::Cow;

/// Bytes of a value that a message quotes, at most.
pub const MAX_QUOTED: usize = 300;
/// Bytes of the reason for which one value is refused, at most. It stands beside the value, and may quote it once more.
pub const MAX_REASON: usize = 1000;
/// Bytes of a whole message, at most, and of each cause of a failure. What a message quotes has a bound of its own: this one leaves
/// room for lists, such as the columns of a wide table, and holds whatever an error of a library quotes.
pub const MAX_MESSAGE: usize = 32 << 10;
/// Bytes of the name of a job, at most: it is in each overview of jobs and in the log.
pub const MAX_JOB_NAME: usize = 1000;
/// Bytes of the name of an operator or of a vertex, at most: it is in each line of the log about a task of it. A name in SQL is
/// shorter ([`MAX_IDENTIFIER`]), but a vertex is named after all of its operators, and a graph may come from anywhere.
pub const MAX_TASK_NAME: usize = 4000;
/// Characters of a name in SQL, at most, as Java counts them: Flink's parser takes no longer ones.
pub const MAX_IDENTIFIER: usize = 256;
/// Bytes of what is told of a vertex's operators, at most. Each has at most [`MAX_MESSAGE`] where it is planned: expressions may
/// be as long as statements, and each answer about a job and each message that deploys it repeats them.
pub const MAX_DESCRIPTION: usize = 256 << 10;
/// Causes of a failure, at most: a job that fails again may have its last failure for a cause.
pub const MAX_CAUSES: usize = 100;
/// Bytes of the remark that there were more, at most.
const MAX_REMARK: usize = 50;

/// A value as a message quotes it: as it is, or its beginning and how much is left out.
pub fn quote(value: &str) -> Cow<'_, str> {
    bounded(value, MAX_QUOTED)
}

/// [`quote`] of bytes that should be text.
pub fn quote_bytes(value: &[u8]) -> Cow<'_, str> {
    if value.len() <= MAX_QUOTED {
        return String::from_utf8_lossy(value);
    }
    let (shown, rest) = value.split_at(MAX_QUOTED);
    // A character that is cut in two is none.
    let shown = shown.utf8_chunks().map(|chunk| chunk.valid()).collect::<Vec<_>>().join("\u{fffd}");
    Cow::Owned(left_out(&shown, rest.len()))
}

/// A text of at most so many bytes and a remark.
pub fn bounded(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(max);
    Cow::Owned(left_out(&text[..end], text.len() - end))
}

/// [`bounded`], in place.
pub fn bound(text: &mut String, max: usize) {
    let shorter = match bounded(text, max) {
        Cow::Owned(shorter) => shorter,
        Cow::Borrowed(_) => return,
    };
    *text = shorter;
}

/// Bounds a message. One that was bounded before stays as it is: its remark tells of the whole text.
pub fn bound_message(text: &mut String) {
    bound_once(text, MAX_MESSAGE);
}

/// Bounds the name of a job, once as [`bound_message`] does.
pub fn bound_job_name(name: &mut String) {
    bound_once(name, MAX_JOB_NAME);
}

/// Bounds the name of an operator or a vertex, once. Nothing may be found by it.
pub fn bound_task_name(name: &mut String) {
    bound_once(name, MAX_TASK_NAME);
}

/// Bounds what is told of a vertex's operators, once.
pub fn bound_description(description: &mut String) {
    bound_once(description, MAX_DESCRIPTION);
}

fn bound_once(text: &mut String, max: usize) {
    if text.len() > max + MAX_REMARK {
        bound(text, max);
    }
}

/// [`bound_message`] of what becomes one.
pub fn message(text: impl Into<String>) -> String {
    let mut text = text.into();
    bound_message(&mut text);
    text
}

/// Bounds a failure: the texts that it has, such as its message, and its causes.
pub fn bound_failure<const N: usize>(texts: [&mut String; N], causes: &mut Vec<String>) {
    causes.truncate(MAX_CAUSES);
    texts.into_iter().chain(causes).for_each(bound_message);
}

fn left_out(shown: &str, rest: usize) -> String {
    format!("{shown}... ({rest} more bytes)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_quoted_by_its_beginning() {
        assert_eq!(quote("short"), "short");
        assert_eq!(quote(&"x".repeat(MAX_QUOTED)).len(), MAX_QUOTED);
        let long = "\u{e4}".repeat(MAX_QUOTED);
        assert_eq!(quote(&long), format!("{}... (300 more bytes)", "\u{e4}".repeat(MAX_QUOTED / 2)));
        assert!(matches!(quote("x"), Cow::Borrowed(_)), "what is short is not copied");
    }

    #[test]
    fn bytes_are_quoted_however_they_are_cut() {
        assert_eq!(quote_bytes(b"a\xffb"), "a\u{fffd}b");
        let odd = [b"x".repeat(MAX_QUOTED - 1), "\u{e4}".repeat(10).into_bytes()].concat();
        let shown = quote_bytes(&odd);
        assert!(shown.starts_with(&"x".repeat(MAX_QUOTED - 1)) && shown.ends_with("... (19 more bytes)"), "{shown}");
        assert!(shown.len() < MAX_QUOTED + 50);
        assert!(quote_bytes(&vec![0xff; 70 << 20]).len() < 3 * MAX_QUOTED + 50);
    }

    #[test]
    fn a_text_is_bounded_in_place() {
        let mut text = "\u{e4}".repeat(100);
        bound(&mut text, 51);
        assert_eq!(text, format!("{}... (150 more bytes)", "\u{e4}".repeat(25)));
        let same = text.clone();
        bound(&mut text, 1000);
        assert_eq!(text, same);
    }

    #[test]
    fn a_message_is_bounded_once() {
        let long = "\u{e4}".repeat(1 << 20);
        let mut told = message(long.as_str());
        assert_eq!(told, format!("{}... ({} more bytes)", &long[..MAX_MESSAGE], long.len() - MAX_MESSAGE));
        assert!(told.len() <= MAX_MESSAGE + MAX_REMARK && left_out("", usize::MAX).len() <= MAX_REMARK);
        let once = told.clone();
        bound_message(&mut told);
        assert_eq!(told, once, "how much is left out of the whole is still told");
    }

    #[test]
    fn a_failure_has_texts_and_causes_within_bounds() {
        let mut text = "x".repeat(2 * MAX_MESSAGE);
        let mut causes = vec!["short".to_owned(); MAX_CAUSES + 1];
        causes[1] = text.clone();
        bound_failure([&mut text], &mut causes);
        assert!(text.ends_with("xxx... (32768 more bytes)"));
        assert_eq!((causes.len(), &causes[0][..], &causes[1]), (MAX_CAUSES, "short", &text));
    }
}
