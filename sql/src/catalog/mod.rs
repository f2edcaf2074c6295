//! Tables and views by name.
//!
//! [`Catalog`] holds what a session created; `table` resolves `CREATE TABLE` into a [`ResolvedTable`] with its `columns`, `like`
//! takes parts of another, `text` gives it back as SQL.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wiesel_expressions::types::RowField;

use crate::rex::Expression;

pub use crate::analyzer::{CatalogObject, ResolvedView};

mod columns;
mod like;
mod table;
mod text;

pub(crate) use table::create_table;
pub(crate) use text::{metadata_text, show_create_table, show_create_view};

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
        [&self.catalog, &self.database, &self.object].map(|name| text::quote(name)).join(".")
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
    /// The metadata columns: what the connector tells, or is told, beside them.
    pub metadata: Vec<MetadataColumn>,
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

impl ResolvedTable {
    /// What the connector gives: the physical columns, then the metadata columns. Computed columns are expressions over these.
    pub fn given(&self) -> Vec<RowField> {
        let metadata = self.metadata.iter().map(|column| &column.field);
        self.physical.iter().chain(metadata).cloned().collect()
    }

    /// What an INSERT writes, as a query gives it: all but computed columns and virtual metadata, in the order of their declaration.
    /// Each with its position among [`ResolvedTable::given`].
    pub fn persisted(&self) -> Vec<(usize, &RowField)> {
        let written = |column: &ResolvedColumn| match column.kind {
            ResolvedColumnKind::Physical(index) => Some((index, &self.physical[index])),
            ResolvedColumnKind::Metadata(index) => {
                let metadata = &self.metadata[index];
                (!metadata.is_virtual).then_some((self.physical.len() + index, &metadata.field))
            }
            ResolvedColumnKind::Computed(_) => None,
        };
        self.columns.iter().filter_map(written).collect()
    }
}

/// A metadata column.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataColumn {
    /// Name and type, as they are declared.
    pub field: RowField,
    /// `FROM 'key'`.
    pub from: Option<String>,
    /// `VIRTUAL`: read, never written.
    pub is_virtual: bool,
}

impl MetadataColumn {
    /// What the connector calls it.
    pub fn key(&self) -> &str {
        self.from.as_deref().unwrap_or(&self.field.name)
    }
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
    /// The connector, which is asked for it by its key: an index into `metadata`.
    Metadata(usize),
    /// An expression over what the connector gives: [`ResolvedTable::given`].
    Computed(Expression),
}

/// The columns of a table or view with their types.
pub fn fields_of(object: &CatalogObject) -> Vec<RowField> {
    match object {
        CatalogObject::Table(table) => table.columns.iter().map(|column| column.field.clone()).collect(),
        CatalogObject::View(view) => view.columns.clone(),
    }
}

type Objects = BTreeMap<ObjectIdentifier, CatalogObject>;

/// The tables and views of a session, kept in memory. A name may have two: the temporary one hides the permanent one.
#[derive(Clone, Debug)]
pub struct Catalog {
    current_catalog: String,
    current_database: String,
    permanent: Objects,
    temporary: Objects,
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            current_catalog: DEFAULT_CATALOG.into(),
            current_database: DEFAULT_DATABASE.into(),
            permanent: Objects::new(),
            temporary: Objects::new(),
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
        self.get_among(true, identifier).or_else(|| self.get_among(false, identifier)).cloned()
    }

    /// The temporary object of a full name, or the permanent one.
    pub fn get_among(&self, temporary: bool, identifier: &ObjectIdentifier) -> Option<&CatalogObject> {
        if temporary { self.temporary.get(identifier) } else { self.permanent.get(identifier) }
    }

    /// The objects of the current database, in order of their names.
    pub fn object_names(&self) -> Vec<String> {
        self.list(&self.current_catalog, &self.current_database).into_iter().map(|(name, _)| name).collect()
    }

    /// What the names of a database stand for, in order of the names.
    pub fn list(&self, catalog: &str, database: &str) -> Vec<(String, CatalogObject)> {
        let mut visible: BTreeMap<&str, &CatalogObject> = of_database(&self.permanent, catalog, database).collect();
        visible.extend(of_database(&self.temporary, catalog, database));
        visible.into_iter().map(|(name, object)| (name.to_owned(), object.clone())).collect()
    }

    /// The names of a database's objects of a kind, hidden ones too, each once and in order.
    pub fn names_of(&self, catalog: &str, database: &str, wanted: fn(&CatalogObject) -> bool) -> Vec<String> {
        let all = [&self.permanent, &self.temporary].into_iter();
        let all = all.flat_map(|objects| of_database(objects, catalog, database));
        let names: BTreeSet<&str> = all.filter(|(_, object)| wanted(object)).map(|(name, _)| name).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// Whether a name stands for an object that was made with `TEMPORARY`.
    pub fn is_temporary(&self, identifier: &ObjectIdentifier) -> bool {
        self.temporary.contains_key(identifier)
    }

    /// Adds or replaces an object; whether there may be one already is the caller's concern.
    pub fn insert(&mut self, identifier: ObjectIdentifier, object: CatalogObject, temporary: bool) {
        let objects = if temporary { &mut self.temporary } else { &mut self.permanent };
        objects.insert(identifier, object);
    }

    /// Takes the temporary object of a name away, or the permanent one.
    pub fn remove(&mut self, temporary: bool, identifier: &ObjectIdentifier) -> Option<CatalogObject> {
        if temporary { self.temporary.remove(identifier) } else { self.permanent.remove(identifier) }
    }
}

/// The objects of a database with their names in it.
fn of_database<'a>(
    objects: &'a Objects,
    catalog: &str,
    database: &str,
) -> impl Iterator<Item = (&'a str, &'a CatalogObject)> {
    let within = objects.iter().filter(move |(id, _)| id.catalog == catalog && id.database == database);
    within.map(|(id, object)| (id.object.as_str(), object))
}

impl crate::analyzer::CatalogReader for Catalog {
    fn resolve(&self, path: &[String]) -> Option<CatalogObject> {
        self.lookup(path)
    }

    fn names(&self) -> Vec<String> {
        self.object_names()
    }
}
