//! What has no name in SQL: operators, constructors, and what the analyser makes of them.
use super::Shown::{Infix, Joined, Named, Postfix};
use super::{Evaluation, Function, Written, operator};
use crate::expression::{arithmetic, comparison, logic};
use crate::functions::{constructors, json, patterns, strings, temporal};

const fn lazy(name: &'static str) -> Function {
    Function::new(name, Written::Operator, Evaluation::Lazy).lenient()
}

/// A test that is never null.
const fn test(name: &'static str, words: &'static str) -> Function {
    operator(name, logic::build).lenient().cheap().shown(Postfix(words))
}

pub(super) const FUNCTIONS: &[Function] = &[
    operator("+", arithmetic::build).shown(Infix("+")).cheap(),
    operator("-", arithmetic::build).shown(Infix("-")).cheap(),
    operator("*", arithmetic::build).shown(Infix("*")).cheap(),
    operator("/", arithmetic::build).shown(Infix("/")),
    operator("%", arithmetic::build).shown(Infix("%")),
    operator("NEG", arithmetic::negate).shown(Named("-")).cheap(),
    operator("=", comparison::build).shown(Infix("=")).cheap(),
    operator("<>", comparison::build).shown(Infix("<>")).cheap(),
    operator("<", comparison::build).shown(Infix("<")).cheap(),
    operator("<=", comparison::build).shown(Infix("<=")).cheap(),
    operator(">", comparison::build).shown(Infix(">")).cheap(),
    operator(">=", comparison::build).shown(Infix(">=")).cheap(),
    operator("IS_DISTINCT_FROM", comparison::build).lenient().shown(Named("IS DISTINCT FROM")).cheap(),
    operator("IS_NOT_DISTINCT_FROM", comparison::build).lenient().shown(Named("IS NOT DISTINCT FROM")).cheap(),
    operator("NOT", logic::build).cheap(),
    test("IS_NULL", "IS NULL"),
    test("IS_NOT_NULL", "IS NOT NULL"),
    test("IS_TRUE", "IS TRUE"),
    test("IS_NOT_TRUE", "IS NOT TRUE"),
    test("IS_FALSE", "IS FALSE"),
    test("IS_NOT_FALSE", "IS NOT FALSE"),
    test("IS_UNKNOWN", "IS UNKNOWN"),
    test("IS_NOT_UNKNOWN", "IS NOT UNKNOWN"),
    lazy("AND").shown(Joined("AND")).cheap(),
    lazy("OR").shown(Joined("OR")).cheap(),
    lazy("CASE"),
    lazy("IN").cheap(),
    operator("LIKE", patterns::build).shown(Infix("LIKE")),
    operator("NOT_LIKE", patterns::build).shown(Infix("NOT LIKE")),
    operator("SIMILAR", patterns::build),
    operator("NOT_SIMILAR", patterns::build),
    operator("||", strings::concat),
    operator("TIMESTAMP_ADD", temporal::add).shown(Infix("+")),
    operator("TIMESTAMP_DIFF", temporal::difference),
    operator("ARRAY", constructors::array).lenient().nullary(),
    operator("MAP", constructors::map).lenient().nullary(),
    operator("ROW", constructors::row).lenient().nullary(),
    operator("FIELD", constructors::field).cheap(),
    operator("ITEM", constructors::item),
    operator("IS_JSON", json::is_json).lenient(),
];
