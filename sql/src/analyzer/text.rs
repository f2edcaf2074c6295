//! Expressions as text, in the form in which `DESCRIBE` and `SHOW CREATE` print them.
use std::collections::HashSet;

use sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DateTimeField, DuplicateTreatment, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Interval, Subscript, UnaryOperator, Value, ValueWithSpan,
};
use wiesel_expressions::types::{LogicalType, TypeKind};

use super::expression::niladic;
use super::literals::{type_text, unit_name};
use crate::functions::scalar::unit_of_function;
use crate::parser::dialect::{JSON_TEST, JSON_WITHIN, MAP_CONSTRUCTOR, ROW_CONSTRUCTOR};

/// How strongly what is no operator binds.
const ATOM: u8 = 100;
const UNARY: u8 = 80;
const PRODUCT: u8 = 60;
const SUM: u8 = 40;
const PATTERN: u8 = 32;
const COMPARISON: u8 = 30;
const TEST: u8 = 28;
const NOT: u8 = 26;
const AND: u8 = 24;
const OR: u8 = 22;

/// Functions that Flink prints as it prints names: as they are written.
#[rustfmt::skip]
const QUOTED: &[&str] = &[
    "ARRAY_APPEND", "ARRAY_CONCAT", "ARRAY_CONTAINS", "ARRAY_DISTINCT", "ARRAY_EXCEPT", "ARRAY_INTERSECT",
    "ARRAY_JOIN", "ARRAY_MAX", "ARRAY_MIN", "ARRAY_POSITION", "ARRAY_PREPEND", "ARRAY_REMOVE", "ARRAY_REVERSE",
    "ARRAY_SLICE", "ARRAY_SORT", "ARRAY_UNION", "BITMAP_AND", "BITMAP_ANDNOT", "BITMAP_AND_AGG",
    "BITMAP_AND_CARDINALITY_AGG", "BITMAP_BUILD", "BITMAP_BUILD_AGG", "BITMAP_BUILD_CARDINALITY_AGG",
    "BITMAP_CARDINALITY", "BITMAP_FROM_BYTES", "BITMAP_OR", "BITMAP_OR_AGG", "BITMAP_OR_CARDINALITY_AGG",
    "BITMAP_TO_ARRAY", "BITMAP_TO_BYTES", "BITMAP_TO_STRING", "BITMAP_XOR", "BITMAP_XOR_AGG",
    "BITMAP_XOR_CARDINALITY_AGG", "BTRIM", "ELT", "ENDSWITH", "GREATEST", "IFNULL", "INET_ATON", "INET_NTOA",
    "JSON_QUOTE", "JSON_UNQUOTE", "LEAST", "MAP_ENTRIES", "MAP_FROM_ARRAYS", "MAP_KEYS", "MAP_UNION", "MAP_VALUES",
    "OBJECT_OF", "OBJECT_UPDATE",
    "PARSE_JSON", "PERCENTILE", "PRINTF", "REGEXP_COUNT", "REGEXP_EXTRACT_ALL", "REGEXP_INSTR", "REGEXP_SUBSTR",
    "SOURCE_WATERMARK", "SPLIT", "STARTSWITH", "TO_TIMESTAMP_LTZ", "TRY_PARSE_JSON", "UNHEX", "URL_DECODE", "URL_ENCODE",
];

/// An expression's text: names in back ticks, functions in upper case, no more parentheses than needed.
pub fn expression_text(expr: &Expr) -> String {
    Texts { qualifier: None }.expression(expr)
}

/// What the columns of a relation are called in a SELECT.
pub(super) struct Qualifier<'a> {
    /// What is printed before them.
    pub(super) alias: &'a str,
    /// What may be written before them, whole or its last parts.
    pub(super) path: &'a [String],
    pub(super) columns: HashSet<&'a str>,
}

impl Qualifier<'_> {
    /// How many parts of a column's name stand for the relation; none: it is the name of no column.
    fn length(&self, parts: &[Ident]) -> Option<usize> {
        let is_relation = |length: &usize| {
            let path = self.path.iter().rev().take(*length).rev();
            *length <= self.path.len() && path.zip(parts).all(|(name, part)| *name == part.value)
        };
        let is_column = parts.first().is_some_and(|part| self.columns.contains(part.value.as_str()));
        (1..parts.len()).rev().find(is_relation).or(is_column.then_some(0))
    }
}

/// Prints expressions, the names of columns with that of their relation where there is one.
pub(super) struct Texts<'a> {
    pub(super) qualifier: Option<&'a Qualifier<'a>>,
}

impl Texts<'_> {
    pub(super) fn expression(&self, expr: &Expr) -> String {
        match expr {
            Expr::Identifier(name) if name.quote_style.is_none() && niladic(&name.value).is_some() => {
                name.value.to_uppercase()
            }
            Expr::Identifier(name) => self.name(std::slice::from_ref(name)),
            Expr::CompoundIdentifier(parts) => self.name(parts),
            Expr::CompoundFieldAccess { root, access_chain } => {
                let chain = access_chain.iter().map(|access| self.access(access));
                std::iter::once(self.operand(root, ATOM)).chain(chain).collect()
            }
            Expr::Nested(inner) => self.expression(inner),
            Expr::Value(value) => value_text(value),
            Expr::BinaryOp { left, op, right } => self.binary(left, &op.to_string(), right, strength_of(op)),
            Expr::IsDistinctFrom(left, right) => self.binary(left, "IS DISTINCT FROM", right, COMPARISON),
            Expr::IsNotDistinctFrom(left, right) => self.binary(left, "IS NOT DISTINCT FROM", right, COMPARISON),
            Expr::UnaryOp { op, expr } if is_number(*op, expr) => format!("{op}{}", self.expression(expr)),
            Expr::UnaryOp { op, expr } => format!("{op} {}", self.operand(expr, strength_of_unary(*op) + 1)),
            Expr::Cast { kind, expr, data_type, .. } => {
                let name = if *kind == CastKind::TryCast { "TRY_CAST" } else { "CAST" };
                let written = type_text(data_type);
                let target = crate::parser::parse_type(&written).map_or(written, |target| type_spec(&target));
                format!("{name}({} AS {target})", self.expression(expr))
            }
            Expr::IsNull(inner) => self.test(inner, "IS NULL"),
            Expr::IsNotNull(inner) => self.test(inner, "IS NOT NULL"),
            Expr::IsTrue(inner) => self.test(inner, "IS TRUE"),
            Expr::IsNotTrue(inner) => self.test(inner, "IS NOT TRUE"),
            Expr::IsFalse(inner) => self.test(inner, "IS FALSE"),
            Expr::IsNotFalse(inner) => self.test(inner, "IS NOT FALSE"),
            Expr::IsUnknown(inner) => self.test(inner, "IS UNKNOWN"),
            Expr::IsNotUnknown(inner) => self.test(inner, "IS NOT UNKNOWN"),
            Expr::InList { expr, list, negated } => {
                format!("{} {}IN ({})", self.operand(expr, PATTERN), not(*negated), self.list(list))
            }
            Expr::Between { expr, negated, low, high } => {
                let (low, high) = (self.operand(low, PATTERN + 1), self.operand(high, PATTERN + 1));
                format!("{} {}BETWEEN ASYMMETRIC {low} AND {high}", self.operand(expr, PATTERN), not(*negated))
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.pattern(expr, *negated, "LIKE", pattern, escape_char.as_ref())
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                self.pattern(expr, *negated, "SIMILAR TO", pattern, escape_char.as_ref())
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                let mut text = "CASE".to_owned();
                for branch in conditions {
                    let when = match operand {
                        Some(operand) => self.binary(operand, "=", &branch.condition, COMPARISON),
                        None => self.expression(&branch.condition),
                    };
                    text.push_str(&format!(" WHEN {when} THEN {}", self.expression(&branch.result)));
                }
                let otherwise =
                    else_result.as_deref().map_or_else(|| "NULL".to_owned(), |value| self.expression(value));
                format!("{text} ELSE {otherwise} END")
            }
            Expr::Extract { field, expr, .. } => {
                format!("EXTRACT({} FROM {})", unit_name(field), self.expression(expr))
            }
            Expr::Ceil { expr, field } => self.rounding("CEIL", expr, field),
            Expr::Floor { expr, field } => self.rounding("FLOOR", expr, field),
            Expr::Position { expr, r#in } => {
                format!("POSITION({} IN {})", self.expression(expr), self.expression(r#in))
            }
            Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
                let name = if *shorthand { "SUBSTR" } else { "SUBSTRING" };
                let parts = std::iter::once(expr).chain(substring_from).chain(substring_for);
                format!("{name}({})", parts.map(|part| self.expression(part)).collect::<Vec<_>>().join(", "))
            }
            Expr::Trim { trim_where, trim_what, expr, .. } => {
                let mode = trim_where.as_ref().map_or_else(|| "BOTH".to_owned(), ToString::to_string);
                let what = trim_what.as_deref().map_or_else(|| "' '".to_owned(), |value| self.expression(value));
                format!("TRIM({mode} {what} FROM {})", self.expression(expr))
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let [text, what, from] = [expr, overlay_what, overlay_from].map(|part| self.expression(part));
                let length =
                    overlay_for.as_deref().map_or_else(String::new, |n| format!(" FOR {}", self.expression(n)));
                format!("OVERLAY({text} PLACING {what} FROM {from}{length})")
            }
            Expr::Array(array) => format!("ARRAY[{}]", self.list(&array.elem)),
            Expr::Tuple(items) => format!("ROW({})", self.list(items)),
            Expr::Interval(interval) => interval_text(interval),
            Expr::Function(function) => self.function(function),
            other => other.to_string(),
        }
    }

    fn function(&self, function: &Function) -> String {
        let name = function.name.to_string();
        let name = name.trim_matches('`');
        let upper = name.to_uppercase();
        let list = match &function.args {
            FunctionArguments::List(list) => list,
            FunctionArguments::None => return upper,
            FunctionArguments::Subquery(query) => return format!("{}({query})", name_text(name)),
        };
        let mut arguments: Vec<String> = list.args.iter().map(|argument| self.argument(argument)).collect();
        match (name, arguments.as_slice()) {
            (MAP_CONSTRUCTOR, _) => return format!("MAP[{}]", arguments.join(", ")),
            (ROW_CONSTRUCTOR, _) => return format!("ROW({})", arguments.join(", ")),
            (JSON_WITHIN, [value]) => return format!("JSON({value})"),
            (JSON_TEST, [value, _]) => return format!("({value} IS JSON {})", constant(&list.args, 1)),
            ("JSON_ARRAY", [_, values @ ..]) => {
                return format!("JSON_ARRAY({} {} ON NULL)", values.join(", "), constant(&list.args, 0));
            }
            ("JSON_OBJECT", [_, members @ ..]) => {
                let members = members.chunks_exact(2).map(|member| format!("KEY {} VALUE {}", member[0], member[1]));
                let members = members.collect::<Vec<_>>().join(", ");
                return format!("JSON_OBJECT({members} {} ON NULL)", constant(&list.args, 0));
            }
            ("JSON_ARRAYAGG", [_, value]) => {
                return format!("JSON_ARRAYAGG({value} {} ON NULL)", constant(&list.args, 0));
            }
            ("JSON_OBJECTAGG", [_, key, value]) => {
                return format!("JSON_OBJECTAGG(KEY {key} VALUE {value} {} ON NULL)", constant(&list.args, 0));
            }
            ("JSON_VALUE" | "JSON_QUERY" | "JSON_EXISTS", [text, path, ..]) => {
                return format!("{name}({text}, {path}{})", json_clauses(name, &list.args[2..], &arguments[2..]));
            }
            (_, [argument]) => {
                if let Some(unit) = unit_of_function(&upper) {
                    return format!("EXTRACT({unit} FROM {argument})");
                }
            }
            (_, [_, _]) if upper == "NULLIF" => {
                if let [
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(value)),
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(other)),
                ] = list.args.as_slice()
                {
                    let equal = self.binary(value, "=", other, COMPARISON);
                    return format!("CASE WHEN {equal} THEN NULL ELSE {} END", self.expression(value));
                }
            }
            (_, [_, ..]) if matches!(upper.as_str(), "TIMESTAMPADD" | "TIMESTAMPDIFF") => {
                // A unit is no name of a column.
                arguments[0] = list.args[0].to_string().trim_matches('`').to_uppercase();
            }
            _ => {}
        }
        let distinct = if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) { "DISTINCT " } else { "" };
        // `IGNORE NULLS`.
        let clauses: String = list.clauses.iter().map(|clause| format!(" {clause}")).collect();
        let filter = function.filter.as_deref();
        let filter = filter.map_or_else(String::new, |filter| format!(" FILTER (WHERE {})", self.expression(filter)));
        format!("{}({distinct}{}{clauses}){filter}", name_text(name), arguments.join(", "))
    }

    /// A column, or a field within one.
    fn name(&self, parts: &[Ident]) -> String {
        let found = self.qualifier.and_then(|known| known.length(parts).map(|length| (known.alias, length)));
        match found {
            Some((alias, length)) => {
                let names = std::iter::once(quoted_text(alias)).chain(parts[length..].iter().map(quoted));
                names.collect::<Vec<_>>().join(".")
            }
            None => parts.iter().map(quoted).collect::<Vec<_>>().join("."),
        }
    }

    fn argument(&self, argument: &FunctionArg) -> String {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.expression(expr),
            other => other.to_string(),
        }
    }

    pub(super) fn list(&self, list: &[Expr]) -> String {
        list.iter().map(|expr| self.expression(expr)).collect::<Vec<_>>().join(", ")
    }

    fn access(&self, access: &AccessExpr) -> String {
        match access {
            // The name of a field, not of a column.
            AccessExpr::Dot(field) => format!(".{}", expression_text(field)),
            AccessExpr::Subscript(Subscript::Index { index }) => format!("[{}]", self.expression(index)),
            other => other.to_string(),
        }
    }

    fn rounding(&self, name: &str, value: &Expr, field: &CeilFloorKind) -> String {
        let value = self.expression(value);
        match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => format!("{name}({value})"),
            CeilFloorKind::DateTimeField(unit) => format!("{name}({value} TO {})", unit_name(unit)),
            CeilFloorKind::Scale(scale) => format!("{name}({value}, {})", value_text(scale)),
        }
    }

    fn pattern(
        &self,
        value: &Expr,
        negated: bool,
        operator: &str,
        pattern: &Expr,
        escape: Option<&ValueWithSpan>,
    ) -> String {
        let escape = escape.map_or_else(String::new, |escape| format!(" ESCAPE {}", value_text(escape)));
        let (value, pattern) = (self.operand(value, PATTERN), self.operand(pattern, PATTERN + 1));
        format!("{value} {}{operator} {pattern}{escape}", not(negated))
    }

    fn test(&self, value: &Expr, words: &str) -> String {
        format!("{} {words}", self.operand(value, TEST))
    }

    fn binary(&self, left: &Expr, operator: &str, right: &Expr, strength: u8) -> String {
        format!("{} {operator} {}", self.operand(left, strength), self.operand(right, strength + 1))
    }

    /// An operand, in parentheses if it binds less than it must.
    fn operand(&self, expr: &Expr, least: u8) -> String {
        let mut inner = expr;
        while let Expr::Nested(nested) = inner {
            inner = nested;
        }
        match strength(inner) < least {
            true => format!("({})", self.expression(inner)),
            false => self.expression(inner),
        }
    }
}

/// Built-in functions are printed in upper case, some of them and all others as they are written.
fn name_text(name: &str) -> String {
    let upper = name.to_uppercase();
    match crate::functions::names().any(|known| known == upper) {
        true if !QUOTED.contains(&upper.as_str()) => upper,
        _ => format!("`{name}`"),
    }
}

pub(super) fn quoted(name: &Ident) -> String {
    quoted_text(&name.value)
}

pub(super) fn quoted_text(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Units are printed in the singular, however they were written.
fn interval_text(interval: &Interval) -> String {
    let mut interval = interval.clone();
    for unit in [&mut interval.leading_field, &mut interval.last_field].into_iter().flatten() {
        *unit = match unit {
            DateTimeField::Years => DateTimeField::Year,
            DateTimeField::Months => DateTimeField::Month,
            DateTimeField::Weeks => DateTimeField::Week(None),
            DateTimeField::Days => DateTimeField::Day,
            DateTimeField::Hours => DateTimeField::Hour,
            DateTimeField::Minutes => DateTimeField::Minute,
            DateTimeField::Seconds => DateTimeField::Second,
            _ => continue,
        };
    }
    interval.to_string()
}

/// A text that the parser made an argument of; empty if there is none.
fn constant(arguments: &[FunctionArg], index: usize) -> &str {
    match arguments.get(index) {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))) => match &value.value {
            Value::SingleQuotedString(text) => text,
            _ => "",
        },
        _ => "",
    }
}

/// The clauses of a function of JSON, which the parser made arguments of; those that say what would be without them are left out.
fn json_clauses(function: &str, arguments: &[FunctionArg], texts: &[String]) -> String {
    if function == "JSON_EXISTS" {
        let on_error = constant(arguments, 0);
        return if matches!(on_error, "" | "FALSE") { String::new() } else { format!(" {on_error} ON ERROR") };
    }
    let mut clauses = match constant(arguments, 0) {
        "" => String::new(),
        data_type => format!(" RETURNING {data_type}"),
    };
    if function == "JSON_QUERY" && !matches!(constant(arguments, 1), "" | "WITHOUT") {
        clauses.push_str(&format!(" WITH {} WRAPPER", constant(arguments, 1)));
    }
    let mut add = |index: usize, of: &str| match constant(arguments, index) {
        "" | "NULL" => {}
        "DEFAULT" => {
            let default = texts.get(index + 1).map_or("", String::as_str);
            clauses.push_str(&format!(" DEFAULT {default} ON {of}"));
        }
        action => clauses.push_str(&format!(" {action} ON {of}")),
    };
    add(if function == "JSON_VALUE" { 1 } else { 2 }, "EMPTY");
    add(3, "ERROR");
    clauses
}

fn value_text(value: &ValueWithSpan) -> String {
    match &value.value {
        Value::Number(number, _) => number.to_uppercase(),
        Value::Boolean(true) => "TRUE".to_owned(),
        Value::Boolean(false) => "FALSE".to_owned(),
        other => other.to_string(),
    }
}

/// A type as it stands in a cast.
fn type_spec(data_type: &LogicalType) -> String {
    let part = |part: &LogicalType| {
        let nullability = if part.nullable { "" } else { " NOT NULL" };
        format!("{}{nullability}", type_spec(part))
    };
    match &data_type.kind {
        TypeKind::Int => "INTEGER".to_owned(),
        TypeKind::Array(element) => format!("ARRAY< {} >", part(element)),
        TypeKind::Multiset(element) => format!("MULTISET< {} >", part(element)),
        TypeKind::Map(key, value) => format!("MAP< {}, {} >", part(key), part(value)),
        TypeKind::Row(fields) => {
            let fields = fields.iter().map(|field| format!("{} {}", quoted_text(&field.name), part(&field.data_type)));
            format!("ROW< {} >", fields.collect::<Vec<_>>().join(", "))
        }
        TypeKind::Structured(class, fields) => {
            let fields = fields.iter().map(|field| format!("{} {}", quoted_text(&field.name), part(&field.data_type)));
            format!("STRUCTURED< '{class}', {} >", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

/// Whether it is a number with its sign.
fn is_number(op: UnaryOperator, operand: &Expr) -> bool {
    let number = matches!(operand, Expr::Value(ValueWithSpan { value: Value::Number(..), .. }));
    number && matches!(op, UnaryOperator::Minus | UnaryOperator::Plus)
}

fn strength(expr: &Expr) -> u8 {
    match expr {
        Expr::BinaryOp { op, .. } => strength_of(op),
        Expr::UnaryOp { op, expr } if is_number(*op, expr) => ATOM,
        Expr::UnaryOp { op, .. } => strength_of_unary(*op),
        Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => COMPARISON,
        Expr::InList { .. } | Expr::Between { .. } | Expr::Like { .. } | Expr::SimilarTo { .. } => PATTERN,
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_) => TEST,
        _ => ATOM,
    }
}

fn strength_of_unary(op: UnaryOperator) -> u8 {
    if op == UnaryOperator::Not { NOT } else { UNARY }
}

fn strength_of(op: &BinaryOperator) -> u8 {
    match op {
        BinaryOperator::Or => OR,
        BinaryOperator::And => AND,
        BinaryOperator::Plus | BinaryOperator::Minus => SUM,
        BinaryOperator::Multiply | BinaryOperator::Divide | BinaryOperator::Modulo | BinaryOperator::StringConcat => {
            PRODUCT
        }
        _ => COMPARISON,
    }
}
