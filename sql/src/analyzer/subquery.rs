//! Queries within expressions: `(SELECT …)`, `value IN (SELECT …)`, `EXISTS (SELECT …)`.
use std::rc::Rc;
use std::sync::Arc;

use sqlparser::ast::Query;
use wiesel_expressions::types::{LogicalType, TypeKind};

use super::expression::ExpressionAnalyzer;
use super::query::QueryAnalyzer;
use super::scope::Scope;
use crate::error::{Error, Place, Result};
use crate::functions::any_nullable;
use crate::rel::Rel;
use crate::rex::lowering::no_subquery;
use crate::rex::{At, Expression, Node, Subquery, SubqueryKind};

impl QueryAnalyzer<'_> {
    /// The relation of a query within an expression over a scope: names that mean nothing in the query may mean something there.
    pub(super) fn subquery(&mut self, query: &Query, scope: &Scope) -> Result<Rel> {
        let outer = self.outer.replace(Rc::new(scope.clone()));
        let names_result = std::mem::take(&mut self.names_result);
        let rel = self.query(query);
        (self.outer, self.names_result) = (outer, names_result);
        rel
    }
}

impl ExpressionAnalyzer<'_, '_> {
    /// What a query within an expression gives; `operands`: what is looked for in it.
    pub(super) fn subquery(
        &mut self,
        kind: SubqueryKind,
        operands: Vec<Expression>,
        query: &Query,
        place: Option<Place>,
    ) -> Result<Expression> {
        let Some(queries) = self.queries.as_deref_mut() else { return Err(no_subquery(place)) };
        let query = queries.subquery(query, self.scope)?;
        let data_type = match kind {
            SubqueryKind::Scalar => scalar_type(&query, place)?,
            SubqueryKind::In => {
                let nullable = any_nullable(&operands) || query.fields.iter().any(|field| field.data_type.nullable);
                TypeKind::Boolean.not_null().with_nullable(nullable)
            }
            SubqueryKind::Exists => TypeKind::Boolean.not_null(),
        };
        let subquery = Subquery { kind, operands, query: Arc::new(query), at: At(place) };
        Ok(Expression { node: Node::Subquery(Box::new(subquery)), data_type })
    }
}

/// The type of the value that a query stands for: null if it has no row.
fn scalar_type(query: &Rel, place: Option<Place>) -> Result<LogicalType> {
    match query.fields.as_slice() {
        [column] => Ok(column.data_type.with_nullable(true)),
        columns => {
            let message = format!("A query that stands for a value has one column, but this one has {}", columns.len());
            Err(Error::validation(message, place))
        }
    }
}
