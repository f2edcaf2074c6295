//! SELECT, clause by clause: each is a stage over the rows of the one before.
//!
//! FROM → WHERE → GROUP BY → HAVING → the list → DISTINCT. The list and HAVING are read before the rows are grouped, because they say
//! which aggregates there are. A call with OVER stays in the list: the planner makes a relation of it.
use sqlparser::ast::{Distinct, Select};

use super::expression::{ColumnUse, ExpressionAnalyzer};
use super::grouping::{self, AggregateCalls};
use super::project;
use super::query::QueryAnalyzer;
use super::scope::Scope;
use super::view_text::Named;
use crate::error::Result;
use crate::functions::refuse_untyped_null;
use crate::rel::{LogicalFilter, Rel, RelNode};
use crate::rex::Expression;

mod clauses;
mod list;

use list::Columns;
pub(super) use list::name_of;

/// What is selected of the rows or, if there are groups, of each of them.
struct Selected {
    columns: Columns,
    having: Option<Expression>,
    aggregates: AggregateCalls,
    /// The columns of the rows that are named.
    uses: Vec<ColumnUse>,
}

impl QueryAnalyzer<'_> {
    /// A SELECT's relation.
    pub(super) fn select(&mut self, select: &Select) -> Result<Rel> {
        clauses::refuse_unsupported(select)?;
        // What is read below is not the result.
        let gives_result = std::mem::take(&mut self.names_result);
        let (rows, scope) = self.rows(select)?;
        let rows = self.filtered(rows, select, &scope)?;
        let keys = grouping::keys(self, &select.group_by, &scope)?;
        let mut selected = self.selected(select, &scope, &keys)?;
        let rows = if selected.is_of_groups(&keys) {
            selected.move_over_groups(&keys)?;
            grouping::group(rows, &keys, &selected.aggregates)
        } else {
            if gives_result {
                selected.columns.number_by_position();
            }
            rows
        };
        let rows = having(rows, selected.having);
        let rows = project(rows, selected.columns.all);
        Ok(distinct(rows, select))
    }

    /// FROM.
    fn rows(&mut self, select: &Select) -> Result<(Rel, Scope)> {
        let (rows, scope) = self.from(&select.from)?;
        if let Some(noted) = &mut self.noted {
            noted.note(Named::Select, select, scope.names());
        }
        Ok((rows, scope))
    }

    /// WHERE.
    fn filtered(&mut self, rows: Rel, select: &Select, scope: &Scope) -> Result<Rel> {
        let Some(selection) = &select.selection else { return Ok(rows) };
        let mut analyzer = ExpressionAnalyzer::new(scope, "WHERE").with_queries(self);
        Ok(filter(rows, analyzer.condition(selection, "WHERE")?))
    }

    /// The list and HAVING over the rows, with a reference for each aggregate.
    fn selected(&mut self, select: &Select, scope: &Scope, keys: &[Expression]) -> Result<Selected> {
        let mut aggregates = AggregateCalls::new(keys);
        let mut analyzer = ExpressionAnalyzer::with_aggregates(scope, &mut aggregates).with_queries(self);
        let columns = list::select_list(&mut analyzer, &select.projection, scope)?;
        let having = select.having.as_ref().map(|having| analyzer.condition(having, "HAVING")).transpose()?;
        let values = columns.all.iter().map(|(_, value)| value);
        refuse_untyped_null(values).map_err(|e| analyzer.placed(e, None))?;
        let uses = std::mem::take(&mut analyzer.uses);
        Ok(Selected { columns, having, aggregates, uses })
    }
}

impl Selected {
    /// Whether the rows are grouped.
    fn is_of_groups(&self, keys: &[Expression]) -> bool {
        !keys.is_empty() || !self.aggregates.is_empty() || self.having.is_some()
    }

    /// GROUP BY: what is selected becomes expressions over the groups.
    fn move_over_groups(&mut self, keys: &[Expression]) -> Result<()> {
        for (_, expression) in &mut self.columns.all {
            *expression = grouping::over_groups(expression, keys, &self.uses)?;
        }
        if let Some(having) = &mut self.having {
            *having = grouping::over_groups(having, keys, &self.uses)?;
        }
        Ok(())
    }
}

/// HAVING.
fn having(groups: Rel, condition: Option<Expression>) -> Rel {
    match condition {
        Some(condition) => filter(groups, condition),
        None => groups,
    }
}

/// DISTINCT.
fn distinct(rows: Rel, select: &Select) -> Rel {
    match select.distinct {
        Some(Distinct::Distinct) => grouping::distinct(rows),
        Some(Distinct::All | Distinct::On(_)) | None => rows,
    }
}

/// The rows for which the condition is true.
fn filter(input: Rel, condition: Expression) -> Rel {
    let fields = input.fields.clone();
    Rel { node: RelNode::Filter(LogicalFilter { input: Box::new(input), condition }), fields }
}
