//! `HELP`.

/// What the client can be told, for a terminal of 80 columns.
pub(super) const HELP: &str = "\
Statements end with `;` and may span lines. Tab completes words, functions,
names of tables and columns, and keys and values of SET. Up and Down bring back
earlier statements.

HELP                      this text
QUIT                      leave; also EXIT, \\q and Ctrl-D
CLEAR                     clear the screen
Ctrl-C                    cancel the running query, or the line being typed

SET                       show the session's configuration
SET 'key' = 'value'       change it
RESET 'key'               undo that; RESET alone undoes all of it

CREATE TABLE, DROP TABLE  define a table over a connector, or forget it
CREATE VIEW, DROP VIEW    name a query, or forget it
DESCRIBE name             show the columns of a table or view
SHOW TABLES               also VIEWS, COLUMNS FROM t, FUNCTIONS, CATALOGS,
                          DATABASES, CURRENT CATALOG, CURRENT DATABASE,
                          CREATE TABLE t, CREATE VIEW v
USE name                  choose a database; USE CATALOG a catalog

SELECT, WITH, VALUES      run a query and show its rows
INSERT INTO t SELECT ...  run a job that writes a query's rows to a table
BEGIN STATEMENT SET;      several INSERTs as one job: each ends with `;`,
                          and END; runs them
EXPLAIN                   show the plan of a query, an INSERT or a statement set

SHOW JOBS                 list the jobs of the cluster
DESCRIBE JOB 'id'         show one of them
STOP JOB 'id'             cancel it; WITH SAVEPOINT keeps its state

In a result Up and Down, PgUp and PgDn, Home and End go from row to row, Left
and Right from column to column. Enter shows a row with its whole values,
Q leaves; a query that still runs is cancelled then.

After an error the prompt goes on. A script, of -f or of standard input, ends
there with status 1.

'sql-client.execution.result-mode'  table, changelog or tableau
'table.display.max-column-width'    characters that a column of texts shows; on
                                    the whole screen more where there is room
'table.dml-sync'                    true: INSERT waits for the job's end";

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed before: two lines were longer, and half of the statements were not there.
    #[test]
    fn help_is_complete_and_fits_on_80_columns() {
        assert!(HELP.lines().all(|line| line.chars().count() <= 80), "{HELP}");
        for word in [
            "HELP",
            "QUIT",
            "CLEAR",
            "SET",
            "RESET",
            "CREATE TABLE",
            "CREATE VIEW",
            "DROP",
            "DESCRIBE",
            "SHOW TABLES",
            "VIEWS",
            "COLUMNS",
            "FUNCTIONS",
            "USE",
            "SELECT",
            "INSERT INTO",
            "BEGIN STATEMENT SET",
            "END;",
            "EXPLAIN",
            "SHOW JOBS",
            "DESCRIBE JOB",
            "STOP JOB",
            "WITH SAVEPOINT",
            "\\q",
            "Enter",
            // Before, nothing said what becomes of a script.
            "A script, of -f or of standard input, ends\nthere with status 1",
        ] {
            assert!(HELP.contains(word), "{word}");
        }
    }
}
