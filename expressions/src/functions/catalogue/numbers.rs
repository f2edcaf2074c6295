//! Functions of numbers.
use super::Argument::{Double, Int, Long, Number};
use super::Gives::{First, Kind, NotNull, Of};
use super::result_type::{DOUBLE, INT, STRING, round, whole};
use super::{Evaluation, Function, function, special};
use crate::expression::arithmetic;
use crate::functions::{numeric, random, temporal};

/// What FLOOR and CEIL give of a number.
const WHOLE: super::Gives = Of(whole, "as the argument, DECIMAL without a fraction");
/// What ROUND and TRUNCATE give.
const ROUNDED: super::Gives = Of(round, "as the first argument, DECIMAL with fewer digits");

pub(super) const FUNCTIONS: &[Function] = &[
    function("ABS", &[&[Number]], First, numeric::abs),
    function("FLOOR", &[&[Number]], WHOLE, temporal::round_to_unit),
    function("CEIL", &[&[Number]], WHOLE, temporal::round_to_unit).aliases(&["CEILING"]),
    function("ROUND", &[&[Number], &[Number, Int]], ROUNDED, numeric::round),
    function("TRUNCATE", &[&[Number], &[Number, Int]], ROUNDED, numeric::round),
    function("SIGN", &[&[Number]], First, numeric::sign),
    special("MOD", &["MOD(exact, exact)"], Evaluation::Kernel(arithmetic::build)),
    function("POWER", &[&[Double, Double]], Kind(DOUBLE), numeric::binary),
    function("SQRT", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("LN", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("LOG10", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("LOG2", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("LOG", &[&[Double], &[Double, Double]], Kind(DOUBLE), numeric::log),
    function("EXP", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("SIN", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("COS", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("TAN", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("COT", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("ASIN", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("ACOS", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("ATAN", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("ATAN2", &[&[Double, Double]], Kind(DOUBLE), numeric::binary),
    function("SINH", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("COSH", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("TANH", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("DEGREES", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("RADIANS", &[&[Double]], Kind(DOUBLE), numeric::unary),
    function("PI", &[&[]], NotNull(DOUBLE), numeric::constant).nullary(),
    function("E", &[&[]], NotNull(DOUBLE), numeric::constant).nullary(),
    function("RAND", &[&[], &[Int]], Kind(DOUBLE), random::rand).nullary().volatile(),
    function("RAND_INTEGER", &[&[Int], &[Int, Int]], Kind(INT), random::rand_integer).volatile(),
    function("BIN", &[&[Long]], Kind(STRING), numeric::bin),
];
