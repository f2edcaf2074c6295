//! What the clients print.
//!
//! The standard macros panic where no process reads or nothing more fits: a pipe to `head`, a full disk. Those of this crate have
//! the same names, so that none of the others is taken by mistake, and end the process as other programs of Unix do: with the
//! status of SIGPIPE and without a word if the reader went away, else with status 1 and a message on standard error.
//! What is lost on standard error has nobody to tell.
//!
//! What would steer the terminal is printed as an escape: a name of a job, a message of a server or a script may hold anything.
//! Where a line says something of its own, what a server gives for the middle of it goes through
//! [`in_one_line`](wiesel_common::logging::in_one_line) before: the end of a line in it would begin another one.
//!
//! Whatever has to be done before the end, such as the cancellation of a query, writes to [`std::io::stdout`] itself and looks
//! at the error.
use std::borrow::Cow;
use std::fmt::{Arguments, Write as _};
use std::io::{self, Write};

/// What a shell shows of a process that SIGPIPE ended.
const BROKEN_PIPE: i32 = 128 + 13;
const FAILURE: i32 = 1;

macro_rules! print {
    ($($argument:tt)*) => {
        $crate::output::print(format_args!($($argument)*))
    };
}

macro_rules! println {
    () => {
        $crate::output::print(format_args!("\n"))
    };
    ($($argument:tt)*) => {
        $crate::output::print(format_args!("{}\n", format_args!($($argument)*)))
    };
}

macro_rules! eprintln {
    ($($argument:tt)*) => {
        $crate::output::complain(format_args!($($argument)*))
    };
}

/// Prints a text, or ends the process.
pub(crate) fn print(text: Arguments<'_>) {
    if let Err(error) = write(&mut io::stdout().lock(), text) {
        std::process::exit(status_of(&error));
    }
}

/// Says something on standard error.
pub(crate) fn complain(text: Arguments<'_>) {
    let _ = write(&mut io::stderr().lock(), format_args!("{text}\n"));
}

/// Steers the terminal.
pub(crate) fn steer(sequence: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(sequence.as_bytes()).and_then(|()| out.flush()) {
        std::process::exit(status_of(&error));
    }
}

/// A text with its control characters as escapes, all but tabs and the ends of lines. Within the quotes of JSON it says the same.
fn printable(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if !steers(c) || (c == '\r' && rest.peek() == Some(&'\n')) {
            plain.push(c);
        } else {
            let _ = write!(plain, "\\u{:04x}", u32::from(c));
        }
    }
    Cow::Owned(plain)
}

/// In one piece where it is short, and out at once: what is only in a buffer is lost without a word at the end.
fn write(out: &mut impl Write, text: Arguments<'_>) -> io::Result<()> {
    out.write_all(printable(&text.to_string()).as_bytes())?;
    out.flush()
}

/// The exit status of a process that cannot write its output; says why, unless its reader has gone.
fn status_of(error: &io::Error) -> i32 {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return BROKEN_PIPE;
    }
    complain(format_args!("cannot write to standard output: {error}"));
    FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_to_speak_of_and_a_full_disk_is_one() {
        let status = |kind| status_of(&write(&mut Broken(kind), format_args!("{}", 1)).unwrap_err());
        assert_eq!(status(io::ErrorKind::BrokenPipe), 141);
        assert_eq!(status(io::ErrorKind::StorageFull), 1);
    }

    /// Failed before: the name of a job, or a script, could steer the terminal of the user that listed or ran it.
    #[test]
    fn nothing_that_is_printed_steers_the_terminal() {
        for (text, shown) in [
            ("a\tb\r\nc\n", "a\tb\r\nc\n"),
            ("\x1b[2Jx\x07\x7f", "\\u001b[2Jx\\u0007\\u007f"),
            ("\u{9b}31m\u{e4}", "\\u009b31m\u{e4}"),
            ("a\rb\r", "a\\u000db\\u000d"),
        ] {
            assert_eq!(printable(text), shown);
            let mut out = Vec::new();
            super::write(&mut out, format_args!("{text}")).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), shown);
        }
        let json = serde_json::to_string("\u{9b}\\\x7f").unwrap();
        let read: String = serde_json::from_str(&printable(&json)).unwrap();
        assert_eq!(read, "\u{9b}\\\x7f");
    }

    #[test]
    fn lines_are_those_of_the_standard_macros() {
        let mut out = Vec::new();
        write(&mut out, format_args!("{}\n", format_args!("a{}", 1))).unwrap();
        assert_eq!(out, b"a1\n");
    }
}
