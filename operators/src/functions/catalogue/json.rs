//! Functions of JSON.
use super::Argument::Text;
use super::Gives::Kind;
use super::result_type::STRING;
use super::{ANYWHERE, Function, function};
use crate::functions::json;

pub(super) const FUNCTIONS: &[Function] = &[
    function("JSON_QUOTE", &[&[Text]], Kind(STRING), json::quote).untyped_null(ANYWHERE),
    function("JSON_UNQUOTE", &[&[Text]], Kind(STRING), json::unquote).untyped_null(ANYWHERE),
];
