//! Functions of JSON.
use super::Argument::Text;
use super::Gives::Kind;
use super::result_type::STRING;
use super::{ANYWHERE, Evaluation, Function, function, special};
use crate::functions::json;

const VALUE: &str = "JSON_VALUE(text, path [RETURNING type] [{NULL | ERROR | DEFAULT any} ON EMPTY] [{NULL | ERROR | DEFAULT any} ON ERROR])";
const QUERY: &str = "JSON_QUERY(text, path [RETURNING type] [{WITHOUT | WITH [CONDITIONAL]} WRAPPER] \
                     [{NULL | ERROR | EMPTY ARRAY | EMPTY OBJECT} ON EMPTY] [... ON ERROR])";
const EXISTS: &str = "JSON_EXISTS(text, path [{TRUE | FALSE | UNKNOWN | ERROR} ON ERROR])";

pub(super) const FUNCTIONS: &[Function] = &[
    special("JSON_VALUE", &[VALUE], Evaluation::Kernel(json::value)).lenient().untyped_null(|index, _| index > 1),
    special("JSON_QUERY", &[QUERY], Evaluation::Kernel(json::query)),
    special("JSON_EXISTS", &[EXISTS], Evaluation::Kernel(json::exists)),
    function("JSON_QUOTE", &[&[Text]], Kind(STRING), json::quote).untyped_null(ANYWHERE),
    function("JSON_UNQUOTE", &[&[Text]], Kind(STRING), json::unquote).untyped_null(ANYWHERE),
];
