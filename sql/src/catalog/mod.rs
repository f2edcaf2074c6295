//! Tables and views by name.
//!
//! [`Catalog`] holds what a session created; `table` resolves `CREATE TABLE` into a [`ResolvedTable`], `like` takes parts of
//! another, `text` gives it back as SQL.
use std::collections::BTreeMap;
use std::fmt;

use wiesel_operators::expression::Expression;
use wiesel_operators::types::RowField;

pub use crate::analyzer::{CatalogObject, ResolvedView};

mod like;
mod table;
mod text;

pub(crate) use table::create_table;
pub(crate) use text::{show_create_table, show_create_view};

/// The catalog of a new session.
pub const DEFAULT_CATALOG: &str = "default_catalog";
/// Its database.
pub const DEFAULT_DATABASE: &str = "default_database";

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

impl ObjectIdentifier {
    /// Quoted as Flink's messages quote it: `` `catalog`.`database`.`object` ``.
    pub fn serializable(&self) -> String {
        format!("`{}`.`{}`.`{}`", self.catalog, self.database, self.object)
    }
}

/// `catalog.database.object`.
impl fmt::Display for ObjectIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.catalog, self.database, self.object)
    }
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
    /// The watermark as SQL text, for DESCRIBE.
    pub watermark_text: Option<String>,
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
    /// The computed column's expression as SQL text, for DESCRIBE.
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

/// The columns of a table or view with their types.
pub fn fields_of(object: &CatalogObject) -> Vec<RowField> {
    match object {
        CatalogObject::Table(table) => table.columns.iter().map(|column| column.field.clone()).collect(),
        CatalogObject::View(view) => view.columns.clone(),
    }
}

/// The tables and views of a session, kept in memory.
#[derive(Clone, Debug)]
pub struct Catalog {
    current_catalog: String,
    current_database: String,
    objects: BTreeMap<ObjectIdentifier, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    object: CatalogObject,
    temporary: bool,
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            current_catalog: DEFAULT_CATALOG.into(),
            current_database: DEFAULT_DATABASE.into(),
            objects: BTreeMap::new(),
        }
    }
}

impl Catalog {
    /// The catalog in use.
    pub fn current_catalog(&self) -> &str {
        &self.current_catalog
    }

    /// The database in use.
    pub fn current_database(&self) -> &str {
        &self.current_database
    }

    /// All catalogs.
    pub fn catalogs(&self) -> Vec<String> {
        vec![DEFAULT_CATALOG.into()]
    }

    /// The databases of a catalog; none: there is no such catalog.
    pub fn databases(&self, catalog: &str) -> Option<Vec<String>> {
        (catalog == DEFAULT_CATALOG).then(|| vec![DEFAULT_DATABASE.into()])
    }

    /// Uses a catalog; false: there is none of this name.
    pub fn use_catalog(&mut self, catalog: &str) -> bool {
        let known = self.databases(catalog).is_some();
        if known {
            self.current_catalog = catalog.to_owned();
            self.current_database = DEFAULT_DATABASE.to_owned();
        }
        known
    }

    /// Uses a database; false: there is none of this name.
    pub fn use_database(&mut self, catalog: &str, database: &str) -> bool {
        let known = self.databases(catalog).is_some_and(|all| all.iter().any(|name| name == database));
        if known {
            self.current_catalog = catalog.to_owned();
            self.current_database = database.to_owned();
        }
        known
    }

    /// The full name of `object`, `database.object` or `catalog.database.object`; none: not one to three parts.
    pub fn qualify(&self, name: &[String]) -> Option<ObjectIdentifier> {
        let (catalog, database, object) = match name {
            [object] => (&self.current_catalog, &self.current_database, object),
            [database, object] => (&self.current_catalog, database, object),
            [catalog, database, object] => (catalog, database, object),
            _ => return None,
        };
        Some(ObjectIdentifier { catalog: catalog.clone(), database: database.clone(), object: object.clone() })
    }

    /// What a name stands for.
    pub fn lookup(&self, name: &[String]) -> Option<CatalogObject> {
        self.get(&self.qualify(name)?)
    }

    /// What a full name stands for.
    pub fn get(&self, identifier: &ObjectIdentifier) -> Option<CatalogObject> {
        self.objects.get(identifier).map(|entry| entry.object.clone())
    }

    /// The objects of the current database, in order of their names.
    pub fn object_names(&self) -> Vec<String> {
        self.list(&self.current_catalog, &self.current_database).into_iter().map(|(name, _)| name).collect()
    }

    /// The objects of a database, in order of their names.
    pub fn list(&self, catalog: &str, database: &str) -> Vec<(String, CatalogObject)> {
        let of_database = |id: &&ObjectIdentifier| id.catalog == catalog && id.database == database;
        let matching = self.objects.iter().filter(|(id, _)| of_database(id));
        matching.map(|(id, entry)| (id.object.clone(), entry.object.clone())).collect()
    }

    /// Whether an object was made with `TEMPORARY`.
    pub fn is_temporary(&self, identifier: &ObjectIdentifier) -> bool {
        self.objects.get(identifier).is_some_and(|entry| entry.temporary)
    }

    /// Adds or replaces an object; whether there may be one already is the caller's concern.
    pub fn insert(&mut self, identifier: ObjectIdentifier, object: CatalogObject, temporary: bool) {
        self.objects.insert(identifier, Entry { object, temporary });
    }

    /// Takes an object away.
    pub fn remove(&mut self, identifier: &ObjectIdentifier) -> Option<CatalogObject> {
        self.objects.remove(identifier).map(|entry| entry.object)
    }
}

impl crate::analyzer::CatalogReader for Catalog {
    fn resolve(&self, path: &[String]) -> Option<CatalogObject> {
        self.lookup(path)
    }

    fn names(&self) -> Vec<String> {
        self.object_names()
    }
}
