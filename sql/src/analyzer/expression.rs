//! Expressions over a scope.
use sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DateTimeField, Expr, Ident, Subscript, TrimWhereField,
    TypedString, UnaryOperator, Value, ValueWithSpan,
};
use wiesel_expressions::types::{LogicalType, TypeKind};

use super::grouping::AggregateCalls;
use super::places::{place_of, place_of_name, place_of_names};
use super::query::QueryAnalyzer;
use super::scope::{Scope, field_by_name};
use crate::error::{Error, Place, Result};
use crate::functions::common_type::common_type;
use crate::functions::{
    UNTYPED_NULL, cast, conditional, datetime, literal, operators, refuse_untyped_null, scalar, type_too_deep,
};
use crate::parser::types::MAX_DEPTH;
use crate::parser::{lexer, reserved};
use crate::rex::lowering::no_subquery;
use crate::rex::{Expression, Node, SubqueryKind, null_literal};
use crate::script::still_wanted;

/// A column that an expression named, to say so in an error.
pub(super) struct ColumnUse {
    pub index: usize,
    pub text: String,
    pub place: Option<Place>,
}

/// Analyses expressions of one clause.
pub(super) struct ExpressionAnalyzer<'a, 'q> {
    pub(super) scope: &'a Scope,
    /// Analyses the queries within expressions; none: the clause cannot have any.
    pub(super) queries: Option<&'a mut QueryAnalyzer<'q>>,
    /// What the clause is called in messages.
    clause: &'static str,
    /// What an aggregate must not stand in, if that is not the clause.
    outer: Option<Place>,
    /// Where aggregate calls are gathered; none: the clause cannot have any.
    pub(super) aggregates: Option<&'a mut AggregateCalls>,
    pub(super) uses: Vec<ColumnUse>,
    /// Where the first NULL without a type stands, of the operands of the expression that is analysed.
    untyped_null: Option<Place>,
    /// Nodes of operands that stand once in the text and are needed more often.
    copied: usize,
    /// Types within the types of the columns that were named.
    fields: usize,
}

/// Nodes that are copied in a clause, at most: a BETWEEN of a BETWEEN of a BETWEEN is eight times the innermost operand.
const MAX_COPIED: usize = 500_000;
/// Types within the type of a column, at most: `ROW(a, a) AS a` of a query like it of a query like it has eight times as many.
const MAX_FIELDS: usize = 20_000;
/// Types within the types of all columns that a clause names, at most: each name takes the whole type along.
const MAX_FIELDS_NAMED: usize = 1_000_000;

impl<'a, 'q> ExpressionAnalyzer<'a, 'q> {
    /// For a clause without aggregates.
    pub(super) fn new(scope: &'a Scope, clause: &'static str) -> Self {
        Self {
            scope,
            queries: None,
            clause,
            outer: None,
            aggregates: None,
            uses: Vec::new(),
            untyped_null: None,
            copied: 0,
            fields: 0,
        }
    }

    /// For a clause with aggregates.
    pub(super) fn with_aggregates(scope: &'a Scope, aggregates: &'a mut AggregateCalls) -> Self {
        Self { aggregates: Some(aggregates), ..Self::new(scope, "SELECT") }
    }

    /// For a clause with queries within its expressions.
    pub(super) fn with_queries(self, queries: &'a mut QueryAnalyzer<'q>) -> Self {
        Self { queries: Some(queries), ..self }
    }

    /// For a part of this clause that stands here, in which there can be no aggregate.
    pub(super) fn part(&mut self, clause: &'static str, place: Option<Place>) -> ExpressionAnalyzer<'_, 'q> {
        let queries = self.queries.as_deref_mut();
        ExpressionAnalyzer { queries, outer: place, ..ExpressionAnalyzer::new(self.scope, clause) }
    }

    /// An operand that is needed so often.
    pub(super) fn needed(&mut self, operand: &Expression, times: usize, function: &str) -> Result<()> {
        self.copied = self.copied.saturating_add((operand.weight() + operand.data_type.parts()).saturating_mul(times));
        if self.copied > MAX_COPIED {
            let message = format!(
                "Operands of {function} and others like it that are needed more than once have more than {MAX_COPIED} parts. \
                 Compute the operand of {function} in a view or a subquery."
            );
            return Err(Error::unsupported(message, None));
        }
        Ok(())
    }

    /// The error for an aggregate where there can be none.
    pub(super) fn no_aggregate_here(&self, place: Option<Place>) -> Error {
        let message = match self.clause {
            "an aggregate" => "Aggregate expressions cannot be nested".to_owned(),
            "FILTER" => "FILTER must not contain aggregate expression".to_owned(),
            clause => format!("Aggregate expression is illegal in {clause} clause"),
        };
        Error::validation(message, self.outer.or(place))
    }

    /// A value of this expression, typed.
    pub(super) fn analyze(&mut self, expr: &Expr) -> Result<Expression> {
        still_wanted()?;
        let beside = self.untyped_null.take();
        let result = self.node(expr).map_err(|e| self.placed(e, place_of(expr)));
        self.untyped_null = match &result {
            Ok(value) if value.data_type.kind == TypeKind::Null => beside.or_else(|| place_of(expr)),
            _ => beside,
        };
        result
    }

    /// The error of an expression that stands here, or of its operand that is a NULL without a type.
    pub(super) fn placed(&self, error: Error, place: Option<Place>) -> Error {
        let null = self.untyped_null.filter(|_| error.message() == UNTYPED_NULL);
        error.or_at(null.or(place))
    }

    pub(super) fn all<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) -> Result<Vec<Expression>> {
        exprs.into_iter().map(|expr| self.analyze(expr)).collect()
    }

    /// A BOOLEAN, or an error that says which clause needs one.
    pub(super) fn condition(&mut self, expr: &Expr, clause: &str) -> Result<Expression> {
        let condition = self.analyze(expr)?;
        // To Flink FILTER is an operator, whose operands have types; other clauses give NULL the type of a condition.
        if clause == "FILTER" {
            refuse_untyped_null([&condition]).map_err(|e| e.or_at(place_of(expr)))?;
        }
        let condition = operators::cast_null(condition, &TypeKind::Boolean);
        if condition.data_type.kind != TypeKind::Boolean {
            return Err(Error::validation(format!("{clause} clause must be a condition"), place_of(expr)));
        }
        Ok(condition)
    }

    fn node(&mut self, expr: &Expr) -> Result<Expression> {
        match expr {
            Expr::Identifier(ident) => self.column(std::slice::from_ref(ident)),
            Expr::CompoundIdentifier(parts) => self.column(parts),
            Expr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            Expr::Nested(inner) => self.analyze(inner),
            Expr::Value(value) => constant(value),
            Expr::TypedString(typed) => typed_string(typed),
            Expr::Interval(interval) => interval_literal(interval),
            Expr::BinaryOp { .. } => self.binary(expr),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::IsNull(e) => operators::is_test("IS_NULL", self.analyze(e)?),
            Expr::IsNotNull(e) => operators::is_test("IS_NOT_NULL", self.analyze(e)?),
            Expr::IsTrue(e) => operators::is_test("IS_TRUE", self.analyze(e)?),
            Expr::IsNotTrue(e) => operators::is_test("IS_NOT_TRUE", self.analyze(e)?),
            Expr::IsFalse(e) => operators::is_test("IS_FALSE", self.analyze(e)?),
            Expr::IsNotFalse(e) => operators::is_test("IS_NOT_FALSE", self.analyze(e)?),
            Expr::IsUnknown(e) => operators::is_test("IS_UNKNOWN", self.analyze(e)?),
            Expr::IsNotUnknown(e) => operators::is_test("IS_NOT_UNKNOWN", self.analyze(e)?),
            Expr::IsDistinctFrom(l, r) => operators::compare("IS_DISTINCT_FROM", self.analyze(l)?, self.analyze(r)?),
            Expr::IsNotDistinctFrom(l, r) => {
                operators::compare("IS_NOT_DISTINCT_FROM", self.analyze(l)?, self.analyze(r)?)
            }
            Expr::InList { expr, list, negated } => {
                let value = self.analyze(expr)?;
                self.needed(&value, list.len(), "IN")?;
                let items = self.all(list)?;
                negate_if(*negated, operators::in_list(value, items)?)
            }
            Expr::Between { expr, negated, low, high } => {
                let value = self.analyze(expr)?;
                self.needed(&value, 2, "BETWEEN")?;
                let from = operators::compare(">=", value.clone(), self.analyze(low)?)?;
                let to = operators::compare("<=", value, self.analyze(high)?)?;
                negate_if(*negated, operators::connective("AND", from, to)?)
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.pattern("LIKE", expr, pattern, escape_char.as_ref(), *negated)
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                self.pattern("SIMILAR", expr, pattern, escape_char.as_ref(), *negated)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                let operand = operand.as_deref().map(|operand| self.analyze(operand)).transpose()?;
                if let Some(operand) = &operand {
                    self.needed(operand, conditions.len(), "CASE")?;
                }
                let mut branches = Vec::with_capacity(conditions.len());
                for branch in conditions {
                    let mut condition = self.analyze(&branch.condition)?;
                    if let Some(operand) = &operand {
                        condition = operators::compare("=", operand.clone(), condition)?;
                    }
                    branches.push((condition, self.analyze(&branch.result)?));
                }
                let otherwise = match else_result {
                    Some(otherwise) => self.analyze(otherwise)?,
                    None => null_literal(TypeKind::Null),
                };
                conditional::case(branches, otherwise)
            }
            Expr::Cast { kind, expr, data_type, .. } => {
                let target = crate::parser::parse_type(&type_text(data_type))?;
                cast_call(self.analyze(expr)?, target, *kind == CastKind::TryCast)
            }
            Expr::Extract { field, expr, .. } => scalar::extract(&unit_name(field), self.analyze(expr)?),
            Expr::Ceil { expr, field } => self.ceil_or_floor("CEIL", expr, field),
            Expr::Floor { expr, field } => self.ceil_or_floor("FLOOR", expr, field),
            Expr::Position { expr, r#in } => {
                let operands = vec![self.analyze(expr)?, self.analyze(r#in)?];
                scalar::call("POSITION", operands)
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut operands = vec![self.analyze(expr)?];
                match substring_from {
                    Some(from) => operands.push(self.analyze(from)?),
                    None => operands.push(literal::int(1)),
                }
                operands.extend(substring_for.as_deref().map(|length| self.analyze(length)).transpose()?);
                scalar::call("SUBSTRING", operands)
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                let mode = match trim_where {
                    None | Some(TrimWhereField::Both) => "BOTH",
                    Some(TrimWhereField::Leading) => "LEADING",
                    Some(TrimWhereField::Trailing) => "TRAILING",
                };
                let what = trim_what.as_deref().map(|what| self.analyze(what)).transpose()?;
                scalar::trim(mode, what, self.analyze(expr)?)
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut operands = vec![self.analyze(expr)?, self.analyze(overlay_what)?, self.analyze(overlay_from)?];
                operands.extend(overlay_for.as_deref().map(|length| self.analyze(length)).transpose()?);
                scalar::call("OVERLAY", operands)
            }
            Expr::Array(array) => {
                let elements = self.all(&array.elem)?;
                array_constructor(elements)
            }
            Expr::Tuple(items) => {
                let items = self.all(items)?;
                row_constructor(items)
            }
            Expr::Function(function) => self.function(function),
            Expr::Subquery(query) => self.subquery(SubqueryKind::Scalar, Vec::new(), query, place_of(expr)),
            Expr::InSubquery { expr: value, subquery, negated } => {
                let operands = vec![self.analyze(value)?];
                negate_if(*negated, self.subquery(SubqueryKind::In, operands, subquery, place_of(expr))?)
            }
            Expr::Exists { subquery, negated } => {
                negate_if(*negated, self.subquery(SubqueryKind::Exists, Vec::new(), subquery, place_of(expr))?)
            }
            Expr::AllOp { .. } | Expr::AnyOp { .. } => Err(no_subquery(place_of(expr))),
            other => Err(Error::unsupported(format!("The expression {other} is not supported"), place_of(other))),
        }
    }

    fn column(&mut self, parts: &[Ident]) -> Result<Expression> {
        parts.iter().try_for_each(reserved::refuse)?;
        // Before it is looked up: what says that there is no such column also looks for one with a name like it.
        if let [name] = parts
            && name.quote_style.is_none()
            && let Some(call) = niladic(&name.value)
            && !self.scope.has(&name.value)
        {
            return call;
        }
        let found = self.scope.resolve(parts)?;
        let text = parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
        let place = place_of_names(parts);
        let (uses, mut widest) = (&mut self.uses, 0);
        found.visit(&mut |e| {
            widest = widest.max(e.data_type.parts() - 1);
            if let Node::Input(index) = e.node {
                uses.push(ColumnUse { index, text: text.clone(), place });
            }
        });
        self.fields += widest;
        if widest > MAX_FIELDS || self.fields > MAX_FIELDS_NAMED {
            let message = match widest > MAX_FIELDS {
                true => format!("The type of '{text}' has more than {MAX_FIELDS} fields within it"),
                false => format!(
                    "The types of the columns that are named up to '{text}' have more than {MAX_FIELDS_NAMED} fields"
                ),
            };
            let message = format!("{message}. Take the fields that are needed out of it in a view, and read that.");
            return Err(Error::unsupported(message, place));
        }
        Ok(found)
    }

    /// `t.u.addr[1].city`: names up to the first that is not behind a dot may be those of a table and its column.
    fn access(&mut self, root: &Expr, chain: &[AccessExpr]) -> Result<Expression> {
        let mut names: Vec<Ident> = match root {
            Expr::Identifier(name) => vec![name.clone()],
            Expr::CompoundIdentifier(names) => names.clone(),
            _ => Vec::new(),
        };
        let dotted = if names.is_empty() { 0 } else { chain.iter().map_while(dotted_name).count() };
        names.extend(chain[..dotted].iter().filter_map(dotted_name).cloned());
        let mut value = if names.is_empty() { self.analyze(root)? } else { self.column(&names)? };
        for access in &chain[dotted..] {
            value = match access {
                AccessExpr::Dot(Expr::Identifier(field)) => {
                    reserved::refuse(field)?;
                    field_by_name(value, &field.value, place_of_name(field))?
                }
                AccessExpr::Subscript(Subscript::Index { index }) => item(value, self.analyze(index)?)?,
                other => return Err(Error::unsupported(format!("The access {other} is not supported"), None)),
            };
        }
        Ok(value)
    }

    /// Operators that lean to the left are walked in a loop: chains of them can be long.
    fn binary(&mut self, expr: &Expr) -> Result<Expression> {
        let mut spine = Vec::new();
        let mut leftmost = expr;
        while let Expr::BinaryOp { left, op, right } = leftmost {
            spine.push((leftmost, op, right));
            leftmost = left;
        }
        let mut value = self.analyze(leftmost)?;
        while let Some((whole, op, right)) = spine.pop() {
            let right = self.analyze(right)?;
            value = binary_call(op, value, right).map_err(|e| self.placed(e, place_of(whole)))?;
            self.untyped_null = None;
        }
        Ok(value)
    }

    fn unary(&mut self, op: UnaryOperator, operand: &Expr) -> Result<Expression> {
        match (op, operand) {
            (UnaryOperator::Minus, Expr::Value(ValueWithSpan { value: Value::Number(number, _), .. })) => {
                literal::number(&format!("-{number}"))
            }
            (UnaryOperator::Minus, _) => operators::negate(self.analyze(operand)?),
            (UnaryOperator::Plus, _) => {
                let operand = self.analyze(operand)?;
                refuse_untyped_null([&operand])?;
                Ok(operand)
            }
            (UnaryOperator::Not, _) => operators::not(self.analyze(operand)?),
            (op, _) => Err(Error::unsupported(format!("The operator {op} is not supported"), None)),
        }
    }

    fn pattern(
        &mut self,
        function: &str,
        value: &Expr,
        pattern: &Expr,
        escape: Option<&ValueWithSpan>,
        negated: bool,
    ) -> Result<Expression> {
        let mut operands = vec![self.analyze(value)?, self.analyze(pattern)?];
        operands.extend(escape.map(constant).transpose()?);
        operators::like(function, operands, negated)
    }

    fn ceil_or_floor(&mut self, function: &str, operand: &Expr, field: &CeilFloorKind) -> Result<Expression> {
        let operand = self.analyze(operand)?;
        match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => scalar::call(function, vec![operand]),
            CeilFloorKind::DateTimeField(unit) => scalar::round_to_unit(function, operand, &unit_name(unit)),
            CeilFloorKind::Scale(_) => Err(Error::validation(
                format!("Invalid number of arguments to function '{function}'. Was expecting 1 arguments"),
                None,
            )),
        }
    }
}

/// The name behind a dot.
fn dotted_name(access: &AccessExpr) -> Option<&Ident> {
    match access {
        AccessExpr::Dot(Expr::Identifier(name)) => Some(name),
        _ => None,
    }
}

fn negate_if(negated: bool, condition: Expression) -> Result<Expression> {
    if negated { operators::not(condition) } else { Ok(condition) }
}

/// `UNKNOWN` and functions that are called without parentheses.
pub(super) fn niladic(name: &str) -> Option<Result<Expression>> {
    match name.to_uppercase().as_str() {
        "UNKNOWN" => Some(Ok(null_literal(TypeKind::Boolean))),
        upper @ ("CURRENT_DATE" | "CURRENT_TIME" | "CURRENT_TIMESTAMP" | "LOCALTIME" | "LOCALTIMESTAMP") => {
            Some(scalar::call(upper, Vec::new()))
        }
        _ => None,
    }
}

fn binary_call(op: &BinaryOperator, left: Expression, right: Expression) -> Result<Expression> {
    match op {
        BinaryOperator::Plus => operators::arithmetic("+", left, right),
        BinaryOperator::Minus => operators::arithmetic("-", left, right),
        BinaryOperator::Multiply => operators::arithmetic("*", left, right),
        BinaryOperator::Divide => operators::arithmetic("/", left, right),
        BinaryOperator::Modulo => operators::arithmetic("%", left, right),
        BinaryOperator::StringConcat => operators::concat(left, right),
        BinaryOperator::Eq => operators::compare("=", left, right),
        BinaryOperator::NotEq => operators::compare("<>", left, right),
        BinaryOperator::Lt => operators::compare("<", left, right),
        BinaryOperator::LtEq => operators::compare("<=", left, right),
        BinaryOperator::Gt => operators::compare(">", left, right),
        BinaryOperator::GtEq => operators::compare(">=", left, right),
        BinaryOperator::And => operators::connective("AND", left, right),
        BinaryOperator::Or => operators::connective("OR", left, right),
        op => Err(Error::unsupported(format!("The operator {op} is not supported"), None)),
    }
}

/// A constant as it is written.
pub(super) fn constant(value: &ValueWithSpan) -> Result<Expression> {
    let result = match &value.value {
        Value::Number(number, _) => literal::number(number),
        Value::SingleQuotedString(text) => Ok(literal::string(text)),
        Value::HexStringLiteral(digits) => literal::binary(digits),
        Value::Boolean(value) => Ok(literal::boolean(*value)),
        Value::Null => Ok(null_literal(TypeKind::Null)),
        other => Err(Error::unsupported(format!("The constant {other} is not supported"), None)),
    };
    result.map_err(|e| e.or_at(lexer::place_of(value.span)))
}

fn typed_string(typed: &TypedString) -> Result<Expression> {
    let Value::SingleQuotedString(text) = &typed.value.value else {
        return Err(Error::validation(format!("{typed} needs a string"), lexer::place_of(typed.value.span)));
    };
    let result = match typed.data_type.to_string().to_uppercase().as_str() {
        "DATE" => datetime::date(text),
        "TIME" => datetime::time(text),
        "TIMESTAMP" => datetime::timestamp(text),
        other => Err(Error::unsupported(format!("Constants of type {other} are not supported; use CAST"), None)),
    };
    result.map_err(|e| e.or_at(lexer::place_of(typed.value.span)))
}

fn interval_literal(interval: &sqlparser::ast::Interval) -> Result<Expression> {
    let (value, negative) = match interval.value.as_ref() {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => (expr.as_ref(), true),
        value => (value, false),
    };
    let place = place_of(value);
    let text = match value {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => text,
        other => return Err(Error::validation(format!("An interval needs a string, not {other}"), place)),
    };
    let leading = interval.leading_field.as_ref().map(unit_name).unwrap_or_default();
    let last = interval.last_field.as_ref().map(unit_name);
    let usual = datetime::IntervalDigits::default();
    let most = datetime::IntervalDigits {
        leading: interval.leading_precision.unwrap_or(usual.leading),
        fraction: interval.fractional_seconds_precision.unwrap_or(usual.fraction),
    };
    datetime::interval(text, negative, &leading, last.as_deref(), most).map_err(|e| e.or_at(place))
}

/// A unit in upper case and in the singular.
pub(super) fn unit_name(unit: &DateTimeField) -> String {
    match unit {
        DateTimeField::Week(_) => "WEEK".to_owned(),
        unit => unit.to_string().to_uppercase().trim_end_matches('S').to_owned(),
    }
}

/// The text of a type that the dialect put into a cast.
pub(super) fn type_text(data_type: &sqlparser::ast::DataType) -> String {
    match data_type {
        sqlparser::ast::DataType::Custom(name, modifiers) if modifiers.is_empty() => {
            name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.as_str()).collect()
        }
        other => other.to_string(),
    }
}

/// `CAST(value AS target)`, `TRY_CAST(value AS target)`.
pub(super) fn cast_call(value: Expression, target: LogicalType, fallible: bool) -> Result<Expression> {
    let (from, to) = (&value.data_type.kind, &target.kind);
    if !cast::can_cast(from, to) {
        let message = if crate::functions::numeric::is_numeric(from) && crate::functions::is_timestamp(to) {
            "The cast from NUMERIC type to TIMESTAMP type is not allowed. It's recommended to use \
             TO_TIMESTAMP(FROM_UNIXTIME(numeric_col)) instead, note the numeric is in seconds."
                .to_owned()
        } else {
            let (from, to) = (crate::functions::calcite_name(from), crate::functions::calcite_name(to));
            format!("Cast function cannot convert value of type {from} to type {to}")
        };
        return Err(Error::validation(message, None));
    }
    if value.data_type.kind == TypeKind::Null {
        return Ok(null_literal(target.kind));
    }
    let nullable = fallible || value.data_type.nullable;
    let data_type = LogicalType { kind: target.kind, nullable };
    if value.data_type.kind == data_type.kind && !fallible {
        return Ok(value);
    }
    Ok(Expression::call(if fallible { "TRY_CAST" } else { "CAST" }, vec![value], data_type))
}

/// `collection[key]`.
fn item(collection: Expression, key: Expression) -> Result<Expression> {
    use datafusion_common::ScalarValue;
    refuse_untyped_null([&collection, &key])?;
    let (element, key) = match &collection.data_type.kind {
        TypeKind::Array(element) => {
            if !crate::functions::numeric::is_integer(&key.data_type.kind) {
                let message = format!("An element of an array is taken by an integer, not by {}", key.data_type.kind);
                return Err(Error::validation(message, None));
            }
            let key = cast::cast_to(key, &TypeKind::Int);
            if let Node::Literal(ScalarValue::Int32(Some(index @ ..1))) = &key.node {
                let message = format!("Array element access needs an index starting at 1 but was {index}.");
                return Err(Error::validation(message, None));
            }
            (element.as_ref().clone(), key)
        }
        TypeKind::Map(key_type, value) => {
            let value = value.as_ref().clone();
            let text = crate::functions::is_text(&key_type.kind) && crate::functions::is_text(&key.data_type.kind);
            (value, if text { key } else { cast::cast_to(key, &key_type.kind) })
        }
        TypeKind::Row(fields) => {
            let name = match &key.node {
                Node::Literal(ScalarValue::Utf8View(Some(name))) => name.clone(),
                Node::Literal(ScalarValue::Int32(Some(n))) => {
                    let field = usize::try_from(*n - 1).ok().and_then(|n| fields.get(n));
                    field.map(|field| field.name.clone()).unwrap_or_default()
                }
                _ => String::new(),
            };
            return field_by_name(collection, &name, None);
        }
        TypeKind::Variant
            if crate::functions::is_text(&key.data_type.kind)
                || crate::functions::numeric::is_integer(&key.data_type.kind) =>
        {
            (TypeKind::Variant.nullable(), key)
        }
        other => {
            let message = format!(
                "Cannot apply 'ITEM' to arguments of type 'ITEM(<{}>, <{}>)'. Supported form(s): <ARRAY>[<INTEGER>]\n<MAP>[<ANY>]\n<ROW>[<CHARACTER>|<INTEGER>]\n<VARIANT>[<CHARACTER>|<INTEGER>]",
                crate::functions::calcite_name(other),
                crate::functions::calcite_name(&key.data_type.kind)
            );
            return Err(Error::validation(message, None));
        }
    };
    Ok(Expression::call("ITEM", vec![collection, key], element.with_nullable(true)))
}

/// What an ARRAY, MAP or ROW is made of as one. A type that is too deep is refused here already: each level has the types of
/// all below, and what is made of the value may have nothing left of it that a check of the plan would see.
fn constructed(constructor: &str, items: Vec<Expression>, kind: TypeKind) -> Result<Expression> {
    let data_type = kind.not_null();
    if data_type.depth() > MAX_DEPTH {
        return Err(type_too_deep("an expression"));
    }
    Ok(Expression::call(constructor, items, data_type))
}

/// `ARRAY[…]`.
pub(super) fn array_constructor(elements: Vec<Expression>) -> Result<Expression> {
    let common = common_type(elements.iter().map(|element| &element.data_type));
    let Some(common) = common.filter(|common| common.kind != TypeKind::Null) else {
        let message =
            if elements.is_empty() { "Require at least 1 argument" } else { "Parameters must be of the same type" };
        return Err(Error::validation(message, None));
    };
    let elements = elements.into_iter().map(|element| cast::cast_to(element, &common.kind)).collect();
    constructed("ARRAY", elements, TypeKind::Array(Box::new(common)))
}

/// `ROW(…)`.
pub(super) fn row_constructor(items: Vec<Expression>) -> Result<Expression> {
    use wiesel_expressions::types::RowField;
    refuse_untyped_null(&items)?;
    let fields = items.iter().enumerate().map(|(i, item)| RowField::new(format!("EXPR${i}"), item.data_type.clone()));
    let kind = TypeKind::Row(fields.collect());
    constructed("ROW", items, kind)
}

/// `MAP[key, value, …]`.
pub(super) fn map_constructor(items: Vec<Expression>) -> Result<Expression> {
    if items.is_empty() || !items.len().is_multiple_of(2) {
        return Err(Error::validation("Map requires an even number of arguments", None));
    }
    // To Flink a NULL is of the type of the first key, whether it stands for a key or a value.
    let first = items[0].data_type.kind.clone();
    let items: Vec<Expression> = items.into_iter().map(|item| operators::cast_null(item, &first)).collect();
    let common = |skipped: usize| {
        let common = common_type(items.iter().skip(skipped).step_by(2).map(|item| &item.data_type));
        common.filter(|common| common.kind != TypeKind::Null)
    };
    let (Some(key), Some(value)) = (common(0), common(1)) else {
        return Err(Error::validation("Parameters must be of the same type", None));
    };
    let kinds = [key.kind.clone(), value.kind.clone()];
    let items = items.into_iter().enumerate().map(|(i, item)| cast::cast_to(item, &kinds[i % 2])).collect();
    constructed("MAP", items, TypeKind::Map(Box::new(key), Box::new(value)))
}
