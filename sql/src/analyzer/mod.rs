//! From parsed queries to relational algebra: every name resolved, every expression typed as Flink types it.
//!
//! Invariant: what leaves here needs no catalog and no text any more; an error names the place in the script.
use std::sync::Arc;

use sqlparser::ast::Query;
use wiesel_operators::types::RowField;

use crate::catalog::{ObjectIdentifier, ResolvedTable};

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
    /// Its columns as they were when it was created: their names replace the query's.
    pub columns: Vec<RowField>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// Its query as SQL text, for `SHOW CREATE VIEW`.
    pub text: String,
}
