//! Command lines in Flink's spelling.
use std::ffi::OsString;

/// Arguments as a parser takes them that knows long names after two dashes only: of options that `takes_one` names, `-type native`
/// becomes `--type native`.
pub fn with_two_dashes(
    arguments: impl IntoIterator<Item = OsString>,
    takes_one: impl Fn(&str) -> bool,
) -> impl Iterator<Item = OsString> {
    arguments.into_iter().map(move |argument| {
        let name = argument.to_str().and_then(|text| text.strip_prefix('-'));
        let name = name.map(|rest| rest.split_once('=').map_or(rest, |(name, _)| name));
        if !name.is_some_and(&takes_one) {
            return argument;
        }
        let mut two_dashes = OsString::from("-");
        two_dashes.push(argument);
        two_dashes
    })
}
