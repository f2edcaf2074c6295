//! Calls of scalar functions by name: by their entries in the catalogue, or by rules of their own.
use datafusion_common::ScalarValue;
use wiesel_expressions::functions::catalogue::Argument::{
    self, Any, Array, Bitmap, Boolean, Bytes, Double, Exact, Index, Int, Ints, Long, Map, Number, Sortable, Text,
    Texts, Timestamp,
};
use wiesel_expressions::functions::catalogue::{self, Agreement, Function, Written, varying};
use wiesel_expressions::types::{LogicalType, RowField, TimeAttribute, TypeKind};

use super::cast::{can_cast_implicitly, cast_to, plain, takes_nulls};
use super::common_type::{common_argument_type, common_type};
use super::numeric::{is_exact, is_integer, is_numeric};
use super::operators::{arithmetic, cast_null};
use super::{
    any_nullable, cannot_apply_function, conditional, is_bytes, is_datetime, is_interval, is_text, is_timestamp, json,
    refuse_untyped_null, structured,
};
use crate::error::{Error, Result};
use crate::rex::{Expression, Node, lowering, null_literal};
use crate::script::refusal_of_patterns;

/// All names that can be called, for the nearest name and for SHOW FUNCTIONS.
pub fn names() -> impl Iterator<Item = &'static str> {
    catalogue::functions().flat_map(Function::names)
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
    let function = catalogue::called(&upper);
    let outlines = lowering::outlines(&operands);
    let takes_untyped_null =
        |index: usize| function.is_some_and(|function| (function.takes_untyped_null)(index, &outlines));
    let typed = operands.iter().enumerate().filter(|(index, _)| !takes_untyped_null(*index));
    refuse_untyped_null(typed.map(|(_, operand)| operand))?;
    if let Some(reason) = refusal_of_patterns(&upper, &outlines)? {
        return Err(Error::unsupported(format!("{upper}: {reason}"), None));
    }
    let called = function.map(|function| (function, function.written));
    let Some((function, Written::Call { forms, variadic, gives })) = called else {
        return special(name, &upper, operands);
    };
    let operands = arguments(&upper, forms, variadic, operands)?;
    let operands = match function.agreement {
        Agreement::Free => operands,
        Agreement::Element => with_element(function.name, operands)?,
        Agreement::Common => as_common(function.name, operands)?,
    };
    if function.name == "CURRENT_WATERMARK" {
        refuse_other_than_rowtime(&operands)?;
    }
    let data_type = gives.result_type(&lowering::outlines(&operands));
    Ok(Expression::call(function.name, operands, data_type))
}

/// A call of a function with rules of its own.
fn special(name: &str, upper: &str, operands: Vec<Expression>) -> Result<Expression> {
    match (upper, operands.len()) {
        ("COALESCE", 1..) => return conditional::coalesce(operands),
        ("IFNULL", 2) => return conditional::if_null(operands),
        ("IF", 3) => return conditional::if_else(operands),
        ("GREATEST" | "LEAST", 1..) => return conditional::extreme(upper, operands),
        ("ELT", 2..) => return elt(operands),
        ("TYPEOF", 1 | 2) => return type_of(operands),
        ("SOURCE_WATERMARK", 0) => return Err(source_watermark_refused()),
        ("CURRENT_DATABASE", 0) => return Ok(current_database()),
        ("OBJECT_OF", _) => return structured::object_of(operands),
        ("OBJECT_UPDATE", _) => return structured::object_update(operands),
        ("JSON_VALUE", _) => return json::value(operands),
        ("JSON_QUERY", _) => return json::query(operands),
        ("JSON_EXISTS", _) => return json::exists(operands),
        ("JSON", _) => return Err(json::outside()),
        ("JSON_STRING", 1) => return json::string(operands),
        ("JSON_ARRAY", 1..) => return json::array(operands),
        ("JSON_OBJECT", 1..) => return json::object(operands),
        _ => {}
    }
    let no_such_function = |operands: &[Expression]| super::no_such_function(name, operands);
    match (upper, <[Expression; 2]>::try_from(operands)) {
        ("MOD", Ok([first, second])) => arithmetic("%", first, second),
        ("NULLIF", Ok([first, second])) => conditional::null_if(first, second),
        (_, Ok(operands)) => Err(no_such_function(&operands)),
        (_, Err(mut operands)) => match (unit_of_function(upper), operands.pop()) {
            (Some(unit), Some(value)) if operands.is_empty() => extract(unit, value),
            (_, value) => {
                operands.extend(value);
                Err(no_such_function(&operands))
            }
        },
    }
}

/// The arguments as the first form that fits takes them.
fn arguments(upper: &str, forms: &[&[Argument]], variadic: bool, operands: Vec<Expression>) -> Result<Vec<Expression>> {
    let count = operands.len();
    let fits = |form: &&&[Argument]| form.len() == count || variadic && count >= form.len();
    if !forms.iter().any(|form| fits(&form)) {
        let expected = forms[0].len();
        let message = format!("Invalid number of arguments to function '{upper}'. Was expecting {expected} arguments");
        return Err(Error::validation(message, None));
    }
    let form = forms.iter().filter(|form| fits(form)).find(|form| {
        operands.iter().enumerate().all(|(i, operand)| accepts(argument(form, i), &operand.data_type.kind))
    });
    let Some(form) = form else {
        let forms: Vec<String> = forms.iter().map(|form| describe(upper, form)).collect();
        let forms: Vec<&str> = forms.iter().map(String::as_str).collect();
        return Err(cannot_apply_function(upper, &operands, &forms));
    };
    Ok(operands.into_iter().enumerate().map(|(i, operand)| convert(argument(form, i), operand)).collect())
}

fn refuse_other_than_rowtime(operands: &[Expression]) -> Result<()> {
    let data_type = &operands[0].data_type;
    if is_rowtime(&data_type.kind) {
        return Ok(());
    }
    let message = format!("The argument of CURRENT_WATERMARK() must be a rowtime attribute, but was '{data_type}'.");
    Err(Error::validation(message, None))
}

fn is_rowtime(kind: &TypeKind) -> bool {
    use TimeAttribute::Rowtime;
    matches!(kind, TypeKind::Timestamp(_, Rowtime) | TypeKind::TimestampLtz(_, Rowtime))
}

fn argument(form: &[Argument], index: usize) -> Argument {
    form.get(index).or(form.last()).copied().unwrap_or(Any)
}

fn accepts(argument: Argument, kind: &TypeKind) -> bool {
    *kind == TypeKind::Null
        || match argument {
            Any => true,
            Text => is_text(kind),
            Bytes => is_bytes(kind),
            Number | Double => is_numeric(kind),
            Exact => is_exact(kind) || is_numeric(kind),
            Int | Long => is_integer(kind),
            Timestamp => is_timestamp(kind),
            Array => matches!(kind, TypeKind::Array(_)),
            Texts => matches!(kind, TypeKind::Array(element) if is_text(&element.kind)),
            Sortable => matches!(kind, TypeKind::Array(element) if has_order(&element.kind)),
            Map => matches!(kind, TypeKind::Map(..)),
            Index => matches!(kind, TypeKind::Tinyint | TypeKind::Smallint | TypeKind::Int),
            Boolean => *kind == TypeKind::Boolean,
            Ints => {
                matches!(kind, TypeKind::Array(element) if accepts(Index, &element.kind) && element.kind != TypeKind::Null)
            }
            Bitmap => *kind == TypeKind::Bitmap,
        }
}

/// Whether Flink's functions of arrays take a type for one with an order.
fn has_order(kind: &TypeKind) -> bool {
    is_text(kind) || is_bytes(kind) || is_numeric(kind) || is_datetime(kind) || *kind == TypeKind::Null
}

fn convert(argument: Argument, operand: Expression) -> Expression {
    match argument {
        Int | Index => cast_to(operand, &TypeKind::Int),
        Long => cast_to(operand, &TypeKind::Bigint),
        Double => cast_to(operand, &TypeKind::Double),
        Text => cast_null(operand, &TypeKind::string()),
        Bytes => cast_null(operand, &TypeKind::bytes()),
        Number | Exact => cast_null(operand, &TypeKind::Int),
        Timestamp => cast_null(operand, &TypeKind::Timestamp(3, TimeAttribute::Regular)),
        Boolean => cast_null(operand, &TypeKind::Boolean),
        Ints => cast_to(operand, &TypeKind::Array(Box::new(TypeKind::Int.nullable()))),
        Bitmap => cast_null(operand, &TypeKind::Bitmap),
        Any | Array | Texts | Sortable | Map => operand,
    }
}

fn describe(name: &str, form: &[Argument]) -> String {
    let arguments: Vec<&str> = form
        .iter()
        .map(|argument| match argument {
            Any => "<ANY>",
            Text => "<CHARACTER>",
            Bytes => "<BINARY>",
            Number | Double => "<NUMERIC>",
            Exact => "<EXACT_NUMERIC>",
            Int | Long | Index => "<INTEGER>",
            Timestamp => "<TIMESTAMP>",
            Array => "<ARRAY>",
            Texts => "<ARRAY OF CHARACTER>",
            Sortable => "<ARRAY OF COMPARABLE>",
            Map => "<MAP>",
            Boolean => "<BOOLEAN>",
            Ints => "<ARRAY OF INTEGER>",
            Bitmap => "<BITMAP>",
        })
        .collect();
    format!("{name}({})", arguments.join(", "))
}

/// An array and what is looked for in it or put to it, as one of its elements. What cannot be one by itself is refused: a BIGINT
/// would be another number as an INT.
fn with_element(function: &str, mut operands: Vec<Expression>) -> Result<Vec<Expression>> {
    let TypeKind::Array(element) = &operands[0].data_type.kind else { return Ok(operands) };
    let (kind, needle) = (element.kind.clone(), &operands[1].data_type.kind);
    if !can_cast_implicitly(needle, &kind) || !takes_nulls(needle, &kind) {
        let message = format!(
            "Invalid input arguments. {function} cannot take {} for an element of {}: cast it to {kind}",
            operands[1].data_type, operands[0].data_type
        );
        return Err(Error::validation(message, None));
    }
    let needle = operands.pop().map(|needle| cast_to(needle, &kind));
    operands.extend(needle);
    Ok(operands)
}

/// All as what they have in common.
fn as_common(function: &str, operands: Vec<Expression>) -> Result<Vec<Expression>> {
    let Some(common) = common_argument_type(operands.iter().map(|operand| &operand.data_type)) else {
        let types: Vec<String> = operands.iter().map(|operand| operand.data_type.to_string()).collect();
        let message = format!(
            "Invalid input arguments. {function} needs arguments with a common type, but has {}: cast them to one",
            types.join(", ")
        );
        return Err(Error::validation(message, None));
    };
    Ok(operands.into_iter().map(|operand| cast_to(operand, &common.kind)).collect())
}

/// `ELT(index, text or bytes, …)`: the type is what the texts have in common; one that is a mere NULL counts as a VARCHAR(1).
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
    if !is_text(&kind) && !is_bytes(&kind) {
        return Err(refused);
    }
    let forms = [Int, if is_bytes(&kind) { Bytes } else { Text }];
    let operands = operands.into_iter().enumerate().map(|(i, operand)| convert(argument(&forms, i), operand)).collect();
    Ok(Expression::call("ELT", operands, kind.nullable()))
}

/// `TYPEOF(value[, whether it must be a type that can be written])`: the type's name, a constant.
fn type_of(operands: Vec<Expression>) -> Result<Expression> {
    let data_type = &operands[0].data_type;
    let name = match operands.get(1).map(|operand| &operand.node) {
        None | Some(Node::Literal(ScalarValue::Boolean(Some(false)))) => data_type.to_string(),
        Some(Node::Literal(ScalarValue::Boolean(Some(true)))) => written(data_type),
        Some(_) => {
            return Err(cannot_apply_function(
                "TYPEOF",
                &operands,
                &["TYPEOF(<ANY>)", "TYPEOF(<ANY>, <BOOLEAN LITERAL>)"],
            ));
        }
    };
    Ok(Expression::literal(ScalarValue::Utf8View(Some(name)), TypeKind::string().nullable()))
}

/// A type as SQL can declare it: STRING and BYTES by their lengths, without time attributes.
fn written(data_type: &LogicalType) -> String {
    let kind = match &data_type.kind {
        TypeKind::Varchar(length) => format!("VARCHAR({length})"),
        TypeKind::Varbinary(length) => format!("VARBINARY({length})"),
        TypeKind::Array(element) => format!("ARRAY<{}>", written(element)),
        TypeKind::Multiset(element) => format!("MULTISET<{}>", written(element)),
        TypeKind::Map(key, value) => format!("MAP<{}, {}>", written(key), written(value)),
        TypeKind::Row(fields) => {
            let field = |field: &RowField| format!("`{}` {}", field.name.replace('`', "``"), written(&field.data_type));
            format!("ROW<{}>", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        TypeKind::Structured(class, fields) => {
            let field = |field: &RowField| format!("`{}` {}", field.name.replace('`', "``"), written(&field.data_type));
            format!("STRUCTURED<'{class}', {}>", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        kind => plain(kind).to_string(),
    };
    if data_type.nullable { kind } else { format!("{kind} NOT NULL") }
}

/// `CURRENT_DATABASE()`: there is one.
fn current_database() -> Expression {
    let name = ScalarValue::Utf8View(Some(crate::catalog::DEFAULT_DATABASE.to_owned()));
    Expression::literal(name, TypeKind::string().not_null())
}

/// The watermark that a source gives, by this name in a declaration; as precise as the rowtime column.
pub(crate) const SOURCE_WATERMARK: &str = "SOURCE_WATERMARK";

/// `SOURCE_WATERMARK()` anywhere but alone in a WATERMARK declaration, or of a table whose source gives none.
pub(crate) fn source_watermark_refused() -> Error {
    let message = "SOURCE_WATERMARK() is a declarative marker function and doesn't have concrete runtime implementation. It can only be \
                   used as a single expression in a WATERMARK FOR clause in the CREATE TABLE DDL. The declaration will be pushed down \
                   into a table source that supports source watermarks; no connector here does. Declare the watermark by an \
                   expression over the columns";
    Error::validation(message, None)
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

/// The units that ODBC names, all but that of fractions.
const UNITS_OF_ODBC: [&str; 9] = ["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MICROSECOND"];

/// A unit by its own name: those of ODBC are others.
fn time_unit(unit: &str) -> &str {
    match unit {
        "SQL_TSI_FRAC_SECOND" => "NANOSECOND",
        "FRAC_SECOND" => "MICROSECOND",
        unit => unit.strip_prefix("SQL_TSI_").filter(|unit| UNITS_OF_ODBC.contains(unit)).unwrap_or(unit),
    }
}

/// `TIMESTAMPADD(unit, count, datetime)`.
pub(crate) fn timestamp_add(unit: &str, count: Expression, datetime: Expression) -> Result<Expression> {
    let unit = time_unit(unit);
    let takes = |expression: &Expression, fits: fn(&TypeKind) -> bool| {
        expression.data_type.kind == TypeKind::Null || fits(&expression.data_type.kind)
    };
    if !takes(&count, is_integer) || !takes(&datetime, is_datetime) {
        let form = "TIMESTAMPADD(<ANY>, <INTEGER>, <DATETIME>)";
        return Err(cannot_apply_function("TIMESTAMPADD", &[count, datetime], &[form]));
    }
    let one = match unit {
        "DOW" | "DOY" | "ISODOW" | "EPOCH" => return field_added(unit, &count, &datetime),
        "MILLENNIUM" => super::literal::interval_of_months(12_000),
        "CENTURY" => super::literal::interval_of_months(1_200),
        "DECADE" => super::literal::interval_of_months(120),
        "YEAR" | "ISOYEAR" => super::literal::interval_of_months(12),
        "QUARTER" => super::literal::interval_of_months(3),
        "MONTH" => super::literal::interval_of_months(1),
        "WEEK" => super::literal::interval_of_time(7 * 86_400_000),
        "DAY" => super::literal::interval_of_time(86_400_000),
        "HOUR" => super::literal::interval_of_time(3_600_000),
        "MINUTE" => super::literal::interval_of_time(60_000),
        "SECOND" => super::literal::interval_of_time(1_000),
        "MILLISECOND" => super::literal::interval_of_time(1),
        _ => return Err(not_a_time_frame("TIMESTAMPADD", unit)),
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

/// `TIMESTAMPADD` of a field that has no length: to Flink's planner it is NULL, and cannot be planned where nothing may be NULL.
fn field_added(unit: &str, count: &Expression, datetime: &Expression) -> Result<Expression> {
    refuse_untyped_null([count, datetime])?;
    if any_nullable([count, datetime]) {
        return Ok(null_literal(plain(&datetime.data_type.kind)));
    }
    let message = format!("TIMESTAMPADD({unit}, …) is NULL, but its type would be {}", datetime.data_type);
    Err(Error::validation(message, None))
}

fn not_a_time_frame(function: &str, unit: &str) -> Error {
    Error::validation(format!("'{unit}' is not a valid time frame for {function}"), None)
}

/// The unit that `TIMESTAMPDIFF` counts for one: those that are fields of a date or time count what the field counts.
fn counted_unit(unit: &str) -> Result<&str> {
    Ok(match time_unit(unit) {
        "DOW" | "DOY" | "ISODOW" => "DAY",
        "EPOCH" => "SECOND",
        "ISOYEAR" => "YEAR",
        unit @ ("MILLENNIUM" | "CENTURY" | "DECADE" | "YEAR" | "QUARTER" | "MONTH" | "WEEK" | "DAY" | "HOUR"
        | "MINUTE" | "SECOND" | "MILLISECOND" | "MICROSECOND" | "NANOSECOND") => unit,
        unit => return Err(not_a_time_frame("TIMESTAMPDIFF", unit)),
    })
}

/// `TIMESTAMPDIFF(unit, from, to)`: whole units from one to the other.
pub(crate) fn timestamp_diff(unit: &str, from: Expression, to: Expression) -> Result<Expression> {
    let unit = counted_unit(unit)?;
    let operands = [from, to];
    refuse_untyped_null(&operands)?;
    if !operands.iter().all(|operand| is_datetime(&operand.data_type.kind)) {
        return Err(cannot_apply_function(
            "TIMESTAMPDIFF",
            &operands,
            &["TIMESTAMPDIFF(<ANY>, <DATETIME>, <DATETIME>)"],
        ));
    }
    let is_of = |kind: fn(&TypeKind) -> bool| operands.iter().filter(|operand| kind(&operand.data_type.kind)).count();
    if is_of(|kind| matches!(kind, TypeKind::TimestampLtz(..))) == 1 {
        return Err(Error::validation("TIMESTAMP_LTZ only supports diff between the same type.", None));
    }
    if is_of(|kind| matches!(kind, TypeKind::Time(_))) == 1 {
        return Err(Error::validation("TIMESTAMPDIFF of a TIME needs another TIME", None));
    }
    let kind = if unit == "NANOSECOND" { TypeKind::Bigint } else { TypeKind::Int };
    let data_type = LogicalType { kind, nullable: any_nullable(&operands) };
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
