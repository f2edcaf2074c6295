//! The columns that names in a SELECT can mean: those of its FROM, and where there is none of a name, those of the queries around
//! it, the nearest first.
use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use sqlparser::ast::Ident;
use wiesel_common::quote::quote;
use wiesel_expressions::types::RowField;

use super::places::{place_of_name, place_of_names};
use super::suggestion;
use super::view_text::Names;
use crate::error::{Error, Place, Result};
use crate::functions::literal::int;
use crate::rex::{Expression, Node};

/// A relation of a FROM clause.
struct ScopeTable {
    /// The alias, or catalog, database and name of the table; empty if it has none.
    path: Vec<String>,
    fields: Vec<RowField>,
    /// Where the columns of each name are, once one is looked for: a query within others may name each of many columns in each of
    /// many scopes.
    places: OnceCell<HashMap<String, Vec<usize>>>,
    /// Where its columns begin in the row.
    offset: usize,
}

/// The relations of a FROM clause side by side, within the scope of the query around it. A copy costs nothing.
#[derive(Clone)]
pub(super) struct Scope {
    tables: Rc<[ScopeTable]>,
    /// What the names mean that mean nothing here: of a query within an expression the scope of the query that has the expression,
    /// of a lateral one the relations before it.
    outer: Option<Rc<Scope>>,
}

impl Scope {
    /// No columns at all.
    pub(super) fn empty() -> Self {
        Self { tables: Rc::from([]), outer: None }
    }

    /// The columns of one relation.
    pub(super) fn of_table(path: Option<Vec<String>>, fields: Vec<RowField>) -> Self {
        let table = ScopeTable { path: path.unwrap_or_default(), fields, places: OnceCell::new(), offset: 0 };
        Self { tables: Rc::from([table]), outer: None }
    }

    /// The same within another scope.
    pub(super) fn within(self, outer: Option<Rc<Self>>) -> Self {
        Self { outer, ..self }
    }

    /// All columns in order, for `*`.
    pub(super) fn columns(&self) -> Result<Vec<(String, Expression)>> {
        let mut columns = Vec::new();
        for table in self.tables.iter() {
            columns.extend(table.columns()?);
        }
        Ok(columns)
    }

    /// What the relation of a SELECT is called, and its columns.
    pub(super) fn names(&self) -> Names {
        let Some(table) = self.tables.first() else { return Names::default() };
        let columns = table.fields.iter().map(|field| field.name.clone()).collect();
        Names { path: table.path.clone(), columns }
    }

    /// Whether there is a column of this name.
    pub(super) fn has(&self, column: &str) -> bool {
        self.chain().any(|scope| scope.tables.iter().any(|table| !table.matches(column).is_empty()))
    }

    /// How many scopes there are, from this one outwards.
    pub(super) fn depth(&self) -> usize {
        self.chain().count()
    }

    /// This scope, then those around it.
    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |scope| scope.outer.as_deref())
    }

    /// What a name of one or more parts means: a column, or a field within one. If it means nothing in any scope, the innermost
    /// one says so.
    pub(super) fn resolve(&self, parts: &[Ident]) -> Result<Expression> {
        for (level, scope) in self.chain().enumerate() {
            if let Some(found) = scope.look_up(parts)? {
                return Ok(if level == 0 { found } else { seen_from(&found, level) });
            }
        }
        Err(self.unknown(parts))
    }

    /// What a name means in this scope alone; none: nothing.
    fn look_up(&self, parts: &[Ident]) -> Result<Option<Expression>> {
        let place = parts.first().and_then(place_of_name);
        let names: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
        for length in (1..names.len()).rev() {
            let Some(table) = self.table(&names[..length]) else { continue };
            let column = names[length];
            let at = parts.get(length).and_then(place_of_name).or(place);
            let found = match table.matches(column) {
                [] => {
                    let near = suggestion(column, table.fields.iter().map(|field| field.name.as_str()));
                    let message = format!(
                        "Column '{}' not found in table '{}'{near}",
                        quote(column),
                        quote(&names[..length].join("."))
                    );
                    return Err(Error::validation(message, at));
                }
                [index] => table.column(*index),
                _ => return Err(Error::validation(format!("Column '{}' is ambiguous", quote(column)), at)),
            };
            return self.fields_within(found, &parts[length + 1..], &parts[..=length]).map(Some);
        }
        let column = names[0];
        let found: Vec<Expression> = self
            .tables
            .iter()
            .flat_map(|table| table.matches(column).iter().map(|index| table.column(*index)))
            .collect();
        match (found.as_slice(), names.len()) {
            ([one], length) if length == 1 || one.data_type.kind.fields().is_some() => {
                self.fields_within(one.clone(), &parts[1..], &parts[..1]).map(Some)
            }
            ([] | [_], _) => Ok(None),
            _ => Err(Error::validation(format!("Column '{}' is ambiguous", quote(column)), place)),
        }
    }

    /// The error for a name that means nothing here: for its first part, as a column or as a table.
    fn unknown(&self, parts: &[Ident]) -> Error {
        match parts {
            [column] => {
                let all = self.tables.iter().flat_map(|table| table.fields.iter().map(|field| field.name.as_str()));
                let near = suggestion(&column.value, all);
                let message = format!("Column '{}' not found in any table{near}", quote(&column.value));
                Error::validation(message, place_of_name(column))
            }
            parts => {
                let qualifier = &parts[..parts.len().saturating_sub(1)];
                let name = qualifier.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
                let known = self.tables.iter().filter_map(|table| table.path.last().map(String::as_str));
                let message = format!("Table '{}' not found{}", quote(&name), suggestion(&name, known));
                Error::validation(message, place_of_names(qualifier))
            }
        }
    }

    /// `qualifier.*`: the columns of a relation, or the fields of a ROW.
    pub(super) fn star(&self, parts: &[Ident]) -> Result<Vec<(String, Expression)>> {
        let names: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
        if let Some(table) = self.table(&names) {
            return table.columns();
        }
        let place = place_of_names(parts);
        let unknown = || {
            let known = self.tables.iter().filter_map(|table| table.path.last().map(String::as_str));
            let name = names.join(".");
            let near = suggestion(&name, known);
            Error::validation(format!("Unknown identifier '{}'{near}", quote(&name)), place)
        };
        let row = self.resolve(parts).map_err(|_| unknown())?;
        let Some(fields) = row.data_type.kind.fields() else { return Err(unknown()) };
        Ok(fields.iter().enumerate().map(|(i, field)| (field.name.clone(), field_of(row.clone(), i, field))).collect())
    }

    fn table(&self, qualifier: &[&str]) -> Option<&ScopeTable> {
        self.tables.iter().find(|table| {
            !table.path.is_empty()
                && qualifier.len() <= table.path.len()
                && table.path[table.path.len() - qualifier.len()..].iter().zip(qualifier).all(|(a, b)| a == b)
        })
    }

    /// The fields of a ROW that the remaining parts name, one within the other.
    fn fields_within(&self, column: Expression, rest: &[Ident], before: &[Ident]) -> Result<Expression> {
        let mut value = column;
        let column_place = before.last().and_then(place_of_name);
        let mut path: Vec<&str> = before.last().map(|part| part.value.as_str()).into_iter().collect();
        for part in rest {
            path.push(&part.value);
            let near = value.data_type.kind.fields().map_or_else(String::new, |fields| {
                suggestion(&part.value, fields.iter().map(|field| field.name.as_str()))
            });
            value = field_by_name(value, &part.value, place_of_name(part)).map_err(|e| {
                let table = self.tables.first().and_then(|table| table.path.last());
                match table {
                    Some(table) => {
                        let message = format!("Column '{}' not found in table '{table}'{near}", quote(&path.join(".")));
                        Error::validation(message, Place::between(column_place, place_of_name(part)))
                    }
                    None => e,
                }
            })?;
        }
        Ok(value)
    }
}

impl ScopeTable {
    /// Where the columns of this name are.
    fn matches(&self, column: &str) -> &[usize] {
        let places = self.places.get_or_init(|| {
            let mut places: HashMap<String, Vec<usize>> = HashMap::with_capacity(self.fields.len());
            for (index, field) in self.fields.iter().enumerate() {
                places.entry(field.name.clone()).or_default().push(index);
            }
            places
        });
        places.get(column).map_or(&[], Vec::as_slice)
    }

    fn column(&self, index: usize) -> Expression {
        Expression::input(self.offset + index, self.fields[index].data_type.clone())
    }

    /// All columns; two of one name cannot be told apart.
    fn columns(&self) -> Result<Vec<(String, Expression)>> {
        let mut names = HashMap::new();
        self.fields.iter().for_each(|field| *names.entry(field.name.as_str()).or_insert(0) += 1);
        if let Some(field) = self.fields.iter().find(|field| names[field.name.as_str()] > 1) {
            return Err(Error::validation(format!("Column '{}' is ambiguous", field.name), None));
        }
        Ok(self.fields.iter().enumerate().map(|(i, field)| (field.name.clone(), self.column(i))).collect())
    }
}

/// What was found so many scopes further out.
fn seen_from(found: &Expression, level: usize) -> Expression {
    match found.node {
        Node::Input(index) => {
            Expression { node: Node::Correlated { level, index }, data_type: found.data_type.clone() }
        }
        Node::Literal(_)
        | Node::Call { .. }
        | Node::Aggregate(_)
        | Node::Correlated { .. }
        | Node::Over(_)
        | Node::Subquery(_) => found.map_operands(&mut |operand| seen_from(operand, level)),
    }
}

fn field_of(row: Expression, index: usize, field: &RowField) -> Expression {
    let nullable = row.data_type.nullable || field.data_type.nullable;
    let data_type = field.data_type.with_nullable(nullable);
    Expression::call("FIELD", vec![row, int(index as i32)], data_type)
}

/// The field of a ROW by name.
pub(super) fn field_by_name(row: Expression, name: &str, place: Option<Place>) -> Result<Expression> {
    let Some(fields) = row.data_type.kind.fields() else {
        let message = format!("'{}' is no field of a value of type {}", quote(name), row.data_type.kind);
        return Err(Error::validation(message, place));
    };
    match fields.iter().position(|field| field.name == name) {
        Some(index) => {
            let field = fields[index].clone();
            Ok(field_of(row, index, &field))
        }
        None => {
            let near = suggestion(name, fields.iter().map(|field| field.name.as_str()));
            Err(Error::validation(format!("Field '{}' not found in {}{near}", quote(name), row.data_type.kind), place))
        }
    }
}
