//! The scalar functions by name: what they take and what they give.
use datafusion_common::ScalarValue;
use wiesel_operators::expression::{Expression, Node};
use wiesel_operators::types::{LogicalType, MAX_LENGTH, TimeAttribute, TypeKind};

use super::cast::{can_cast_implicitly, cast_to, takes_nulls};
use super::common_type::common_type;
use super::numeric::{is_exact, is_integer, is_numeric, rounded};
use super::operators::{arithmetic, cast_null};
use super::{
    any_nullable, cannot_apply_function, conditional, is_bytes, is_datetime, is_interval, is_text, is_timestamp,
    refuse_untyped_null,
};
use crate::error::{Error, Result};
use crate::script::refusal_of_patterns;

/// What an argument may be; values of some kinds are cast to one that evaluation knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arg {
    Any,
    Text,
    Bytes,
    Number,
    /// An integer or a DECIMAL.
    Exact,
    /// An integer, taken as INT.
    Int,
    /// An integer, taken as BIGINT.
    Long,
    /// A number, taken as DOUBLE.
    Double,
    Timestamp,
    Array,
    Map,
}

/// What a function gives.
#[derive(Clone, Copy)]
enum Gives {
    /// Null if an argument is.
    Kind(fn() -> TypeKind),
    /// Perhaps null whatever the arguments are.
    Nullable(fn() -> TypeKind),
    /// Never null.
    NotNull(fn() -> TypeKind),
    /// The type of the first argument; null if an argument is.
    First,
    /// The first argument's, a CHAR as VARCHAR; null if an argument is.
    FirstVarying,
    /// The first argument's, a CHAR as VARCHAR; perhaps null whatever the arguments are.
    FirstVaryingNullable,
    /// By the arguments.
    Of(fn(&[Expression]) -> LogicalType),
}

struct Function {
    name: &'static str,
    /// The name that evaluation knows it by.
    canonical: &'static str,
    forms: &'static [&'static [Arg]],
    gives: Gives,
}

const fn function(name: &'static str, forms: &'static [&'static [Arg]], gives: Gives) -> Function {
    Function { name, canonical: name, forms, gives }
}

const fn alias(
    name: &'static str,
    canonical: &'static str,
    forms: &'static [&'static [Arg]],
    gives: Gives,
) -> Function {
    Function { name, canonical, forms, gives }
}

use Arg::{Any, Array, Bytes, Double, Exact, Int, Long, Map, Number, Text, Timestamp};
use Gives::{First, FirstVarying, FirstVaryingNullable, Kind, NotNull, Nullable, Of};

const INT: fn() -> TypeKind = || TypeKind::Int;
const BIGINT: fn() -> TypeKind = || TypeKind::Bigint;
const DOUBLE: fn() -> TypeKind = || TypeKind::Double;
const BOOLEAN: fn() -> TypeKind = || TypeKind::Boolean;
const STRING: fn() -> TypeKind = TypeKind::string;
const BYTES: fn() -> TypeKind = TypeKind::bytes;
const DATE: fn() -> TypeKind = || TypeKind::Date;
const TIME: fn() -> TypeKind = || TypeKind::Time(0);
const TIMESTAMP: fn() -> TypeKind = || TypeKind::Timestamp(3, TimeAttribute::Regular);
const LTZ: fn() -> TypeKind = || TypeKind::TimestampLtz(3, TimeAttribute::Regular);
const PROCTIME: fn() -> TypeKind = || TypeKind::TimestampLtz(3, TimeAttribute::Proctime);
const STRINGS: fn() -> TypeKind = || TypeKind::Array(Box::new(TypeKind::string().nullable()));
const STRING_MAP: fn() -> TypeKind =
    || TypeKind::Map(Box::new(TypeKind::string().nullable()), Box::new(TypeKind::string().nullable()));

/// As many arguments as one likes repeat the last of a form.
const VARIADIC: &[&str] = &["CONCAT", "CONCAT_WS", "JSON_STRING", "GREATEST", "LEAST", "ARRAY_CONCAT"];

/// Whether a function takes a NULL that has no type of its own as its argument at `index`: Flink infers one from the
/// signatures of its newer functions, and for those of others that conditions stand for.
fn takes_untyped_null(name: &str, index: usize, operands: &[Expression]) -> bool {
    match name {
        "BTRIM" | "COALESCE" | "ENDSWITH" | "IFNULL" | "NULLIF" | "REGEXP_COUNT" | "REGEXP_EXTRACT_ALL"
        | "REGEXP_INSTR" | "REGEXP_SUBSTR" | "SPLIT" | "STARTSWITH" | "UNHEX" | "URL_DECODE" | "URL_ENCODE" => true,
        "ARRAY_CONTAINS" | "ELT" => index > 0,
        "TO_TIMESTAMP_LTZ" => index == 0 && operands.get(1).is_none_or(|operand| is_text(&operand.data_type.kind)),
        _ => false,
    }
}

const FUNCTIONS: &[Function] = &[
    // Strings.
    function("UPPER", &[&[Text]], First),
    function("LOWER", &[&[Text]], First),
    function("CHAR_LENGTH", &[&[Text]], Kind(INT)),
    alias("CHARACTER_LENGTH", "CHAR_LENGTH", &[&[Text]], Kind(INT)),
    function("SUBSTRING", &[&[Text, Int], &[Text, Int, Int]], FirstVaryingNullable),
    alias("SUBSTR", "SUBSTRING", &[&[Text, Int], &[Text, Int, Int]], FirstVaryingNullable),
    function("LTRIM", &[&[Text], &[Text, Text]], FirstVarying),
    function("RTRIM", &[&[Text], &[Text, Text]], FirstVarying),
    function("BTRIM", &[&[Text], &[Text, Text]], Kind(STRING)),
    function("REPLACE", &[&[Text, Text, Text]], Kind(STRING)),
    function("TRANSLATE", &[&[Text, Text, Text]], Of(translated)),
    function("CONCAT", &[&[Text]], Kind(STRING)),
    function("CONCAT_WS", &[&[Text, Text]], Kind(STRING)),
    function("POSITION", &[&[Text, Text]], Kind(INT)),
    function("INSTR", &[&[Text, Text], &[Text, Text, Int], &[Text, Text, Int, Int]], Kind(INT)),
    function("LOCATE", &[&[Text, Text], &[Text, Text, Int]], Kind(INT)),
    function("LEFT", &[&[Text, Int]], FirstVaryingNullable),
    function("RIGHT", &[&[Text, Int]], FirstVaryingNullable),
    function("LPAD", &[&[Text, Int, Text]], Kind(STRING)),
    function("RPAD", &[&[Text, Int, Text]], Kind(STRING)),
    function("REPEAT", &[&[Text, Int]], Kind(STRING)),
    function("REVERSE", &[&[Text]], Nullable(STRING)),
    function("INITCAP", &[&[Text]], First),
    function("OVERLAY", &[&[Text, Text, Int], &[Text, Text, Int, Int]], Of(overlaid)),
    function("ASCII", &[&[Text]], Kind(INT)),
    function("CHR", &[&[Long]], Nullable(STRING)),
    function("SPLIT_INDEX", &[&[Text, Text, Int], &[Text, Int, Int]], Nullable(STRING)),
    function("SPLIT", &[&[Text, Text]], Kind(STRINGS)),
    function("STR_TO_MAP", &[&[Text], &[Text, Text, Text]], Nullable(STRING_MAP)),
    function("REGEXP", &[&[Text, Text]], Kind(BOOLEAN)),
    function("REGEXP_EXTRACT", &[&[Text, Text], &[Text, Text, Int]], Nullable(STRING)),
    function("REGEXP_REPLACE", &[&[Text, Text, Text]], Kind(STRING)),
    function("REGEXP_COUNT", &[&[Text, Text]], Nullable(INT)),
    function("REGEXP_INSTR", &[&[Text, Text]], Nullable(INT)),
    function("REGEXP_SUBSTR", &[&[Text, Text]], Nullable(STRING)),
    function("REGEXP_EXTRACT_ALL", &[&[Text, Text], &[Text, Text, Int]], Nullable(STRINGS)),
    function("STARTSWITH", &[&[Text, Text], &[Bytes, Bytes]], Kind(BOOLEAN)),
    function("ENDSWITH", &[&[Text, Text], &[Bytes, Bytes]], Kind(BOOLEAN)),
    function("TO_BASE64", &[&[Text]], Kind(STRING)),
    function("FROM_BASE64", &[&[Text]], Kind(STRING)),
    function("MD5", &[&[Text]], Kind(|| TypeKind::Char(32))),
    function("SHA1", &[&[Text]], Kind(|| TypeKind::Char(40))),
    function("SHA224", &[&[Text]], Kind(|| TypeKind::Char(56))),
    function("SHA256", &[&[Text]], Kind(|| TypeKind::Char(64))),
    function("SHA384", &[&[Text]], Kind(|| TypeKind::Char(96))),
    function("SHA512", &[&[Text]], Kind(|| TypeKind::Char(128))),
    function("SHA2", &[&[Text, Int]], Kind(|| TypeKind::Varchar(128))),
    function("PARSE_URL", &[&[Text, Text], &[Text, Text, Text]], Nullable(STRING)),
    function("URL_ENCODE", &[&[Text]], Nullable(STRING)),
    function("URL_DECODE", &[&[Text]], Nullable(STRING)),
    function("ENCODE", &[&[Text, Text]], Kind(BYTES)),
    function("DECODE", &[&[Bytes, Text]], Kind(STRING)),
    function("UUID", &[&[]], NotNull(|| TypeKind::Char(36))),
    function("HEX", &[&[Long], &[Text]], Kind(STRING)),
    function("UNHEX", &[&[Text]], Nullable(BYTES)),
    function("BIN", &[&[Long]], Kind(STRING)),
    // Numbers.
    function("ABS", &[&[Number]], First),
    function("FLOOR", &[&[Number]], Of(whole)),
    function("CEIL", &[&[Number]], Of(whole)),
    alias("CEILING", "CEIL", &[&[Number]], Of(whole)),
    function("ROUND", &[&[Number], &[Number, Int]], Of(round)),
    function("TRUNCATE", &[&[Number], &[Number, Int]], Of(round)),
    function("SIGN", &[&[Number]], First),
    function("POWER", &[&[Double, Double]], Kind(DOUBLE)),
    function("SQRT", &[&[Double]], Kind(DOUBLE)),
    function("LN", &[&[Double]], Kind(DOUBLE)),
    function("LOG10", &[&[Double]], Kind(DOUBLE)),
    function("LOG2", &[&[Double]], Kind(DOUBLE)),
    function("LOG", &[&[Double], &[Double, Double]], Kind(DOUBLE)),
    function("EXP", &[&[Double]], Kind(DOUBLE)),
    function("SIN", &[&[Double]], Kind(DOUBLE)),
    function("COS", &[&[Double]], Kind(DOUBLE)),
    function("TAN", &[&[Double]], Kind(DOUBLE)),
    function("COT", &[&[Double]], Kind(DOUBLE)),
    function("ASIN", &[&[Double]], Kind(DOUBLE)),
    function("ACOS", &[&[Double]], Kind(DOUBLE)),
    function("ATAN", &[&[Double]], Kind(DOUBLE)),
    function("ATAN2", &[&[Double, Double]], Kind(DOUBLE)),
    function("SINH", &[&[Double]], Kind(DOUBLE)),
    function("COSH", &[&[Double]], Kind(DOUBLE)),
    function("TANH", &[&[Double]], Kind(DOUBLE)),
    function("DEGREES", &[&[Double]], Kind(DOUBLE)),
    function("RADIANS", &[&[Double]], Kind(DOUBLE)),
    function("PI", &[&[]], NotNull(DOUBLE)),
    function("E", &[&[]], NotNull(DOUBLE)),
    function("RAND", &[&[], &[Int]], NotNull(DOUBLE)),
    function("RAND_INTEGER", &[&[Int], &[Int, Int]], NotNull(INT)),
    // Time.
    function("DATE_FORMAT", &[&[Timestamp, Text], &[Text, Text]], Nullable(STRING)),
    function("TO_DATE", &[&[Text], &[Text, Text]], Nullable(DATE)),
    function("TO_TIMESTAMP", &[&[Text], &[Text, Text]], Nullable(TIMESTAMP)),
    function("TO_TIMESTAMP_LTZ", &[&[Exact], &[Exact, Int], &[Text], &[Text, Text], &[Text, Text, Text]], Of(to_ltz)),
    function("FROM_UNIXTIME", &[&[Long], &[Long, Text]], Nullable(STRING)),
    function("UNIX_TIMESTAMP", &[&[], &[Text], &[Text, Text]], Kind(BIGINT)),
    function("CONVERT_TZ", &[&[Text, Text, Text]], Nullable(STRING)),
    function("PROCTIME", &[&[]], NotNull(PROCTIME)),
    function("NOW", &[&[]], NotNull(LTZ)),
    function("CURRENT_ROW_TIMESTAMP", &[&[]], NotNull(LTZ)),
    function("CURRENT_TIMESTAMP", &[&[]], NotNull(LTZ)),
    function("LOCALTIMESTAMP", &[&[]], NotNull(TIMESTAMP)),
    function("CURRENT_DATE", &[&[]], NotNull(DATE)),
    function("CURRENT_TIME", &[&[]], NotNull(TIME)),
    function("LOCALTIME", &[&[]], NotNull(TIME)),
    function("CURRENT_WATERMARK", &[&[Timestamp]], Of(watermark)),
    // Collections.
    function("CARDINALITY", &[&[Array], &[Map]], Kind(INT)),
    function("ELEMENT", &[&[Array]], Of(element)),
    function("ARRAY_CONTAINS", &[&[Array, Any]], Of(contains)),
    function("ARRAY_DISTINCT", &[&[Array]], First),
    function("ARRAY_REVERSE", &[&[Array]], First),
    function("MAP_KEYS", &[&[Map]], Of(|operands| map_part(operands, true))),
    function("MAP_VALUES", &[&[Map]], Of(|operands| map_part(operands, false))),
];

/// All names that can be called, for the nearest name and for SHOW FUNCTIONS.
pub fn names() -> impl Iterator<Item = &'static str> {
    const OTHERS: &[&str] = &[
        "COALESCE",
        "IFNULL",
        "NULLIF",
        "IF",
        "MOD",
        "CAST",
        "TRY_CAST",
        "ELT",
        "EXTRACT",
        "TRIM",
        "GREATEST",
        "LEAST",
        "YEAR",
        "QUARTER",
        "MONTH",
        "WEEK",
        "DAYOFYEAR",
        "DAYOFMONTH",
        "DAYOFWEEK",
        "HOUR",
        "MINUTE",
        "SECOND",
        "TIMESTAMPADD",
        "TIMESTAMPDIFF",
        "TUMBLE",
        "HOP",
        "CUMULATE",
        "DESCRIPTOR",
    ];
    FUNCTIONS.iter().map(|function| function.name).chain(OTHERS.iter().chain(super::aggregate::NAMES).copied())
}

/// Units of EXTRACT that are functions of their own.
pub(crate) fn unit_of_function(name: &str) -> Option<&'static str> {
    Some(match name {
        "YEAR" => "YEAR",
        "QUARTER" => "QUARTER",
        "MONTH" => "MONTH",
        "WEEK" => "WEEK",
        "DAYOFYEAR" => "DOY",
        "DAYOFMONTH" => "DAY",
        "DAYOFWEEK" => "DOW",
        "HOUR" => "HOUR",
        "MINUTE" => "MINUTE",
        "SECOND" => "SECOND",
        _ => return None,
    })
}

/// A call of the function of this name, as it is written.
pub(crate) fn call(name: &str, operands: Vec<Expression>) -> Result<Expression> {
    let upper = name.to_uppercase();
    let count = operands.len();
    let typed = operands.iter().enumerate().filter(|(index, _)| !takes_untyped_null(&upper, *index, &operands));
    refuse_untyped_null(typed.map(|(_, operand)| operand))?;
    if let Some(reason) = refusal_of_patterns(&upper, &operands)? {
        return Err(Error::unsupported(format!("{upper}: {reason}"), None));
    }
    match (upper.as_str(), count) {
        ("COALESCE", 1..) | ("IFNULL", 2) => return conditional::coalesce(operands),
        ("IF", 3) => return conditional::if_else(operands),
        ("GREATEST" | "LEAST", 1..) => return conditional::extreme(&upper, operands),
        ("ELT", 2..) => return elt(operands),
        ("NULLIF" | "MOD", 2) => {
            let mut operands = operands.into_iter();
            if let (Some(first), Some(second)) = (operands.next(), operands.next()) {
                return if upper == "MOD" {
                    arithmetic("%", first, second)
                } else {
                    conditional::null_if(first, second)
                };
            }
            return Err(super::no_such_function(name, &[]));
        }
        _ => {}
    }
    if let (Some(unit), 1) = (unit_of_function(&upper), count) {
        return extract(unit, operands.into_iter().next().ok_or_else(|| super::no_such_function(name, &[]))?);
    }
    let Some(function) = FUNCTIONS.iter().find(|function| function.name == upper) else {
        return Err(super::no_such_function(name, &operands));
    };
    let fits = |form: &&&[Arg]| form.len() == count || VARIADIC.contains(&function.name) && count >= form.len();
    if !function.forms.iter().any(|form| fits(&form)) {
        let expected = function.forms[0].len();
        let message = format!("Invalid number of arguments to function '{upper}'. Was expecting {expected} arguments");
        return Err(Error::validation(message, None));
    }
    let form = function.forms.iter().filter(|form| fits(form)).find(|form| {
        operands.iter().enumerate().all(|(i, operand)| accepts(argument(form, i), &operand.data_type.kind))
    });
    let Some(form) = form else {
        let forms: Vec<String> = function.forms.iter().map(|form| describe(&upper, form)).collect();
        let forms: Vec<&str> = forms.iter().map(String::as_str).collect();
        return Err(cannot_apply_function(&upper, &operands, &forms));
    };
    let operands: Vec<Expression> =
        operands.into_iter().enumerate().map(|(i, operand)| convert(argument(form, i), operand)).collect();
    let operands = if function.name == "ARRAY_CONTAINS" { with_needle_as_element(operands)? } else { operands };
    if function.name == "CURRENT_WATERMARK" && !is_rowtime(&operands[0].data_type.kind) {
        let message = format!(
            "The argument of CURRENT_WATERMARK() must be a rowtime attribute, but was '{}'.",
            operands[0].data_type
        );
        return Err(Error::validation(message, None));
    }
    let data_type = result_type(function.gives, &operands);
    Ok(Expression::call(function.canonical, operands, data_type))
}

fn is_rowtime(kind: &TypeKind) -> bool {
    use TimeAttribute::Rowtime;
    matches!(kind, TypeKind::Timestamp(_, Rowtime) | TypeKind::TimestampLtz(_, Rowtime))
}

fn argument(form: &[Arg], index: usize) -> Arg {
    form.get(index).or(form.last()).copied().unwrap_or(Any)
}

fn accepts(argument: Arg, kind: &TypeKind) -> bool {
    *kind == TypeKind::Null
        || match argument {
            Any => true,
            Text => is_text(kind),
            Bytes => is_bytes(kind),
            Number | Double => is_numeric(kind),
            Exact => is_exact(kind) || is_numeric(kind),
            Int | Long => is_integer(kind),
            Timestamp => is_timestamp(kind),
            Array => matches!(kind, TypeKind::Array(_) | TypeKind::Multiset(_)),
            Map => matches!(kind, TypeKind::Map(..)),
        }
}

fn convert(argument: Arg, operand: Expression) -> Expression {
    match argument {
        Int => cast_to(operand, &TypeKind::Int),
        Long => cast_to(operand, &TypeKind::Bigint),
        Double => cast_to(operand, &TypeKind::Double),
        Text => cast_null(operand, &TypeKind::string()),
        Bytes => cast_null(operand, &TypeKind::bytes()),
        Number | Exact => cast_null(operand, &TypeKind::Int),
        Timestamp => cast_null(operand, &TypeKind::Timestamp(3, TimeAttribute::Regular)),
        Any | Array | Map => operand,
    }
}

fn describe(name: &str, form: &[Arg]) -> String {
    let arguments: Vec<&str> = form
        .iter()
        .map(|argument| match argument {
            Any => "<ANY>",
            Text => "<CHARACTER>",
            Bytes => "<BINARY>",
            Number | Double => "<NUMERIC>",
            Exact => "<EXACT_NUMERIC>",
            Int | Long => "<INTEGER>",
            Timestamp => "<TIMESTAMP>",
            Array => "<ARRAY>",
            Map => "<MAP>",
        })
        .collect();
    format!("{name}({})", arguments.join(", "))
}

fn result_type(gives: Gives, operands: &[Expression]) -> LogicalType {
    let nullable = any_nullable(operands);
    let first = || operands.first().map_or(TypeKind::Null, |operand| operand.data_type.kind.clone());
    match gives {
        Kind(kind) => LogicalType { kind: kind(), nullable },
        Nullable(kind) => kind().nullable(),
        NotNull(kind) => kind().not_null(),
        First => LogicalType { kind: first(), nullable },
        FirstVarying => LogicalType { kind: varying(first()), nullable },
        FirstVaryingNullable => varying(first()).nullable(),
        Of(infer) => infer(operands),
    }
}

fn varying(kind: TypeKind) -> TypeKind {
    match kind {
        TypeKind::Char(length) => TypeKind::Varchar(length),
        kind => kind,
    }
}

/// Null where the text is: what is to be replaced, and by what, may be NULL.
fn translated(operands: &[Expression]) -> LogicalType {
    LogicalType { kind: TypeKind::string(), nullable: any_nullable(operands.first()) }
}

/// As long as the text and what is put over it.
fn overlaid(operands: &[Expression]) -> LogicalType {
    let length = |operand: &Expression| match operand.data_type.kind {
        TypeKind::Char(length) | TypeKind::Varchar(length) => length,
        _ => MAX_LENGTH,
    };
    let length = length(&operands[0]).saturating_add(length(&operands[1])).min(MAX_LENGTH);
    LogicalType { kind: TypeKind::Varchar(length), nullable: any_nullable(operands) }
}

fn whole(operands: &[Expression]) -> LogicalType {
    let data_type = &operands[0].data_type;
    let kind = match &data_type.kind {
        TypeKind::Decimal(precision, _) => TypeKind::Decimal(*precision, 0),
        kind => kind.clone(),
    };
    LogicalType { kind, nullable: data_type.nullable }
}

fn round(operands: &[Expression]) -> LogicalType {
    let places = match operands.get(1).map(|operand| &operand.node) {
        None => Some(0),
        Some(Node::Literal(ScalarValue::Int32(Some(places)))) => Some(*places),
        Some(_) => None,
    };
    LogicalType { kind: rounded(&operands[0].data_type.kind, places), nullable: any_nullable(operands) }
}

fn to_ltz(operands: &[Expression]) -> LogicalType {
    let precision = match operands.get(1).map(|operand| &operand.node) {
        Some(Node::Literal(ScalarValue::Int32(Some(precision @ 3..=9)))) => *precision as u8,
        _ => 3,
    };
    TypeKind::TimestampLtz(precision, TimeAttribute::Regular).nullable()
}

fn watermark(operands: &[Expression]) -> LogicalType {
    match operands[0].data_type.kind {
        TypeKind::TimestampLtz(precision, _) => TypeKind::TimestampLtz(precision, TimeAttribute::Regular).nullable(),
        TypeKind::Timestamp(precision, _) => TypeKind::Timestamp(precision, TimeAttribute::Regular).nullable(),
        _ => TIMESTAMP().nullable(),
    }
}

/// What is looked for in an array as one of its elements. What cannot be one by itself is refused: a BIGINT would be another
/// number as an INT.
fn with_needle_as_element(mut operands: Vec<Expression>) -> Result<Vec<Expression>> {
    let TypeKind::Array(element) = &operands[0].data_type.kind else { return Ok(operands) };
    let (kind, needle) = (element.kind.clone(), &operands[1].data_type.kind);
    if !can_cast_implicitly(needle, &kind) || !takes_nulls(needle, &kind) {
        let message = format!(
            "Invalid input arguments. ARRAY_CONTAINS cannot look for {} in {}: cast it to {kind}",
            operands[1].data_type, operands[0].data_type
        );
        return Err(Error::validation(message, None));
    }
    let needle = operands.pop().map(|needle| cast_to(needle, &kind));
    operands.extend(needle);
    Ok(operands)
}

/// Null only where the array is: null may be what is looked for.
fn contains(operands: &[Expression]) -> LogicalType {
    LogicalType { kind: TypeKind::Boolean, nullable: operands[0].data_type.nullable }
}

fn element(operands: &[Expression]) -> LogicalType {
    match &operands[0].data_type.kind {
        TypeKind::Array(element) | TypeKind::Multiset(element) => {
            element.with_nullable(element.nullable || operands[0].data_type.nullable)
        }
        _ => TypeKind::Null.nullable(),
    }
}

fn map_part(operands: &[Expression], keys: bool) -> LogicalType {
    let part = match &operands[0].data_type.kind {
        TypeKind::Map(key, value) => if keys { key } else { value }.clone(),
        _ => Box::new(TypeKind::Null.nullable()),
    };
    LogicalType { kind: TypeKind::Array(part), nullable: operands[0].data_type.nullable }
}

/// `ELT(index, text, …)`: the type is what the texts have in common; one that is a mere NULL counts as a VARCHAR(1).
fn elt(operands: Vec<Expression>) -> Result<Expression> {
    let refused = cannot_apply_function("ELT", &operands, &["ELT(<INTEGER>, <CHARACTER>, ...)"]);
    let untyped = TypeKind::Varchar(1).nullable();
    let texts = operands.iter().skip(1).map(|text| match text.data_type.kind {
        TypeKind::Null => &untyped,
        _ => &text.data_type,
    });
    let (Some(LogicalType { kind, .. }), true) = (common_type(texts), is_integer(&operands[0].data_type.kind)) else {
        return Err(refused);
    };
    if !is_text(&kind) {
        return Err(refused);
    }
    let forms = [Int, Text];
    let operands = operands.into_iter().enumerate().map(|(i, operand)| convert(argument(&forms, i), operand)).collect();
    Ok(Expression::call("ELT", operands, kind.nullable()))
}

/// `EXTRACT(unit FROM value)`.
pub(crate) fn extract(unit: &str, value: Expression) -> Result<Expression> {
    refuse_untyped_null([&value])?;
    let kind = &value.data_type.kind;
    if !is_datetime(kind) && !is_interval(kind) {
        let message = format!(
            "Cannot apply 'EXTRACT' to arguments of type 'EXTRACT(<INTERVAL {unit}> FROM <{}>)'. Supported form(s): 'EXTRACT(<DATETIME_INTERVAL> FROM <DATETIME_INTERVAL>)'\n'EXTRACT(<DATETIME_INTERVAL> FROM <DATETIME>)'",
            super::calcite_name(kind)
        );
        return Err(Error::validation(message, None));
    }
    let data_type = LogicalType { kind: TypeKind::Bigint, nullable: value.data_type.nullable };
    Ok(Expression::call("EXTRACT", vec![super::literal::string(unit), value], data_type))
}

/// `FLOOR(value TO unit)`, `CEIL(value TO unit)`.
pub(crate) fn round_to_unit(function: &str, value: Expression, unit: &str) -> Result<Expression> {
    refuse_untyped_null([&value])?;
    if !is_datetime(&value.data_type.kind) {
        return Err(cannot_apply_function(function, &[value], &[&format!("{function}(<DATETIME> TO <TIME_UNIT>)")]));
    }
    let data_type = value.data_type.clone();
    Ok(Expression::call(function, vec![value, super::literal::string(unit)], data_type))
}

/// `TIMESTAMPADD(unit, count, datetime)`.
pub(crate) fn timestamp_add(unit: &str, count: Expression, datetime: Expression) -> Result<Expression> {
    let one = match unit {
        "YEAR" => super::literal::interval_of_months(12),
        "QUARTER" => super::literal::interval_of_months(3),
        "MONTH" => super::literal::interval_of_months(1),
        "WEEK" => super::literal::interval_of_time(7 * 86_400_000),
        "DAY" => super::literal::interval_of_time(86_400_000),
        "HOUR" => super::literal::interval_of_time(3_600_000),
        "MINUTE" => super::literal::interval_of_time(60_000),
        "SECOND" => super::literal::interval_of_time(1_000),
        "MILLISECOND" => super::literal::interval_of_time(1),
        _ => return Err(Error::validation(format!("'{unit}' is not a valid time frame for TIMESTAMPADD"), None)),
    };
    let interval = match (&one.node, &count.node) {
        (Node::Literal(ScalarValue::DurationMillisecond(Some(unit))), Node::Literal(ScalarValue::Int32(Some(n)))) => {
            super::literal::interval_of_time(unit * i64::from(*n))
        }
        _ => arithmetic("*", one, count)?,
    };
    let clock = matches!(unit, "HOUR" | "MINUTE" | "SECOND" | "MILLISECOND");
    let datetime = match datetime.data_type.kind {
        TypeKind::Date if clock => cast_to(datetime, &TypeKind::Timestamp(6, TimeAttribute::Regular)),
        _ => datetime,
    };
    arithmetic("+", datetime, interval)
}

/// `TIMESTAMPDIFF(unit, from, to)`: whole units from one to the other.
pub(crate) fn timestamp_diff(unit: &str, from: Expression, to: Expression) -> Result<Expression> {
    let operands = [from, to];
    refuse_untyped_null(&operands)?;
    if !operands.iter().all(|operand| is_datetime(&operand.data_type.kind)) {
        return Err(cannot_apply_function(
            "TIMESTAMPDIFF",
            &operands,
            &["TIMESTAMPDIFF(<ANY>, <DATETIME>, <DATETIME>)"],
        ));
    }
    let data_type = LogicalType { kind: TypeKind::Int, nullable: any_nullable(&operands) };
    let [from, to] = operands;
    Ok(Expression::call("TIMESTAMPDIFF", vec![super::literal::string(unit), from, to], data_type))
}

/// `TRIM([BOTH | LEADING | TRAILING] [what] FROM value)`: operands mode, what, value.
pub(crate) fn trim(mode: &str, what: Option<Expression>, value: Expression) -> Result<Expression> {
    let what = what.unwrap_or_else(|| super::literal::string(" "));
    let operands = [what, value];
    refuse_untyped_null(&operands)?;
    if !operands.iter().all(|operand| is_text(&operand.data_type.kind)) {
        return Err(cannot_apply_function(
            "TRIM",
            &operands,
            &["TRIM([BOTH|LEADING|TRAILING] <CHARACTER> FROM <CHARACTER>)"],
        ));
    }
    let [what, value] = operands;
    let data_type =
        LogicalType { kind: varying(value.data_type.kind.clone()), nullable: any_nullable([&what, &value]) };
    Ok(Expression::call("TRIM", vec![super::literal::string(mode), what, value], data_type))
}
