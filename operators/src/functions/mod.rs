//! The built-in scalar functions and operators by their canonical names.
//!
//! A file holds a group of functions. Each function prepares a [`Kernel`] from the call: constant patterns and formats
//! are parsed then, once. Unless said otherwise a null operand gives null.
//!
//! What the analyser passes, where it is not what SQL writes:
//!
//! | function | operands |
//! | --- | --- |
//! | `+ - * / %`, comparisons | one Arrow type on both sides; decimals keep their scales and mix with integers |
//! | `CASE` | when and then in turn, the else last; conditions only |
//! | `CAST`, `TRY_CAST` | one; the target is the call's type |
//! | `IN` | the value, then the list |
//! | `LIKE`, `SIMILAR` (`NOT_LIKE`) | value, pattern, escape if there is one |
//! | `EXTRACT` | the unit as a string (`'HOUR'`), the value |
//! | `FLOOR`, `CEIL` | the value; for a date or time the unit as a string after it |
//! | `TIMESTAMP_ADD`, `TIMESTAMP_DIFF` | a datetime and an interval; two datetimes, giving the interval from the second to the first |
//! | `TIMESTAMPADD`, `TIMESTAMPDIFF` | the unit as a string, then as in SQL |
//! | `TRIM` | `'BOTH'`, `'LEADING'` or `'TRAILING'`, the characters, the value |
//! | `POSITION`, `OVERLAY`, `SUBSTRING` | as calls with commas: needle and text; text, replacement, start, length; text, start, length |
//! | `FIELD` | a ROW, the index as INT, from 0 |
//! | `ITEM` | an ARRAY and a position from 1, or a MAP and a key |
//! | `ARRAY`, `MAP`, `ROW` | the elements; keys and values in turn |
//! | `PROCTIME`, `NOW`, `CURRENT_TIMESTAMP`, `CURRENT_DATE`, `LOCALTIMESTAMP`, ... | none; the call's type decides |
//! | `JSON_VALUE`, `JSON_QUERY`, `JSON_EXISTS` | text and a constant path; no further clauses |
use crate::expression::compile::Site;
use crate::expression::kernel::Kernel;
use crate::expression::{arithmetic, comparison, conditional, logic};
use crate::operator::Result;

mod collections;
mod comparing;
mod compiled;
mod constant_pattern;
mod constructors;
mod digest;
mod element_equality;
mod encoding;
mod extract;
mod formatting;
mod java_regex;
mod json;
mod like;
mod numeric;
mod patterns;
mod random;
mod regexp;
mod similar;
mod splitting;
mod strings;
mod temporal;
mod url;

pub(crate) use compiled::Compiled;
pub use constant_pattern::ConstantPattern;
pub(crate) use random::Generators;

/// Prepares the kernel of a call.
pub(crate) type Build = fn(&Site) -> Result<Kernel>;

/// The function of a canonical name.
pub(crate) fn lookup(name: &str) -> Option<Build> {
    Some(match name {
        "+" | "-" | "*" | "/" | "%" | "MOD" => arithmetic::build,
        "NEG" => arithmetic::negate,
        "=" | "<>" | "<" | "<=" | ">" | ">=" | "IS_DISTINCT_FROM" | "IS_NOT_DISTINCT_FROM" => comparison::build,
        "NOT" | "IS_NULL" | "IS_NOT_NULL" | "IS_TRUE" | "IS_NOT_TRUE" | "IS_FALSE" | "IS_NOT_FALSE" | "IS_UNKNOWN"
        | "IS_NOT_UNKNOWN" => logic::build,
        "NULLIF" => conditional::nullif,
        "CAST" | "TRY_CAST" => crate::cast::build,
        _ => {
            let groups = [
                strings::lookup,
                patterns::lookup,
                regexp::lookup,
                splitting::lookup,
                encoding::lookup,
                comparing::lookup,
                constructors::lookup,
                extract::lookup,
                temporal::lookup,
                formatting::lookup,
                numeric::lookup,
                collections::lookup,
                json::lookup,
                random::lookup,
            ];
            return groups.iter().find_map(|group| group(name));
        }
    })
}

/// Whether an expression may call a function of this canonical name.
pub fn supports(name: &str) -> bool {
    matches!(name, "AND" | "OR" | "CASE" | "IF" | "COALESCE" | "IFNULL" | "IN") || lookup(name).is_some()
}

/// Whether a function may be called without operands.
pub(crate) fn takes_nothing(name: &str) -> bool {
    matches!(name, "PI" | "E" | "ARRAY" | "MAP" | "ROW") || !is_deterministic(name)
}

/// Whether equal operands always give equal results, so that a call of constants is a constant.
pub fn is_deterministic(name: &str) -> bool {
    !matches!(
        name,
        "RAND"
            | "RAND_INTEGER"
            | "UUID"
            | "PROCTIME"
            | "NOW"
            | "CURRENT_TIMESTAMP"
            | "CURRENT_ROW_TIMESTAMP"
            | "LOCALTIMESTAMP"
            | "CURRENT_DATE"
            | "CURRENT_TIME"
            | "LOCALTIME"
            | "CURRENT_WATERMARK"
            | "UNIX_TIMESTAMP"
    )
}
