//! Statements of Flink SQL. Queries and expressions are sqlparser's; what is Flink's own is here.
use sqlparser::ast::{Expr, Ident, ObjectName, Query};
use wiesel_expressions::types::LogicalType;

use crate::error::Location;

/// A statement with where it began.
#[derive(Clone, Debug)]
pub struct LocatedStatement {
    /// The statement.
    pub statement: Statement,
    /// Where its first token stands in the script.
    pub location: Location,
    /// Its text, without the semicolon.
    pub text: String,
}

/// A statement.
#[derive(Clone, Debug)]
pub enum Statement {
    /// `SELECT`, `VALUES`, `WITH`, set operations.
    Query(Box<Query>),
    /// `INSERT INTO`.
    Insert(Insert),
    /// `EXECUTE STATEMENT SET BEGIN … END`, also `BEGIN STATEMENT SET; … END` once complete.
    StatementSet(Vec<Insert>),
    /// `CREATE [TEMPORARY] TABLE`.
    CreateTable(CreateTable),
    /// `CREATE [TEMPORARY] VIEW`.
    CreateView(CreateView),
    /// `DROP [TEMPORARY] TABLE | VIEW`.
    Drop(Drop),
    /// `SHOW TABLES [FROM …] [[NOT] LIKE '…']` and its kin.
    Show(Show),
    /// `DESCRIBE [EXTENDED] table`.
    Describe(ObjectName),
    /// `DESCRIBE JOB 'id'`.
    DescribeJob(String),
    /// `STOP JOB 'id' [WITH SAVEPOINT] [WITH DRAIN]`.
    StopJob(StopJob),
    /// `SET 'key' = 'value'`; without both: show all, without a value: show one.
    Set(Option<(String, Option<String>)>),
    /// `RESET 'key'`; without a key: all.
    Reset(Option<String>),
    /// `EXPLAIN [PLAN FOR | ESTIMATED_COST, CHANGELOG_MODE, JSON_EXECUTION_PLAN] statement`.
    Explain {
        /// The details asked for, upper case.
        details: Vec<String>,
        /// What is explained.
        statement: Box<Statement>,
    },
    /// `USE database`, `USE CATALOG name`.
    Use {
        /// A catalog rather than a database.
        catalog: bool,
        /// Which.
        name: ObjectName,
    },
}

/// `STOP JOB`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopJob {
    /// The job's id as it was written.
    pub job: String,
    /// `WITH SAVEPOINT`; without it the job is cancelled.
    pub savepoint: bool,
    /// `WITH DRAIN`: event time is brought to its end before the savepoint.
    pub drain: bool,
}

/// `INSERT INTO table [PARTITION (…)] [(columns)] query`; `EXECUTE INSERT …` too.
#[derive(Clone, Debug)]
pub struct Insert {
    /// Into which table.
    pub table: ObjectName,
    /// Its columns, if named.
    pub columns: Vec<Ident>,
    /// `PARTITION (key = value, …)`.
    pub partition: Vec<(Ident, Expr)>,
    /// What is inserted.
    pub source: Box<Query>,
    /// `INSERT OVERWRITE`.
    pub overwrite: bool,
    /// `/*+ OPTIONS(…) */` after the table's name: options over the table's own.
    pub options: Vec<(String, String)>,
}

/// `CREATE TABLE`.
#[derive(Clone, Debug)]
pub struct CreateTable {
    /// Its name.
    pub name: ObjectName,
    /// Columns in order.
    pub columns: Vec<ColumnDefinition>,
    /// `WATERMARK FOR column AS expression`; the column may be a path into a row.
    pub watermark: Option<(Vec<Ident>, Expr)>,
    /// `PRIMARY KEY (…) NOT ENFORCED`, from the table or from a column.
    pub primary_key: Vec<Ident>,
    /// `PARTITIONED BY (…)`.
    pub partitioned_by: Vec<Ident>,
    /// `WITH ('key' = 'value', …)`, in order.
    pub options: Vec<(String, String)>,
    /// `COMMENT '…'`.
    pub comment: Option<String>,
    /// `LIKE source (…)`: the table and its options such as `INCLUDING ALL`, upper case.
    pub like: Option<(ObjectName, Vec<String>)>,
    /// `AS query`.
    pub query: Option<Box<Query>>,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// `TEMPORARY`.
    pub temporary: bool,
}

/// A column of `CREATE TABLE`.
#[derive(Clone, Debug)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: Ident,
    /// What it is.
    pub kind: ColumnKind,
    /// `COMMENT '…'`.
    pub comment: Option<String>,
}

/// The kinds of column.
#[derive(Clone, Debug)]
pub enum ColumnKind {
    /// `name TYPE`.
    Physical(LogicalType),
    /// `name AS expression`.
    Computed(Expr),
    /// `name TYPE METADATA [FROM 'key'] [VIRTUAL]`.
    Metadata {
        /// Its type.
        data_type: LogicalType,
        /// `FROM 'key'`.
        key: Option<String>,
        /// `VIRTUAL`.
        is_virtual: bool,
    },
}

/// `CREATE VIEW`.
#[derive(Clone, Debug)]
pub struct CreateView {
    /// Its name.
    pub name: ObjectName,
    /// Its columns, if renamed.
    pub columns: Vec<Ident>,
    /// What it shows.
    pub query: Box<Query>,
    /// `COMMENT '…'`.
    pub comment: Option<String>,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// `TEMPORARY`.
    pub temporary: bool,
}

/// `DROP`.
#[derive(Clone, Debug)]
pub struct Drop {
    /// A view rather than a table.
    pub view: bool,
    /// Which.
    pub name: ObjectName,
    /// `IF EXISTS`.
    pub if_exists: bool,
    /// `TEMPORARY`.
    pub temporary: bool,
}

/// What `SHOW` lists.
#[derive(Clone, Debug)]
pub enum Show {
    /// Tables and views.
    Tables(ShowFilter),
    /// Views.
    Views(ShowFilter),
    /// Columns of a table.
    Columns(ObjectName, ShowFilter),
    /// Catalogs.
    Catalogs(ShowFilter),
    /// Databases.
    Databases(ShowFilter),
    /// Functions.
    Functions(ShowFilter),
    /// Functions that users have made.
    UserFunctions(ShowFilter),
    /// The current catalog.
    CurrentCatalog,
    /// The current database.
    CurrentDatabase,
    /// Jobs of the cluster.
    Jobs,
    /// The statement that makes a table.
    CreateTable(ObjectName),
    /// The statement that makes a view.
    CreateView(ObjectName),
}

/// `[FROM | IN name] [[NOT] LIKE | ILIKE '…']`.
#[derive(Clone, Debug, Default)]
pub struct ShowFilter {
    /// Where to look.
    pub from: Option<ObjectName>,
    /// The pattern, with `%` and `_`.
    pub pattern: Option<String>,
    /// `NOT LIKE`.
    pub negated: bool,
    /// `ILIKE`.
    pub case_insensitive: bool,
}
