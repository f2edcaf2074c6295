//! Expressions over a scope.
use datafusion_common::ScalarValue;
use sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DateTimeField, Expr, Ident, Subscript,
    TrimWhereField, UnaryOperator, Value, ValueWithSpan,
};
use wiesel_expressions::types::{RowField, TypeKind};

use super::grouping::AggregateCalls;
use super::literals::{constant, interval, type_text, typed_string, unit_name};
use super::places::{place_of, place_of_name, place_of_names};
use super::query::QueryAnalyzer;
use super::scope::{Scope, field_by_name};
use crate::error::{Error, Place, Result};
use crate::functions::numeric::is_integer;
use crate::functions::{
    UNTYPED_NULL, calcite_name, cast, conditional, constructors, is_text, literal, operators, refuse_untyped_null,
    scalar,
};
use crate::parser::reserved;
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
            Expr::Interval(written) => interval(written),
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
            Expr::InList { expr, list, negated } => negate_if(*negated, self.in_list(expr, list)?),
            Expr::Between { expr, negated, low, high } => negate_if(*negated, self.between(expr, low, high)?),
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.pattern("LIKE", expr, pattern, escape_char.as_ref(), *negated)
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                self.pattern("SIMILAR", expr, pattern, escape_char.as_ref(), *negated)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Cast { kind, expr, data_type, .. } => {
                let target = crate::parser::parse_type(&type_text(data_type))?;
                cast::explicit(self.analyze(expr)?, target, *kind == CastKind::TryCast)
            }
            Expr::Extract { field, expr, .. } => scalar::extract(&unit_name(field), self.analyze(expr)?),
            Expr::Ceil { expr, field } => self.ceil_or_floor("CEIL", expr, field),
            Expr::Floor { expr, field } => self.ceil_or_floor("FLOOR", expr, field),
            Expr::Position { expr, r#in } => scalar::call("POSITION", vec![self.analyze(expr)?, self.analyze(r#in)?]),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                self.substring(expr, substring_from.as_deref(), substring_for.as_deref())
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                self.trim(trim_where.as_ref(), trim_what.as_deref(), expr)
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.overlay(expr, overlay_what, overlay_from, overlay_for.as_deref())
            }
            Expr::Array(array) => constructors::array(self.all(&array.elem)?),
            Expr::Tuple(items) => constructors::row(self.all(items)?),
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
        self.takes_along(widest, &text, place)?;
        Ok(found)
    }

    /// A column of so many fields is named.
    fn takes_along(&mut self, fields: usize, column: &str, place: Option<Place>) -> Result<()> {
        self.fields += fields;
        let what = if fields > MAX_FIELDS {
            format!("The type of '{column}' has more than {MAX_FIELDS} fields within it")
        } else if self.fields > MAX_FIELDS_NAMED {
            format!("The types of the columns that are named up to '{column}' have more than {MAX_FIELDS_NAMED} fields")
        } else {
            return Ok(());
        };
        let message = format!("{what}. Take the fields that are needed out of it in a view, and read that.");
        Err(Error::unsupported(message, place))
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
                    field_behind_dot(value, field)?
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

    fn in_list(&mut self, value: &Expr, list: &[Expr]) -> Result<Expression> {
        let value = self.analyze(value)?;
        self.needed(&value, list.len(), "IN")?;
        operators::in_list(value, self.all(list)?)
    }

    fn between(&mut self, value: &Expr, low: &Expr, high: &Expr) -> Result<Expression> {
        let value = self.analyze(value)?;
        self.needed(&value, 2, "BETWEEN")?;
        let from = operators::compare(">=", value.clone(), self.analyze(low)?)?;
        let to = operators::compare("<=", value, self.analyze(high)?)?;
        operators::connective("AND", from, to)
    }

    /// With an operand each condition is a value that it is compared with.
    fn case(&mut self, operand: Option<&Expr>, branches: &[CaseWhen], otherwise: Option<&Expr>) -> Result<Expression> {
        let operand = self.optional(operand)?;
        if let Some(operand) = &operand {
            self.needed(operand, branches.len(), "CASE")?;
        }
        let mut typed = Vec::with_capacity(branches.len());
        for branch in branches {
            let mut condition = self.analyze(&branch.condition)?;
            if let Some(operand) = &operand {
                condition = operators::compare("=", operand.clone(), condition)?;
            }
            typed.push((condition, self.analyze(&branch.result)?));
        }
        let otherwise = self.optional(otherwise)?;
        conditional::case(typed, otherwise.unwrap_or_else(|| null_literal(TypeKind::Null)))
    }

    fn optional(&mut self, expr: Option<&Expr>) -> Result<Option<Expression>> {
        expr.map(|expr| self.analyze(expr)).transpose()
    }

    fn substring(&mut self, text: &Expr, from: Option<&Expr>, length: Option<&Expr>) -> Result<Expression> {
        let text = self.analyze(text)?;
        let from = self.optional(from)?.unwrap_or_else(|| literal::int(1));
        let length = self.optional(length)?;
        scalar::call("SUBSTRING", [text, from].into_iter().chain(length).collect())
    }

    fn trim(&mut self, ends: Option<&TrimWhereField>, what: Option<&Expr>, text: &Expr) -> Result<Expression> {
        let ends = match ends {
            None | Some(TrimWhereField::Both) => "BOTH",
            Some(TrimWhereField::Leading) => "LEADING",
            Some(TrimWhereField::Trailing) => "TRAILING",
        };
        let what = self.optional(what)?;
        scalar::trim(ends, what, self.analyze(text)?)
    }

    fn overlay(&mut self, text: &Expr, what: &Expr, from: &Expr, length: Option<&Expr>) -> Result<Expression> {
        let operands = [self.analyze(text)?, self.analyze(what)?, self.analyze(from)?];
        let length = self.optional(length)?;
        scalar::call("OVERLAY", operands.into_iter().chain(length).collect())
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

/// The field of a value that is no column, by its name: in any case, if none has it in this one.
fn field_behind_dot(value: Expression, field: &Ident) -> Result<Expression> {
    let fields = value.data_type.kind.fields().unwrap_or_default();
    let lower = field.value.to_lowercase();
    let exact = fields.iter().find(|known| known.name == field.value);
    let found = exact.or_else(|| fields.iter().find(|known| known.name.to_lowercase() == lower));
    let name = found.map_or_else(|| field.value.clone(), |known| known.name.clone());
    field_by_name(value, &name, place_of_name(field))
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

/// `collection[key]`.
fn item(collection: Expression, key: Expression) -> Result<Expression> {
    refuse_untyped_null([&collection, &key])?;
    let (element, key) = match &collection.data_type.kind {
        TypeKind::Array(element) => (element.as_ref().clone(), array_index(key)?),
        TypeKind::Map(key_type, value) => {
            let is_text_as_well = is_text(&key_type.kind) && is_text(&key.data_type.kind);
            let key = if is_text_as_well { key } else { cast::cast_to(key, &key_type.kind) };
            (value.as_ref().clone(), key)
        }
        TypeKind::Row(fields) => {
            let name = field_name(fields, &key);
            return field_by_name(collection, &name, None);
        }
        TypeKind::Variant if is_text(&key.data_type.kind) || is_integer(&key.data_type.kind) => {
            (TypeKind::Variant.nullable(), key)
        }
        other => {
            let message = format!(
                "Cannot apply 'ITEM' to arguments of type 'ITEM(<{}>, <{}>)'. Supported form(s): <ARRAY>[<INTEGER>]\n<MAP>[<ANY>]\n<ROW>[<CHARACTER>|<INTEGER>]\n<VARIANT>[<CHARACTER>|<INTEGER>]",
                calcite_name(other),
                calcite_name(&key.data_type.kind)
            );
            return Err(Error::validation(message, None));
        }
    };
    Ok(Expression::call("ITEM", vec![collection, key], element.with_nullable(true)))
}

/// The position of an element, which is counted from 1.
fn array_index(key: Expression) -> Result<Expression> {
    if !is_integer(&key.data_type.kind) {
        let message = format!("An element of an array is taken by an integer, not by {}", key.data_type.kind);
        return Err(Error::validation(message, None));
    }
    let key = cast::cast_to(key, &TypeKind::Int);
    if let Node::Literal(ScalarValue::Int32(Some(index @ ..1))) = &key.node {
        let message = format!("Array element access needs an index starting at 1 but was {index}.");
        return Err(Error::validation(message, None));
    }
    Ok(key)
}

/// The name of the field that a constant names or counts; empty if there is none.
fn field_name(fields: &[RowField], key: &Expression) -> String {
    match &key.node {
        Node::Literal(ScalarValue::Utf8View(Some(name))) => name.clone(),
        Node::Literal(ScalarValue::Int32(Some(n))) => {
            let field = usize::try_from(i64::from(*n) - 1).ok().and_then(|index| fields.get(index));
            field.map(|field| field.name.clone()).unwrap_or_default()
        }
        _ => String::new(),
    }
}
