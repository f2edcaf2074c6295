//! Tables and views by name.
use std::collections::BTreeMap;

use wiesel_operators::expression::Expression;
use wiesel_operators::types::RowField;

/// "catalog.database.table".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectIdentifier {
    /// `default_catalog` unless another is in use.
    pub catalog: String,
    /// `default_database` unless another is in use.
    pub database: String,
    /// The table or view.
    pub object: String,
}

/// A table whose columns, types and expressions are settled.
#[derive(Clone, Debug)]
pub struct ResolvedTable {
    /// Its name.
    pub identifier: ObjectIdentifier,
    /// All columns in the order of their declaration: what `SELECT *` and `DESCRIBE` show. Time attributes are marked.
    pub columns: Vec<ResolvedColumn>,
    /// The physical columns: what the connector reads and writes.
    pub physical: Vec<RowField>,
    /// The rowtime column (an index into `columns`) and the watermark over `columns`.
    pub watermark: Option<(usize, Expression)>,
    /// Indexes into `columns`.
    pub primary_key: Vec<usize>,
    /// Names of partition columns.
    pub partition_keys: Vec<String>,
    /// `WITH`.
    pub options: BTreeMap<String, String>,
    /// `COMMENT`.
    pub comment: Option<String>,
}

/// A column of a resolved table.
#[derive(Clone, Debug)]
pub struct ResolvedColumn {
    /// Name and type.
    pub field: RowField,
    /// Where its value comes from.
    pub kind: ResolvedColumnKind,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// The computed column's expression, or the watermark, as SQL text for DESCRIBE.
    pub text: Option<String>,
}

/// Where a column's value comes from.
#[derive(Clone, Debug)]
pub enum ResolvedColumnKind {
    /// The connector: an index into `physical`.
    Physical(usize),
    /// An expression over the physical columns (indexes into `physical`).
    Computed(Expression),
}
