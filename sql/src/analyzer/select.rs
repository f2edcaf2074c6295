//! SELECT … FROM … WHERE … GROUP BY … HAVING.
use sqlparser::ast::{Distinct, Expr, Ident, Select, SelectItem, SelectItemQualifiedWildcardKind};

use super::expression::{ColumnUse, ExpressionAnalyzer};
use super::grouping::{self, AggregateCalls};
use super::places::{place_of, start_of, start_of_select};
use super::query::QueryAnalyzer;
use super::scope::Scope;
use super::view_text::Named;
use super::{UniqueNames, project};
use crate::error::{Error, Result};
use crate::functions::refuse_untyped_null;
use crate::parser::reserved;
use crate::rel::{LogicalFilter, Rel, RelNode};
use crate::rex::{Expression, Node};

/// Columns of a SELECT, at most.
const MAX_COLUMNS: usize = 10_000;

impl QueryAnalyzer<'_> {
    /// A SELECT's relation.
    pub(super) fn select(&mut self, select: &Select) -> Result<Rel> {
        refuse_unsupported(select)?;
        // What is read below is not the result.
        let gives_result = std::mem::take(&mut self.names_result);
        let (mut input, scope) = self.from(&select.from)?;
        if let Some(noted) = &mut self.noted {
            noted.note(Named::Select, select, scope.names());
        }
        if let Some(selection) = &select.selection {
            let condition = ExpressionAnalyzer::new(&scope, "WHERE").condition(selection, "WHERE")?;
            input = filter(input, condition);
        }
        let keys = grouping::keys(&select.group_by, &scope)?;
        let mut calls = AggregateCalls::new(!keys.is_empty());
        let mut analyzer = ExpressionAnalyzer::with_aggregates(&scope, &mut calls);
        let mut columns = select_list(&mut analyzer, &select.projection, &scope)?;
        let mut having = select.having.as_ref().map(|having| analyzer.condition(having, "HAVING")).transpose()?;
        let uses = std::mem::take(&mut analyzer.uses);
        let values = columns.all.iter().map(|(_, value)| value);
        refuse_untyped_null(values).map_err(|e| analyzer.placed(e, None))?;
        if !keys.is_empty() || !calls.is_empty() || having.is_some() {
            for (_, expression) in &mut columns.all {
                *expression = grouping::over_groups(expression, &keys, &uses)?;
            }
            having = having.map(|having| grouping::over_groups(&having, &keys, &uses)).transpose()?;
            input = grouping::group(input, &keys, &calls);
        } else if gives_result {
            columns.number_by_position();
        }
        if let Some(having) = having {
            input = filter(input, having);
        }
        let result = project(input, columns.all);
        Ok(match select.distinct {
            Some(Distinct::Distinct) => grouping::distinct(result),
            _ => result,
        })
    }
}

/// The rows for which the condition is true.
pub(super) fn filter(input: Rel, condition: Expression) -> Rel {
    let fields = input.fields.clone();
    Rel { node: RelNode::Filter(LogicalFilter { input: Box::new(input), condition }), fields }
}

fn refuse_unsupported(select: &Select) -> Result<()> {
    let place = start_of_select(select);
    let refused = |what: &str| Err(Error::unsupported(format!("{what} is not supported"), place));
    if matches!(select.distinct, Some(Distinct::On(_))) {
        return refused("DISTINCT ON");
    }
    if select.from.is_empty() && (select.selection.is_some() || select.having.is_some()) {
        let clause = if select.selection.is_some() { "WHERE" } else { "HAVING" };
        let at = select.selection.as_ref().or(select.having.as_ref()).and_then(place_of).or(place);
        let at = at.map(|place| place.start);
        let where_ = at.map_or_else(String::new, |at| format!(" at {at}"));
        let message =
            format!("Incorrect syntax near the keyword '{clause}'{where_}: it needs a FROM clause before it.");
        return Err(Error::Parse { message, location: at });
    }
    if select.top.is_some() {
        return refused("TOP");
    }
    if select.into.is_some() {
        return refused("SELECT INTO");
    }
    if select.qualify.is_some() {
        return refused("QUALIFY");
    }
    let hive = !select.lateral_views.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty();
    if hive || select.prewhere.is_some() || !select.connect_by.is_empty() {
        return refused("This clause of SELECT");
    }
    Ok(())
}

/// The columns of a SELECT so far.
#[derive(Default)]
struct Columns {
    all: Vec<(String, Expression)>,
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
    fn number_by_position(&mut self) {
        for index in &self.unnamed {
            self.all[*index].0 = format!("EXPR${index}");
        }
    }
}

fn select_list(analyzer: &mut ExpressionAnalyzer, items: &[SelectItem], scope: &Scope) -> Result<Columns> {
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
pub(super) fn name_of(expr: &Expr) -> Option<String> {
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
