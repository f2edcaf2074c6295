//! The query of a view as `SHOW CREATE VIEW` prints it, which is as Flink keeps it: each table by its whole name and with an alias,
//! each column with the alias before it, and columns instead of a `*`.
//!
//! What names mean the analyser knows. It notes that for each SELECT while it analyses the query once more, and the printer looks it
//! up by where the SELECT lies in memory. What the printer does not know (a hint, the fields of a ROW for a `*`, columns that got
//! other names from a `*`), or what would become too long, is printed as it was written.
use std::collections::{HashMap, HashSet};

use sqlparser::ast::{
    Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, ObjectName, Query,
    Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, TableAlias, TableFactor,
    Values, With,
};

use super::expression::niladic;
use super::query::QueryAnalyzer;
use super::select::name_of;
use super::text::{Qualifier, Texts, expression_text, quoted, quoted_text};
use super::{CatalogReader, ResolvedView};
use crate::parser::dialect::TABLE_ARGUMENT;

/// Longer queries are printed as they were written: parts of an expression are copied into what they stand in.
const MAX_WRITTEN: usize = 32 << 10;
/// What is printed may have so many bytes: as many as a statement.
const MAX_TEXT: usize = 1 << 20;
/// So many names of columns are noted.
const MAX_COLUMNS: usize = 100_000;
/// Bytes of what is printed before the name of a column, at most.
const MAX_ALIAS: usize = 128;

/// What a relation is called and its columns are.
#[derive(Default)]
pub(super) struct Names {
    /// The alias, or catalog, database and name of the table; empty if it has none.
    pub(super) path: Vec<String>,
    pub(super) columns: Vec<String>,
}

/// A part of a query that has names.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Named {
    /// A SELECT: the relation that it reads.
    Select,
    /// A table in FROM: its whole name, without its columns.
    Table,
    /// A table that a window table function is given.
    Argument,
}

/// The names of the parts of a query, by their addresses.
#[derive(Default)]
pub(super) struct NotedNames {
    names: HashMap<(Named, usize), Names>,
    columns: usize,
}

impl NotedNames {
    pub(super) fn note<T>(&mut self, kind: Named, part: &T, names: Names) {
        self.columns += names.columns.len();
        if self.columns <= MAX_COLUMNS {
            self.names.insert((kind, address(part)), names);
        }
    }

    fn of<T>(&self, kind: Named, part: &T) -> Option<&Names> {
        self.names.get(&(kind, address(part)))
    }
}

fn address<T>(part: &T) -> usize {
    std::ptr::from_ref(part) as usize
}

/// The text of a view's query.
pub(crate) fn view_text(catalog: &dyn CatalogReader, view: &ResolvedView) -> String {
    expanded(catalog, view).unwrap_or_else(|| view.text.clone())
}

/// As Flink prints it; none: that is not known, or the query has another meaning by now.
fn expanded(catalog: &dyn CatalogReader, view: &ResolvedView) -> Option<String> {
    if view.text.len() > MAX_WRITTEN {
        return None;
    }
    let mut analyzer = QueryAnalyzer::new(catalog);
    analyzer.noted = Some(NotedNames::default());
    let rel = analyzer.query(&view.query).ok()?;
    if rel.fields.len() != view.columns.len() {
        return None;
    }
    let mut printer = Printer { noted: analyzer.noted.as_ref()?, out: String::new(), aliases: 0 };
    printer.query(&view.query)?;
    Some(printer.out)
}

/// Prints a query; nothing comes of it where a part is not known.
struct Printer<'a> {
    noted: &'a NotedNames,
    out: String,
    /// How many relations without an alias were given one.
    aliases: usize,
}

impl Printer<'_> {
    fn query(&mut self, query: &Query) -> Option<()> {
        if let Some(with) = &query.with {
            self.with(with)?;
        }
        self.body(&query.body)
    }

    fn with(&mut self, with: &With) -> Option<()> {
        self.out.push_str("WITH ");
        for (i, table) in with.cte_tables.iter().enumerate() {
            self.separate(i, ", ");
            self.out.push_str(&alias_text(&table.alias));
            self.out.push_str(" AS (");
            self.query(&table.query)?;
            self.out.push(')');
        }
        self.out.push(' ');
        Some(())
    }

    /// A chain of UNIONs leans to the left.
    fn body(&mut self, body: &SetExpr) -> Option<()> {
        let mut members = Vec::new();
        let mut first = body;
        while let SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left, right } = first {
            members.push((*set_quantifier == SetQuantifier::All, right));
            first = left;
        }
        self.member(first)?;
        while let Some((all, member)) = members.pop() {
            self.out.push_str(if all { "\nUNION ALL\n" } else { "\nUNION\n" });
            if is_union(member) {
                self.out.push('(');
                self.member(member)?;
                self.out.push(')');
            } else {
                self.member(member)?;
            }
        }
        Some(())
    }

    fn member(&mut self, member: &SetExpr) -> Option<()> {
        match member {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) if query.with.is_none() => self.body(&query.body),
            SetExpr::Values(values) => self.values(values),
            _ => None,
        }
    }

    fn values(&mut self, values: &Values) -> Option<()> {
        self.out.push_str("VALUES ");
        for (i, row) in values.rows.iter().enumerate() {
            self.separate(i, ",\n");
            let row = Texts { qualifier: None }.list(&row.content);
            self.out.push_str(&format!("ROW({row})"));
        }
        Some(())
    }

    fn select(&mut self, select: &Select) -> Option<()> {
        let names = self.noted.of(Named::Select, select)?;
        if star_renames(&select.projection, &names.columns) {
            return None;
        }
        let relation = match select.from.as_slice() {
            [] => None,
            [table] if table.joins.is_empty() => Some(&table.relation),
            _ => return None,
        };
        // Aliases are numbered from the outside to the inside.
        let alias = relation.map(|_| self.alias_of(names));
        let qualifier = alias.as_deref().map(|alias| Qualifier {
            alias,
            path: &names.path,
            columns: names.columns.iter().map(String::as_str).collect(),
        });
        if qualifier.as_ref().is_some_and(|qualifier| qualifier.alias.len() > MAX_ALIAS) {
            return None;
        }
        let texts = Texts { qualifier: qualifier.as_ref() };
        self.out.push_str(match select.distinct {
            Some(Distinct::Distinct) => "SELECT DISTINCT ",
            Some(Distinct::All) => "SELECT ALL ",
            Some(Distinct::On(_)) => return None,
            None => "SELECT ",
        });
        for (i, item) in select.projection.iter().enumerate() {
            self.separate(i, ", ");
            self.item(item, names, &texts)?;
            self.check_length()?;
        }
        if let (Some(relation), Some(alias)) = (relation, alias.as_deref()) {
            self.out.push_str("\nFROM ");
            self.relation(relation, alias)?;
        }
        if let Some(condition) = &select.selection {
            self.clause("WHERE", &texts.expression(condition));
        }
        match &select.group_by {
            GroupByExpr::Expressions(keys, modifiers) if modifiers.is_empty() => {
                // As ROW(…) in GROUP BY several keys would be read as one.
                if keys.iter().any(|key| matches!(key, Expr::Tuple(_))) {
                    return None;
                }
                if !keys.is_empty() {
                    self.clause("GROUP BY", &texts.list(keys));
                }
            }
            _ => return None,
        }
        if let Some(condition) = &select.having {
            self.clause("HAVING", &texts.expression(condition));
        }
        self.check_length()
    }

    fn item(&mut self, item: &SelectItem, names: &Names, texts: &Texts<'_>) -> Option<()> {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let text = texts.expression(expr);
                self.out.push_str(&text);
                if is_niladic(expr) {
                    self.out.push_str(&format!(" AS {text}"));
                }
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                self.out.push_str(&format!("{} AS {}", texts.expression(expr), quoted(alias)));
            }
            SelectItem::Wildcard(_) => self.star(names, texts.qualifier?.alias)?,
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let parts: Vec<&str> = parts_of(name).map(|part| part.value.as_str()).collect();
                let names_relation = names.path.len() >= parts.len()
                    && names.path[names.path.len() - parts.len()..].iter().zip(&parts).all(|(name, part)| name == part);
                if !names_relation {
                    return None;
                }
                self.star(names, texts.qualifier?.alias)?;
            }
            _ => return None,
        }
        Some(())
    }

    /// All columns of a relation.
    fn star(&mut self, names: &Names, alias: &str) -> Option<()> {
        let alias = quoted_text(alias);
        for (i, column) in names.columns.iter().enumerate() {
            self.separate(i, ", ");
            self.out.push_str(&format!("{alias}.{}", quoted_text(column)));
            self.check_length()?;
        }
        Some(())
    }

    /// A relation of FROM. One without an alias has this one.
    fn relation(&mut self, relation: &TableFactor, alias: &str) -> Option<()> {
        let written = match relation {
            TableFactor::Table { args: None, alias, .. } => {
                let names = self.noted.of(Named::Table, relation)?;
                self.out.push_str(&path_text(&names.path));
                alias
            }
            TableFactor::Derived { lateral: false, subquery, alias, .. } => {
                self.subquery(subquery)?;
                alias
            }
            TableFactor::TableFunction { expr: Expr::Function(function), alias } => {
                self.out.push_str("TABLE(");
                self.window_function(function)?;
                self.out.push(')');
                alias
            }
            _ => return None,
        };
        let alias = written.as_ref().map_or_else(|| quoted_text(alias), alias_text);
        self.out.push_str(&format!(" AS {alias}"));
        Some(())
    }

    fn window_function(&mut self, function: &Function) -> Option<()> {
        let FunctionArguments::List(list) = &function.args else { return None };
        self.out.push_str(&format!("{}(", function.name.to_string().to_uppercase()));
        for (i, argument) in list.args.iter().enumerate() {
            self.separate(i, ", ");
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => self.window_argument(value)?,
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                    self.out.push_str(&format!("{} => ", quoted(name)));
                    self.window_argument(value)?;
                }
                _ => return None,
            }
        }
        self.out.push(')');
        Some(())
    }

    fn window_argument(&mut self, value: &Expr) -> Option<()> {
        match value {
            Expr::Nested(inner) => self.window_argument(inner),
            Expr::Subquery(query) => self.subquery(query),
            Expr::Function(function) if function.name.to_string().trim_matches('`') == TABLE_ARGUMENT => {
                let names = self.noted.of(Named::Argument, value)?;
                let alias = names.path.last()?;
                self.out.push_str("(SELECT ");
                self.star(names, alias)?;
                self.out.push_str(&format!("\nFROM {} AS {})", path_text(&names.path), quoted_text(alias)));
                Some(())
            }
            value => {
                self.out.push_str(&expression_text(value));
                Some(())
            }
        }
    }

    fn subquery(&mut self, query: &Query) -> Option<()> {
        self.out.push('(');
        self.query(query)?;
        self.out.push(')');
        Some(())
    }

    fn clause(&mut self, words: &str, text: &str) {
        self.out.push_str(&format!("\n{words} {text}"));
    }

    fn separate(&mut self, before: usize, separator: &str) {
        if before > 0 {
            self.out.push_str(separator);
        }
    }

    fn check_length(&self) -> Option<()> {
        (self.out.len() <= MAX_TEXT).then_some(())
    }

    /// What the relation of a SELECT is called; one that has no name is given one.
    fn alias_of(&mut self, names: &Names) -> String {
        names.path.last().cloned().unwrap_or_else(|| {
            self.aliases += 1;
            format!("EXPR${}", self.aliases - 1)
        })
    }
}

/// Whether columns of a star have got other names because of columns before them: a list of their own names says something else.
fn star_renames(items: &[SelectItem], columns: &[String]) -> bool {
    let mut before: HashSet<String> = HashSet::new();
    items.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expr) => {
            before.extend(name_of(expr));
            false
        }
        SelectItem::ExprWithAlias { alias, .. } => {
            before.insert(alias.value.clone());
            false
        }
        _ => columns.iter().any(|column| !before.insert(column.clone())),
    })
}

fn is_union(member: &SetExpr) -> bool {
    match member {
        SetExpr::Query(query) => is_union(&query.body),
        other => matches!(other, SetExpr::SetOperation { .. }),
    }
}

/// Whether it is a function that is written without parentheses, which has its own name for an alias.
fn is_niladic(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(name) => {
            let unknown = name.value.eq_ignore_ascii_case("UNKNOWN");
            name.quote_style.is_none() && !unknown && niladic(&name.value).is_some()
        }
        Expr::Function(function) => matches!(function.args, FunctionArguments::None),
        _ => false,
    }
}

fn parts_of(name: &ObjectName) -> impl Iterator<Item = &Ident> {
    name.0.iter().filter_map(|part| part.as_ident())
}

fn path_text(path: &[String]) -> String {
    path.iter().map(|part| quoted_text(part)).collect::<Vec<_>>().join(".")
}

/// An alias and what it calls the columns.
fn alias_text(alias: &TableAlias) -> String {
    let columns: Vec<String> = alias.columns.iter().map(|column| quoted(&column.name)).collect();
    let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
    format!("{}{columns}", quoted(&alias.name))
}
