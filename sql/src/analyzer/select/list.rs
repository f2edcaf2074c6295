//! The list of a SELECT.
use sqlparser::ast::{Expr, Ident, SelectItem, SelectItemQualifiedWildcardKind};

use super::super::UniqueNames;
use super::super::expression::{ColumnUse, ExpressionAnalyzer};
use super::super::places::start_of;
use super::super::scope::Scope;
use crate::error::{Error, Result};
use crate::parser::reserved;
use crate::rex::{Expression, Node};

/// Columns of a SELECT, at most.
const MAX_COLUMNS: usize = 10_000;

/// The columns of a SELECT so far.
#[derive(Default)]
pub(super) struct Columns {
    pub all: Vec<(String, Expression)>,
    /// Their different names.
    names: UniqueNames,
    /// Where those are that have no name of their own.
    unnamed: Vec<usize>,
}

impl Columns {
    fn push(&mut self, name: String, expression: Expression) {
        self.names.taken.insert(name.clone());
        self.all.push((name, expression));
    }

    /// A column without a name is called by how many different names there are before it.
    fn push_unnamed(&mut self, expression: Expression) {
        self.unnamed.push(self.all.len());
        self.push(format!("EXPR${}", self.names.taken.len()), expression);
    }

    /// A column of a star gets another name where there is one of its name already.
    fn push_of_star(&mut self, name: &str, expression: Expression) {
        let name = self.names.take(name);
        self.all.push((name, expression));
    }

    /// In the result of a statement Flink counts columns and not names, unless it is of groups.
    pub fn number_by_position(&mut self) {
        for index in &self.unnamed {
            self.all[*index].0 = format!("EXPR${index}");
        }
    }
}

/// The columns that are listed.
pub(super) fn select_list(analyzer: &mut ExpressionAnalyzer, items: &[SelectItem], scope: &Scope) -> Result<Columns> {
    let mut columns = Columns::default();
    for item in items {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let value = analyzer.analyze(expr)?;
                match name_of(expr) {
                    Some(name) => columns.push(name, value),
                    None => columns.push_unnamed(value),
                }
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                reserved::refuse(alias)?;
                columns.push(alias.value.clone(), analyzer.analyze(expr)?);
            }
            SelectItem::Wildcard(_) => {
                let all = scope.columns().map_err(|e| e.or_at(start_of(item)))?;
                star(analyzer, &mut columns, all);
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let parts: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
                let all = scope.star(&parts).map_err(|e| e.or_at(start_of(item)))?;
                star(analyzer, &mut columns, all);
            }
            other => return Err(Error::unsupported(format!("{other} in SELECT is not supported"), start_of(other))),
        }
    }
    if columns.all.len() > MAX_COLUMNS {
        let message = format!("A SELECT has {} columns, of at most {MAX_COLUMNS}", columns.all.len());
        return Err(Error::unsupported(message, items.first().and_then(start_of)));
    }
    if columns.all.is_empty() {
        return Err(Error::validation("SELECT * requires a FROM clause", None));
    }
    Ok(columns)
}

fn star(analyzer: &mut ExpressionAnalyzer, columns: &mut Columns, all: Vec<(String, Expression)>) {
    for (name, expression) in all {
        let uses = &mut analyzer.uses;
        expression.visit(&mut |e| {
            if let Node::Input(index) = e.node {
                uses.push(ColumnUse { index, text: name.clone(), place: None });
            }
        });
        columns.push_of_star(&name, expression);
    }
}

/// The name that a column has by itself.
pub(in crate::analyzer) fn name_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("UNKNOWN") => None,
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|name| name.value.clone()),
        Expr::Function(function) if matches!(function.args, sqlparser::ast::FunctionArguments::None) => {
            Some(function.name.to_string())
        }
        _ => None,
    }
}
