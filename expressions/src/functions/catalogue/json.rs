//! Functions of JSON.
use super::Argument::{Boolean, Text};
use super::Gives::{Kind, Nullable};
use super::result_type::{STRING, VARIANT};
use super::{ANYWHERE, Evaluation, Function, function, special};
use crate::functions::json;

const VALUE: &str = "JSON_VALUE(text, path [RETURNING type] [{NULL | ERROR | DEFAULT any} ON EMPTY] [{NULL | ERROR | DEFAULT any} ON ERROR])";
const QUERY: &str = "JSON_QUERY(text, path [RETURNING type] [{WITHOUT | WITH [CONDITIONAL]} WRAPPER] \
                     [{NULL | ERROR | EMPTY ARRAY | EMPTY OBJECT} ON EMPTY] [... ON ERROR])";
const ARRAY: &str = "JSON_ARRAY([any, ...] [{NULL | ABSENT} ON NULL])";
const OBJECT: &str = "JSON_OBJECT([[KEY] name VALUE any, ...] [{NULL | ABSENT} ON NULL])";
const EXISTS: &str = "JSON_EXISTS(text, path [{TRUE | FALSE | UNKNOWN | ERROR} ON ERROR])";

pub(super) const FUNCTIONS: &[Function] = &[
    special("JSON_VALUE", &[VALUE], Evaluation::Kernel(json::value)).lenient().untyped_null(|index, _| index > 1),
    special("JSON_QUERY", &[QUERY], Evaluation::Kernel(json::query)),
    special("JSON_EXISTS", &[EXISTS], Evaluation::Kernel(json::exists)),
    special("JSON_STRING", &["JSON_STRING(any)"], Evaluation::Kernel(json::string)).untyped_null(ANYWHERE),
    special("JSON_ARRAY", &[ARRAY], Evaluation::Kernel(json::array)).lenient(),
    special("JSON_OBJECT", &[OBJECT], Evaluation::Kernel(json::object)).lenient(),
    special("JSON", &["JSON(text)"], Evaluation::Kernel(json::embedded)),
    function("PARSE_JSON", &[&[Text], &[Text, Boolean]], Kind(VARIANT), json::parse_json).untyped_null(ANYWHERE),
    function("TRY_PARSE_JSON", &[&[Text], &[Text, Boolean]], Nullable(VARIANT), json::parse_json)
        .untyped_null(ANYWHERE),
    function("JSON_QUOTE", &[&[Text]], Kind(STRING), json::quote).untyped_null(ANYWHERE),
    function("JSON_UNQUOTE", &[&[Text]], Kind(STRING), json::unquote).untyped_null(ANYWHERE),
];
