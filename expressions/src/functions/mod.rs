//! The built-in scalar functions and operators: their [`catalogue`], and their kernels.
//!
//! A file holds a group of kernels. Each function prepares a [`Kernel`] from the call: constant patterns and formats
//! are parsed then, once.
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
//! | `JSON_VALUE` | text, a constant path; with clauses `'NULL'`, `'ERROR'` or `'DEFAULT'` on empty, its default, likewise on error |
//! | `JSON_QUERY` | text, a constant path; with clauses the wrapper (`'CONDITIONAL'`), `'EMPTY ARRAY'` and the like on empty, on error |
//! | `JSON_ARRAY`, `JSON_OBJECT` | `'ABSENT:VJ'`: what becomes of null, and for each value whether it is JSON; the values, in an object each behind its name |
//! | `JSON_EXISTS`, `IS_JSON` | text, a constant path, `'FALSE'` and the like on error; text, `'OBJECT'` and the like |
use crate::error::Result;
use crate::expression::Expression;
use crate::expression::compile::Site;
use crate::expression::kernel::Kernel;

mod bitmap;
pub mod catalogue;
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
mod printf;
mod random;
mod regexp;
mod similar;
mod splitting;
mod strings;
mod structured;
mod temporal;
mod text_tests;
mod url;

pub use bitmap::push_bytes as bitmap_as_text;
pub(crate) use bitmap::text_letters as bitmap_letters;
pub use bitmap::{Bitmap, Operation as BitmapOperation};
use catalogue::{Determinism, Evaluation};
pub(crate) use compiled::Compiled;
pub use constant_pattern::ConstantPattern;
pub use json::push_shown as variant_as_json;
pub use json::push_text as json_text;
pub use json::refusal_of_path;
pub use random::Generators;

/// Prepares the kernel of a call.
pub(crate) type Build = fn(&Site) -> Result<Kernel>;

/// Whether an expression may call a function of this name.
pub fn supports(name: &str) -> bool {
    catalogue::lookup(name).is_some_and(|function| !matches!(function.evaluation, Evaluation::Rewritten))
}

/// The kernel of a function that has one, by its name in plans.
pub(crate) fn kernel(name: &str) -> Option<Build> {
    match catalogue::lookup(name)?.evaluation {
        Evaluation::Kernel(build) => Some(build),
        Evaluation::Lazy | Evaluation::Rewritten => None,
    }
}

/// Whether a function may be called without operands.
pub(crate) fn takes_nothing(name: &str) -> bool {
    catalogue::lookup(name).is_some_and(|function| function.takes_nothing)
}

/// Whether equal operands of a call always give equal results, so that a call of constants is a constant.
pub fn is_deterministic(name: &str, operands: &[Expression]) -> bool {
    match catalogue::lookup(name).map(|function| function.determinism) {
        None | Some(Determinism::Always) => true,
        Some(Determinism::WithOperands) => !operands.is_empty(),
        Some(Determinism::Never) => false,
    }
}
