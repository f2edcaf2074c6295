//! GROUP BY, HAVING and aggregate calls.
use std::collections::HashMap;

use datafusion_common::ScalarValue;
use sqlparser::ast::{Expr, GroupByExpr};
use wiesel_expressions::types::{LogicalType, TypeKind};

use super::expression::{ColumnUse, ExpressionAnalyzer};
use super::places::place_of;
use super::project;
use super::query::QueryAnalyzer;
use super::scope::Scope;
use crate::error::{Error, Result};
use crate::functions::{aggregate, refuse_untyped_null};
use crate::rel::{Aggregate, LogicalAggregate, Rel, RelNode};
use crate::rex::{Expression, Node};

/// Keys of a GROUP BY, at most: whatever is selected is compared with each.
const MAX_KEYS: usize = 1_000;

/// A call of an aggregate, its arguments over the rows that are grouped.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct AggregateCall {
    pub function: &'static str,
    pub arguments: Vec<Expression>,
    pub distinct: bool,
    pub filter: Option<Expression>,
}

/// The aggregate calls of a SELECT, each once.
pub(super) struct AggregateCalls {
    calls: Vec<(AggregateCall, LogicalType)>,
    /// Where each of them is.
    places: HashMap<AggregateCall, usize>,
    keys: Vec<Expression>,
}

impl AggregateCalls {
    /// Of rows that are grouped by these keys.
    pub(super) fn new(keys: &[Expression]) -> Self {
        Self { calls: Vec::new(), places: HashMap::new(), keys: keys.to_vec() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// What stands for the call's result.
    pub(super) fn add(&mut self, call: AggregateCall) -> Result<Expression> {
        let types: Vec<LogicalType> = call.arguments.iter().map(|argument| argument.data_type.clone()).collect();
        let data_type = aggregate::result_type(call.function, &types, !self.keys.is_empty(), call.filter.is_some())?;
        if call.distinct {
            aggregate::refuse_distinct(&types)?;
        }
        let next = self.calls.len();
        let index = *self.places.entry(call.clone()).or_insert(next);
        if index == next {
            self.calls.push((call, data_type.clone()));
        }
        Ok(Expression { node: Node::Aggregate(index), data_type })
    }

    /// `GROUPING`, `GROUPING_ID`, `GROUP_ID`: 0, because all rows are grouped by all keys.
    pub(super) fn grouping(&self, function: &str, arguments: &[Expression]) -> Result<Expression> {
        if self.keys.is_empty() {
            return Err(not_in_an_aggregate_query(function));
        }
        if (function == "GROUP_ID") != arguments.is_empty() {
            let expected = if function == "GROUP_ID" { "0" } else { "at least 1" };
            let message =
                format!("Invalid number of arguments to function '{function}'. Was expecting {expected} arguments");
            return Err(Error::validation(message, None));
        }
        if !arguments.iter().all(|argument| self.keys.contains(argument)) {
            let message = format!("Argument to {function} operator must be a grouped expression");
            return Err(Error::validation(message, None));
        }
        Ok(Expression::literal(ScalarValue::Int64(Some(0)), TypeKind::Bigint.not_null()))
    }
}

/// GROUPING and its kin where no rows are grouped.
pub(super) fn not_in_an_aggregate_query(function: &str) -> Error {
    Error::validation(format!("{function} operator may only occur in an aggregate query"), None)
}

/// The keys of GROUP BY.
pub(super) fn keys(queries: &mut QueryAnalyzer<'_>, group_by: &GroupByExpr, scope: &Scope) -> Result<Vec<Expression>> {
    let expressions = match group_by {
        GroupByExpr::Expressions(expressions, modifiers) if modifiers.is_empty() => expressions,
        other => return Err(Error::unsupported(format!("{other} is not supported"), None)),
    };
    let mut keys: Vec<Expression> = Vec::new();
    let mut analyzer = ExpressionAnalyzer::new(scope, "GROUP BY").with_queries(queries);
    for expression in expressions {
        if let Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) = expression {
            let message = "GROUPING SETS, ROLLUP and CUBE are not supported";
            return Err(Error::unsupported(message, place_of(expression)));
        }
        let parts = match expression {
            Expr::Tuple(parts) => parts.iter().collect(),
            single => vec![single],
        };
        for part in parts {
            let key = analyzer.analyze(part)?;
            refuse_untyped_null([&key]).map_err(|e| e.or_at(place_of(part)))?;
            if keys.len() >= MAX_KEYS {
                let message = format!("GROUP BY has more than {MAX_KEYS} keys. Put some of them into a ROW");
                return Err(Error::unsupported(message, place_of(part)));
            }
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    Ok(keys)
}

/// Groups the input by the keys. The result's columns are the keys, then the aggregates.
pub(super) fn group(input: Rel, keys: &[Expression], calls: &AggregateCalls) -> Rel {
    let mut columns: Vec<(String, Expression)> = Vec::new();
    let mut places: HashMap<Expression, usize> = HashMap::new();
    let mut column_of = |expression: &Expression, name: &str, input: &Rel| -> usize {
        if let Some(known) = places.get(expression) {
            return *known;
        }
        places.insert(expression.clone(), columns.len());
        let name = match expression.node {
            Node::Input(index) => input.fields[index].name.clone(),
            _ => format!("{name}{}", columns.len()),
        };
        columns.push((name, expression.clone()));
        columns.len() - 1
    };
    let key_columns: Vec<usize> = keys.iter().map(|key| column_of(key, "$k", &input)).collect();
    let mut aggregates = Vec::with_capacity(calls.calls.len());
    for (call, data_type) in &calls.calls {
        aggregates.push(Aggregate {
            function: call.function.to_owned(),
            arguments: call.arguments.iter().map(|argument| column_of(argument, "$f", &input)).collect(),
            distinct: call.distinct,
            filter: call.filter.as_ref().map(|filter| column_of(filter, "$f", &input)),
            data_type: data_type.clone(),
        });
    }
    let input = project(input, columns);
    let mut fields: Vec<_> = key_columns.iter().map(|key| input.fields[*key].clone()).collect();
    fields.extend(aggregates.iter().enumerate().map(|(i, aggregate)| {
        wiesel_expressions::types::RowField::new(format!("EXPR${i}"), aggregate.data_type.clone())
    }));
    Rel { node: RelNode::Aggregate(LogicalAggregate { input: Box::new(input), keys: key_columns, aggregates }), fields }
}

/// The distinct rows.
pub(super) fn distinct(input: Rel) -> Rel {
    let fields = input.fields.clone();
    let keys = (0..fields.len()).collect();
    Rel { node: RelNode::Aggregate(LogicalAggregate { input: Box::new(input), keys, aggregates: Vec::new() }), fields }
}

/// An expression over the rows that are grouped as one over the grouped row.
pub(super) fn over_groups(expression: &Expression, keys: &[Expression], uses: &[ColumnUse]) -> Result<Expression> {
    if let Some(key) = keys.iter().position(|key| key == expression) {
        return Ok(Expression::input(key, expression.data_type.clone()));
    }
    match &expression.node {
        Node::Aggregate(index) => Ok(Expression::input(keys.len() + index, expression.data_type.clone())),
        Node::Input(index) => {
            let named = uses.iter().find(|column| column.index == *index);
            let text = named.map_or("?", |column| column.text.as_str());
            let message = format!("Expression '{text}' is not being grouped");
            Err(Error::validation(message, named.and_then(|column| column.place)))
        }
        Node::Literal(_) | Node::Call { .. } | Node::Correlated { .. } | Node::Over(_) | Node::Subquery(_) => {
            expression.try_map_operands(&mut |operand| over_groups(operand, keys, uses))
        }
    }
}
