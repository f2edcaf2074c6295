//! WITH, set operations, VALUES.
use std::collections::HashMap;
use std::rc::Rc;

use sqlparser::ast::{Ident, Query, SetExpr, SetOperator, SetQuantifier, Values, With};
use wiesel_expressions::types::{LogicalType, RowField, TypeKind};

use super::expression::ExpressionAnalyzer;
use super::places::{
    place_of, place_of_column, place_of_columns, place_of_name, place_of_names, start_of, start_of_select,
};
use super::scope::Scope;
use super::view_text::NotedNames;
use super::{CatalogReader, ResolvedView, columns_of, grouping, order, project};
use crate::catalog::ObjectIdentifier;
use crate::error::{Error, Place, Result};
use crate::functions::cast::cast_to;
use crate::functions::common_type::common_type;
use crate::functions::{is_text, refuse_untyped_null};
use crate::parser::reserved;
use crate::rel::{Extent, LogicalUnion, LogicalValues, Rel, RelNode};
use crate::rex::{Expression, Node, move_inwards};
use crate::script::still_wanted;

/// Views within views, at most.
const MAX_VIEWS: usize = 200;
/// Queries within queries, at most, those of views included. What nests in one text has a limit of its own; two hundred views of
/// such texts would be more than a stack holds.
const MAX_QUERIES_WITHIN: usize = 1_000;
/// Relations over each other, at most.
const MAX_REL_DEPTH: usize = 4_000;
/// Relations that the names of views and of WITH stand for in a statement, at most. Two that each name the one before twice are
/// four, thirty of them a thousand million.
const MAX_NAMED_RELATIONS: usize = 10_000;
/// Their columns, and parts of their expressions, at most.
const MAX_NAMED_PARTS: usize = 1_000_000;
/// Columns of all tables that are read and fields within them, each as often as its table is named, at most.
const MAX_COLUMNS: usize = 500_000;
/// What a statement may cost in looking up the names of views and of WITH queries, at most. Unlike [`MAX_NAMED_RELATIONS`] it also
/// bounds work of which nothing comes: a WITH query that is not used is analysed with all views that it names. A name costs one, and
/// a view one more for each [`BYTES_OF_A_LOOKUP`] of its text.
const MAX_LOOKUP_COST: usize = 50_000;
/// See [`MAX_LOOKUP_COST`].
const BYTES_OF_A_LOOKUP: usize = 100;

/// Analyses one statement's queries.
pub(super) struct QueryAnalyzer<'a> {
    pub(super) catalog: &'a dyn CatalogReader,
    /// What WITH names, innermost last, and within how many scopes it was analysed.
    common: Vec<HashMap<String, (Rel, usize)>>,
    /// The views that this query stands in, outermost first, and before them the one that is created with it.
    views: Vec<ObjectIdentifier>,
    /// The queries that this one stands in, through all views.
    within: usize,
    /// The scope of the query that the expression stands in of which this query is a part.
    pub(super) outer: Option<Rc<Scope>>,
    /// What names stood for so far.
    named: Extent,
    /// What looking up names cost so far, in views too: see [`MAX_LOOKUP_COST`].
    lookup_cost: usize,
    /// Columns of the tables that were read so far, in views too.
    columns: usize,
    /// What the names of this query mean, not those of its views; none: nobody asks.
    pub(super) noted: Option<NotedNames>,
    /// The next SELECT gives its names to the result of the statement.
    pub(super) names_result: bool,
}

impl<'a> QueryAnalyzer<'a> {
    pub(super) fn new(catalog: &'a dyn CatalogReader) -> Self {
        Self {
            catalog,
            common: Vec::new(),
            views: Vec::new(),
            within: 0,
            outer: None,
            named: Extent::default(),
            lookup_cost: 0,
            columns: 0,
            noted: None,
            names_result: false,
        }
    }

    /// Analyses the query with which a view is created.
    pub(super) fn of_view(catalog: &'a dyn CatalogReader, view: &ObjectIdentifier) -> Self {
        Self { views: vec![view.clone()], ..Self::new(catalog) }
    }

    /// The relation that WITH gave this name.
    pub(super) fn common_table(&mut self, name: &Ident) -> Result<Option<Rel>> {
        let found = self.common.iter().rev().find_map(|names| names.get(&name.value));
        let Some((rel, depth)) = found else { return Ok(None) };
        let extent = rel.extent();
        let mut rel = self.may_stand_for(extent, name).map(|()| rel.clone())?;
        move_inwards(&mut rel, self.depth().saturating_sub(*depth));
        self.named = self.named.and(extent);
        self.looked_up(1, name)?;
        Ok(Some(rel))
    }

    /// Within how many scopes this query is.
    fn depth(&self) -> usize {
        self.outer.as_ref().map_or(0, |outer| outer.depth())
    }

    /// Whether a name is that of a WITH query.
    pub(super) fn is_common(&self, name: &Ident) -> bool {
        self.common.iter().any(|names| names.contains_key(&name.value))
    }

    /// The relation of a view.
    pub(super) fn view(&mut self, view: &ResolvedView, name: &Ident) -> Result<Rel> {
        if self.views.len() >= MAX_VIEWS {
            return Err(too_many(format!("Views stand within more than {MAX_VIEWS} others"), name));
        }
        self.looked_up(1 + view.text.len() / BYTES_OF_A_LOOKUP, name)?;
        let mut views = std::mem::take(&mut self.views);
        views.push(view.identifier.clone());
        let mut analyzer = Self {
            views,
            within: self.within,
            named: self.named,
            lookup_cost: self.lookup_cost,
            columns: self.columns,
            ..Self::new(self.catalog)
        };
        let rel = analyzer.query(&view.query).map_err(|e| e.moved_to(place_of_name(name)));
        (self.lookup_cost, self.columns) = (analyzer.lookup_cost, analyzer.columns);
        self.views = analyzer.views;
        self.views.pop();
        let rel = rel?;
        let extent = rel.extent();
        self.may_stand_for(extent, name)?;
        self.named = self.named.and(extent);
        Ok(rel)
    }

    /// Refuses what a name stands for if the name stands in that very view: it would have no end. A temporary view is the way there,
    /// for it hides the table that it, or a view that it reads, was meant to read.
    pub(super) fn refuse_own_view(&self, object: &ObjectIdentifier, parts: &[Ident]) -> Result<()> {
        let Some(start) = self.views.iter().position(|view| view == object) else { return Ok(()) };
        let between = match &self.views[start + 1..] {
            [] => String::new(),
            [next, ..] => format!(" by way of '{next}'"),
        };
        let message = format!(
            "The view '{object}' reads itself{between}: where it is used, its own name means the view and no table. Give the view \
             another name than what it reads"
        );
        Err(Error::validation(message, place_of_names(parts)))
    }

    fn looked_up(&mut self, cost: usize, name: &Ident) -> Result<()> {
        self.lookup_cost = self.lookup_cost.saturating_add(cost);
        if self.lookup_cost > MAX_LOOKUP_COST {
            let message =
                "The views and WITH queries that are named, and those that they name, are too many or too long";
            return Err(too_many(message.to_owned(), name));
        }
        Ok(())
    }

    /// A table of so many columns and fields within them is read.
    pub(super) fn reads(&mut self, columns: usize, name: &Ident) -> Result<()> {
        self.columns = self.columns.saturating_add(columns);
        if self.columns > MAX_COLUMNS {
            let message = format!(
                "The tables that are read have more than {MAX_COLUMNS} columns and fields, each as often as it is named,"
            );
            return Err(too_many(message, name));
        }
        Ok(())
    }

    /// Whether a name may stand for so much, beside what others stood for.
    fn may_stand_for(&self, extent: Extent, name: &Ident) -> Result<()> {
        let all = self.named.and(extent);
        if all.depth > MAX_REL_DEPTH {
            return Err(too_many(format!("Queries stand over more than {MAX_REL_DEPTH} others"), name));
        }
        if all.relations > MAX_NAMED_RELATIONS {
            let message =
                format!("The views and WITH queries that are named stand for more than {MAX_NAMED_RELATIONS} queries");
            return Err(too_many(message, name));
        }
        if all.parts > MAX_NAMED_PARTS {
            let message = format!(
                "The views and WITH queries that are named have more than {MAX_NAMED_PARTS} columns and parts of expressions"
            );
            return Err(too_many(message, name));
        }
        Ok(())
    }

    /// The relation of a query whose rows are the result of its statement.
    pub(super) fn result(&mut self, query: &Query) -> Result<Rel> {
        self.names_result = true;
        self.query(query)
    }

    /// A query's relation.
    pub(super) fn query(&mut self, query: &Query) -> Result<Rel> {
        still_wanted()?;
        if self.within >= MAX_QUERIES_WITHIN {
            let message = format!(
                "Queries stand within more than {MAX_QUERIES_WITHIN} others, those of views included. Write what one of them gives \
                 to a table, and read that."
            );
            return Err(Error::unsupported(message, start_of(query)));
        }
        self.within += 1;
        let rel = self.clauses(query);
        self.within -= 1;
        rel
    }

    fn clauses(&mut self, query: &Query) -> Result<Rel> {
        if !query.locks.is_empty()
            || query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
        {
            return Err(Error::unsupported("This clause of a query is not supported", start_of(query)));
        }
        let rows = self.body(query)?;
        order::limit(order::order_by(rows, query)?, query)
    }

    /// WITH, and the query behind it.
    fn body(&mut self, query: &Query) -> Result<Rel> {
        let Some(with) = &query.with else { return self.set_expression(&query.body) };
        if with.recursive {
            return Err(Error::unsupported("WITH RECURSIVE is not supported", start_of(with)));
        }
        self.common.push(HashMap::new());
        let names_result = std::mem::take(&mut self.names_result);
        let result = self.with_tables(with).and_then(|()| {
            self.names_result = names_result;
            self.set_expression(&query.body)
        });
        self.common.pop();
        result
    }

    fn with_tables(&mut self, with: &With) -> Result<()> {
        for table in &with.cte_tables {
            reserved::refuse(&table.alias.name)?;
            let rel = self.query(&table.query)?;
            let names: Vec<_> = table.alias.columns.iter().map(|column| column.name.clone()).collect();
            let rel = (renamed(rel, &names)?, self.depth());
            if let Some(names) = self.common.last_mut() {
                names.insert(table.alias.name.value.clone(), rel);
            }
        }
        Ok(())
    }

    fn set_expression(&mut self, body: &SetExpr) -> Result<Rel> {
        match body {
            SetExpr::Select(select) => self.select(select).map_err(|e| e.or_at(start_of_select(select))),
            SetExpr::Query(query) => self.query(query),
            SetExpr::Values(values) => self.values(values),
            SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, .. } => {
                if !matches!(set_quantifier, SetQuantifier::All | SetQuantifier::None | SetQuantifier::Distinct) {
                    return Err(Error::unsupported("UNION BY NAME is not supported", start_of(body)));
                }
                self.union(body)
            }
            SetExpr::SetOperation { op, .. } => {
                Err(Error::unsupported(format!("{op} is not supported"), start_of(body)))
            }
            other => Err(Error::unsupported("This kind of query is not supported", start_of(other))),
        }
    }

    /// A chain of UNIONs, which leans to the left, from its first member on.
    fn union(&mut self, body: &SetExpr) -> Result<Rel> {
        let mut spine = Vec::new();
        let mut leftmost = body;
        while let SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left, right } = leftmost {
            spine.push((*set_quantifier == SetQuantifier::All, right));
            leftmost = left;
        }
        let mut members = vec![self.set_expression(leftmost)?];
        // Where their columns are; of what was put together those of the first.
        let mut bodies: Vec<&SetExpr> = vec![leftmost];
        while let Some((all, right)) = spine.pop() {
            members.push(self.set_expression(right)?);
            bodies.push(right);
            if !all {
                members = vec![grouping::distinct(union_all(members, &bodies, "UNION")?)];
                bodies.truncate(1);
            } else if spine.last().is_none_or(|(all, _)| !all) {
                members = vec![union_all(members, &bodies, "UNION ALL")?];
                bodies.truncate(1);
            }
        }
        members.pop().ok_or_else(|| Error::validation("UNION needs two queries", None))
    }

    fn values(&mut self, values: &Values) -> Result<Rel> {
        let mut rows = self.rows_of(values)?;
        let fields = columns_of_rows(&rows, values)?;
        for row in &mut rows {
            for (value, field) in row.iter_mut().zip(&fields) {
                *value = of_type(value.clone(), &field.data_type);
            }
        }
        Ok(Rel { node: RelNode::Values(LogicalValues { rows }), fields })
    }

    /// The rows of VALUES, which have equally many columns.
    fn rows_of(&mut self, values: &Values) -> Result<Vec<Vec<Expression>>> {
        let scope = Scope::empty().within(self.outer.clone());
        let mut analyzer = ExpressionAnalyzer::new(&scope, "VALUES").with_queries(self);
        let mut rows: Vec<Vec<Expression>> = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            let place = row.content.first().and_then(place_of);
            // VALUES ROW(1, 2): the row is the constructor's.
            let row = analyzer.all(&row.content)?;
            refuse_untyped_null(&row).map_err(|e| analyzer.placed(e, place))?;
            if rows.first().is_some_and(|first| first.len() != row.len()) {
                return Err(incompatible_rows(place));
            }
            rows.push(row);
        }
        Ok(rows)
    }
}

/// The columns that VALUES has, of types that the values of all rows have in common.
fn columns_of_rows(rows: &[Vec<Expression>], values: &Values) -> Result<Vec<RowField>> {
    let width = rows.first().map_or(0, Vec::len);
    let mut fields = Vec::with_capacity(width);
    for column in 0..width {
        let mut common: Option<LogicalType> = None;
        for (row, written) in rows.iter().zip(&values.rows) {
            let data_type = &row[column].data_type;
            let Some(with_it) = common_type(common.iter().chain([data_type])) else {
                return Err(incompatible_rows(written.content.get(column).and_then(place_of)));
            };
            common = Some(with_it);
        }
        let common = common.unwrap_or_else(|| TypeKind::Null.nullable());
        fields.push(RowField::new(format!("EXPR${column}"), common));
    }
    Ok(fields)
}

fn incompatible_rows(place: Option<Place>) -> Error {
    Error::validation("Values passed to VALUES operator must have compatible types", place)
}

fn too_many(message: String, name: &Ident) -> Error {
    let message = format!("{message} at '{}'. Write what one of them gives to a table, and read that.", name.value);
    Error::unsupported(message, place_of_name(name))
}

/// The value as one of this type, which includes its own.
fn of_type(value: Expression, data_type: &LogicalType) -> Expression {
    let mut value = cast_to(value, &data_type.kind);
    value.data_type.nullable = data_type.nullable;
    value
}

/// The columns under other names, if there are any.
pub(super) fn renamed(mut rel: Rel, names: &[Ident]) -> Result<Rel> {
    if names.is_empty() {
        return Ok(rel);
    }
    names.iter().try_for_each(reserved::refuse)?;
    if names.len() != rel.fields.len() {
        let message = "Number of columns must match number of query columns".to_owned();
        return Err(Error::validation(message, place_of_names(names)));
    }
    rel.fields.iter_mut().zip(names).for_each(|(field, name)| field.name = name.value.clone());
    Ok(rel)
}

fn union_all(members: Vec<Rel>, bodies: &[&SetExpr], operator: &str) -> Result<Rel> {
    let width = members.first().map_or(0, |first| first.fields.len());
    if let Some(odd) = members.iter().position(|member| member.fields.len() != width) {
        let place = bodies.get(odd).and_then(|body| place_of_columns(body));
        return Err(Error::validation(format!("Column count mismatch in {operator}"), place));
    }
    let mut fields = Vec::with_capacity(width);
    for column in 0..width {
        let Some(common) = common_type(members.iter().map(|member| &member.fields[column].data_type)) else {
            let place = bodies.first().and_then(|body| place_of_column(body, column));
            return Err(Error::validation(format!("Type mismatch in column {} of {operator}", column + 1), place));
        };
        fields.push(RowField::new(members[0].fields[column].name.clone(), common));
    }
    let mut inputs = Vec::with_capacity(members.len());
    for member in members {
        let columns = columns_of(&member).into_iter().zip(&fields).map(|((_, column), field)| {
            let same_kind = is_text(&column.data_type.kind) && is_text(&field.data_type.kind);
            let value = if same_kind && member_is_column(&column) {
                Expression { node: column.node, data_type: field.data_type.clone() }
            } else {
                of_type(column, &field.data_type)
            };
            (field.name.clone(), value)
        });
        let columns = columns.collect();
        match member.node {
            RelNode::Union(inner) if inner.inputs.iter().all(|rel| same_types(&rel.fields, &fields)) => {
                inputs.extend(inner.inputs);
            }
            _ => inputs.push(project(member, columns)),
        }
    }
    Ok(Rel { node: RelNode::Union(LogicalUnion { inputs }), fields })
}

fn same_types(left: &[RowField], right: &[RowField]) -> bool {
    left.iter().zip(right).all(|(l, r)| l.data_type == r.data_type)
}

/// A string column needs no cast to a wider string type: the values are the same.
fn member_is_column(column: &Expression) -> bool {
    matches!(column.node, Node::Input(_))
}
