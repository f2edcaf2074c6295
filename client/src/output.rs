//! What the clients print.
//!
//! The standard macros panic where no process reads or nothing more fits: a pipe to `head`, a full disk. Those of this crate have
//! the same names, so that none of the others is taken by mistake, and end the process as other programs of Unix do: with the
//! status of SIGPIPE and without a word if the reader went away, else with status 1 and a message on standard error.
//! What is lost on standard error has nobody to tell.
//!
//! Whatever has to be done before the end, such as the cancellation of a query, writes to [`std::io::stdout`] itself and looks
//! at the error.
use std::fmt::Arguments;
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

/// In one piece where it is short, and out at once: what is only in a buffer is lost without a word at the end.
fn write(out: &mut impl Write, text: Arguments<'_>) -> io::Result<()> {
    out.write_all(text.to_string().as_bytes())?;
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

    #[test]
    fn lines_are_those_of_the_standard_macros() {
        let mut out = Vec::new();
        write(&mut out, format_args!("{}\n", format_args!("a{}", 1))).unwrap();
        assert_eq!(out, b"a1\n");
    }
}
