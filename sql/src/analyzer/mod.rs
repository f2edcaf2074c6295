//! From parsed queries to relational algebra: every name resolved, every expression typed as Flink types it.
//!
//! [`query`] → [`select`] clause by clause (with [`from`] for its relations, [`grouping`] for its aggregates) → [`expression`] over a
//! [`scope`], which may stand within others, with [`literals`] for constants, [`over`] for calls over rows and [`subquery`] for queries; [`order`] comes behind a
//! query as a whole; [`insert`] fits a query to a sink; [`text`] prints expressions as `DESCRIBE` does,
//! [`view_text`] queries of views; [`places`] says where what stands.
//!
//! Invariant: what leaves here needs no catalog and no text any more, and tasks can evaluate it; an error names the place in the
//! script.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlparser::ast::{Expr, Query};
use wiesel_common::config::Configuration;
use wiesel_common::text::suggestion;
use wiesel_expressions::types::RowField;

use crate::ast::Insert;
use crate::catalog::{ObjectIdentifier, ResolvedTable};
use crate::error::Result;
use crate::rel::{LogicalProject, Rel, RelNode};
use crate::rex::{Expression, Node, lowering};

mod calls;
mod expression;
mod from;
mod grouping;
mod insert;
mod literals;
mod order;
mod over;
mod places;
mod query;
mod scope;
mod select;
mod subquery;
#[cfg(test)]
mod tests;
mod text;
mod view_text;
mod window;

pub use text::expression_text;
pub(crate) use view_text::view_text;

use expression::ExpressionAnalyzer;
use query::QueryAnalyzer;
use scope::Scope;

/// How the analyser looks up tables and views.
pub trait CatalogReader {
    /// The table or view that a name of one to three parts means, given the current catalog and database; `None` if there
    /// is none.
    fn resolve(&self, path: &[String]) -> Option<CatalogObject>;

    /// The names that [`Self::resolve`] would find, as one would write them, to propose the nearest.
    fn names(&self) -> Vec<String>;
}

/// What a name in `FROM` means.
#[derive(Clone, Debug)]
pub enum CatalogObject {
    /// A table.
    Table(Arc<ResolvedTable>),
    /// A view.
    View(Arc<ResolvedView>),
}

/// A view whose query has been analysed once, when it was created.
#[derive(Clone, Debug)]
pub struct ResolvedView {
    /// Its name.
    pub identifier: ObjectIdentifier,
    /// Its query, which each use analyses again.
    pub query: Box<Query>,
    /// What the query called its columns when it was created.
    pub selected: Vec<String>,
    /// Its columns as they were then: their names replace the query's.
    pub columns: Vec<RowField>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// Its query as SQL text, as it was written.
    pub text: String,
}

/// A query's relation; its columns' names differ from each other.
pub fn analyze_query(catalog: &dyn CatalogReader, _configuration: &Configuration, query: &Query) -> Result<Rel> {
    let mut rel = QueryAnalyzer::new(catalog).result(query)?;
    lowering::check(&rel)?;
    let names = unique_names(rel.fields.iter().map(|field| field.name.as_str()));
    rel.fields.iter_mut().zip(names).for_each(|(field, name)| field.name = name);
    Ok(rel)
}

/// The relation of a view that is to be created: the names of its columns are the query's, also where they are alike.
pub(crate) fn analyze_view(catalog: &dyn CatalogReader, view: &ObjectIdentifier, query: &Query) -> Result<Rel> {
    let rel = QueryAnalyzer::of_view(catalog, view).query(query)?;
    lowering::check(&rel)?;
    Ok(rel)
}

/// An INSERT's relation: one column for each physical column of the sink in its order, then one for each metadata column that is
/// written, cast where Flink casts by itself; a column that the INSERT leaves out is null.
pub fn analyze_insert(
    catalog: &dyn CatalogReader,
    _configuration: &Configuration,
    insert: &Insert,
    sink: &ResolvedTable,
) -> Result<Rel> {
    let query = QueryAnalyzer::new(catalog).query(&insert.source)?;
    lowering::check(&query)?;
    insert::fit(query, insert, sink)
}

/// An expression over these columns, as in a computed column or a watermark.
pub fn analyze_expression(
    _catalog: &dyn CatalogReader,
    _configuration: &Configuration,
    fields: &[RowField],
    expression: &Expr,
) -> Result<Expression> {
    let scope = Scope::of_table(None, fields.to_vec());
    let expression = ExpressionAnalyzer::new(&scope, "a computed column").analyze(expression)?;
    lowering::check_expression(&expression)?;
    Ok(expression)
}

/// Names of which each differs from those before it: `a`, `a0`, `a1`.
#[derive(Default)]
struct UniqueNames {
    taken: HashSet<String>,
    /// The numbers below are all taken with this name.
    next: HashMap<String, usize>,
}

impl UniqueNames {
    /// This name, or one made of it that is not taken.
    fn take(&mut self, name: &str) -> String {
        let mut candidate = name.to_owned();
        if self.taken.contains(name) {
            let attempt = self.next.entry(name.to_owned()).or_default();
            while self.taken.contains(&candidate) {
                candidate = format!("{name}{attempt}");
                *attempt += 1;
            }
        }
        self.taken.insert(candidate.clone());
        candidate
    }
}

fn unique_names<'n>(names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let mut unique = UniqueNames::default();
    names.map(|name| unique.take(name)).collect()
}

/// A projection; none is made if it would change nothing but names.
fn project(input: Rel, columns: Vec<(String, Expression)>) -> Rel {
    let identity = columns.len() == input.fields.len()
        && columns.iter().enumerate().all(|(i, (_, expression))| {
            expression.node == Node::Input(i) && expression.data_type == input.fields[i].data_type
        });
    let (names, expressions): (Vec<String>, Vec<Expression>) = columns.into_iter().unzip();
    let fields: Vec<RowField> =
        names.into_iter().zip(&expressions).map(|(name, e)| RowField::new(name, e.data_type.clone())).collect();
    if identity {
        return Rel { fields, ..input };
    }
    Rel { node: RelNode::Project(LogicalProject { input: Box::new(input), expressions }), fields }
}

/// All columns of a relation as expressions over it.
fn columns_of(rel: &Rel) -> Vec<(String, Expression)> {
    let columns = rel.fields.iter().enumerate();
    columns.map(|(i, field)| (field.name.clone(), Expression::input(i, field.data_type.clone()))).collect()
}
