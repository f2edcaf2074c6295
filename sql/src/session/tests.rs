//! Sessions over whole statements. The plans of `tests/plans/*.sql` stand beside them in `*.plan`; run the tests with
//! `UPDATE_PLANS=1` to write them anew, and read the difference.
use std::fmt::Write;
use std::path::PathBuf;

use proptest::prelude::*;
use wiesel_proto as proto;

use super::*;
use crate::planner::tests::check_graph;

mod deep;
mod limits;
mod metadata;
mod places;
mod structured;
mod uids;
mod views;
mod windows;
mod written;

fn session() -> Session {
    let pairs = [("parallelism.default", "2"), ("table.local-time-zone", "UTC")];
    Session::new(pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

fn run(session: &mut Session, script: &str) -> Result<Outcome> {
    let mut last = Outcome::Done;
    for statement in session.parse(script)? {
        last = session.execute(&statement, &ExecuteOptions::default())?;
    }
    Ok(last)
}

fn rows(outcome: Outcome) -> Vec<Vec<String>> {
    let Outcome::Rows { fields, rows } = outcome else { panic!("{outcome:?}") };
    let text = |value: Option<String>| value.unwrap_or_else(|| "<NULL>".into());
    rows.into_iter()
        .map(|row| {
            assert_eq!(row.len(), fields.len());
            row.into_iter().map(text).collect()
        })
        .collect()
}

fn fails(session: &mut Session, script: &str) -> String {
    match run(session, script) {
        Ok(outcome) => panic!("{script}: {outcome:?}"),
        Err(error) => error.message().to_owned(),
    }
}

fn graph_text(graph: &proto::JobGraph) -> String {
    let mut text = String::new();
    for (index, vertex) in graph.vertices.iter().enumerate() {
        writeln!(text, "{index}: {} x{}", vertex.name, vertex.parallelism).unwrap();
        for edge in graph.edges.iter().filter(|edge| edge.target as usize == index) {
            let changelog = if edge.changelog { ", changelog" } else { "" };
            writeln!(text, "   from {}: {}{:?}{changelog}", edge.source, edge.partitioner().as_str_name(), edge.keys)
                .unwrap();
        }
    }
    text
}

/// The plans of all queries and INSERTs of a script.
fn plans(script: &str) -> String {
    let mut session = session();
    let mut text = String::new();
    for statement in session.parse(script).unwrap() {
        match &statement.statement {
            Statement::Query(_) | Statement::Insert(_) | Statement::StatementSet(_) => {}
            _ => {
                session.execute(&statement, &ExecuteOptions::default()).unwrap();
                continue;
            }
        }
        let explained = session.explain(&["CHANGELOG_MODE".into()], &statement.statement).unwrap();
        let graph = match session.execute(&statement, &ExecuteOptions::default()).unwrap() {
            Outcome::Query(job) => {
                assert!(!job.fields.is_empty());
                job.graph
            }
            Outcome::Insert(job) => job.graph,
            other => panic!("{other:?}"),
        };
        check_graph(&graph);
        let as_strings =
            session.execute(&statement, &ExecuteOptions { as_strings: true, ..Default::default() }).unwrap();
        if let Outcome::Query(job) = as_strings {
            check_graph(&job.graph);
            assert!(
                job.collected.iter().all(|field| field.data_type.kind == wiesel_expressions::types::TypeKind::string())
            );
        }
        let explained = &rows(explained)[0][0];
        let physical = &explained[explained.find("== Optimized Physical Plan ==").unwrap()..];
        writeln!(text, "{}\n\n{physical}\n== Job Graph ==\n{}", statement.text.trim(), graph_text(&graph)).unwrap();
    }
    text
}

fn golden(name: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let script = std::fs::read_to_string(folder.join(format!("{name}.sql"))).unwrap();
    let path = folder.join(format!("{name}.plan"));
    let found = plans(&script);
    if std::env::var_os("UPDATE_PLANS").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    for (line, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "{}:{}", path.display(), line + 1);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn plans_of_flights() {
    golden("flights");
}

#[test]
fn plans_of_nexmark() {
    golden("nexmark");
}

#[test]
fn plans_of_other_statements() {
    golden("statements");
}

const TABLES: &str = "
CREATE TABLE t1 (dep TIMESTAMP(3), carrier STRING, flight INT, WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE)
  WITH ('connector' = 'datagen', 'number-of-rows' = '10');
CREATE TABLE t2 (a INT NOT NULL, b AS a + 1, c TIMESTAMP(3) COMMENT 'cc', p AS PROCTIME(), s VARCHAR(3), d DECIMAL(10,2),
  r ROW<x INT, y STRING>, PRIMARY KEY (a) NOT ENFORCED, WATERMARK FOR c AS c - INTERVAL '5' SECOND)
  COMMENT 'tt' PARTITIONED BY (s) WITH ('connector' = 'print');
CREATE TABLE t3 (a INT PRIMARY KEY NOT ENFORCED, c TIMESTAMP_LTZ(3)) WITH ('connector' = 'print');
CREATE VIEW v1 AS SELECT carrier, COUNT(*) AS n FROM t1 GROUP BY carrier;
CREATE TEMPORARY VIEW v2 (x) AS SELECT dep FROM t1;
";

#[test]
fn tables_are_described_as_flink_describes_them() {
    let mut session = session();
    run(&mut session, TABLES).unwrap();
    let described = rows(run(&mut session, "DESCRIBE t2").unwrap());
    let lines: Vec<String> = described.iter().map(|row| row.join("|")).collect();
    assert_eq!(
        lines,
        [
            "a|INT|FALSE|PRI(a)|||",
            "b|INT|FALSE||AS `a` + 1||",
            "c|TIMESTAMP(3) *ROWTIME*|TRUE|||`c` - INTERVAL '5' SECOND|cc",
            "p|TIMESTAMP_LTZ(3) *PROCTIME*|FALSE||AS PROCTIME()||",
            "s|VARCHAR(3)|TRUE||||",
            "d|DECIMAL(10, 2)|TRUE||||",
            "r|ROW<`x` INT, `y` STRING>|TRUE||||",
        ]
    );
    let described = rows(run(&mut session, "DESCRIBE t3").unwrap());
    assert_eq!(described[0].join("|"), "a|INT|FALSE|PRI(a)||");
    assert_eq!(rows(run(&mut session, "DESCRIBE v2").unwrap())[0][..2], ["x", "TIMESTAMP(3) *ROWTIME*"]);
    let key =
        "CREATE TABLE t4 (a INT, b AS a + 1, PRIMARY KEY (a) NOT ENFORCED) WITH ('connector' = 'print'); DESCRIBE t4";
    let described = rows(run(&mut session, key).unwrap());
    assert_eq!(described[1].join("|"), "b|INT|FALSE||AS `a` + 1|", "computed of a column that is never null");
    assert_eq!(rows(run(&mut session, "SHOW COLUMNS FROM t2 LIKE 'c%'").unwrap()).len(), 1);
    assert_eq!(
        fails(&mut session, "DESCRIBE nope"),
        "Tables or views with the identifier 'default_catalog.default_database.nope' doesn't exist."
    );
}

#[test]
fn tables_are_shown_as_statements() {
    let mut session = session();
    run(&mut session, TABLES).unwrap();
    let shown = rows(run(&mut session, "SHOW CREATE TABLE t2").unwrap());
    assert_eq!(
        shown[0][0],
        "CREATE TABLE `default_catalog`.`default_database`.`t2` (
  `a` INT NOT NULL,
  `b` AS `a` + 1,
  `c` TIMESTAMP(3) COMMENT 'cc',
  `p` AS PROCTIME(),
  `s` VARCHAR(3),
  `d` DECIMAL(10, 2),
  `r` ROW<`x` INT, `y` VARCHAR(2147483647)>,
  WATERMARK FOR `c` AS `c` - INTERVAL '5' SECOND,
  CONSTRAINT `PK_a` PRIMARY KEY (`a`) NOT ENFORCED
)
COMMENT 'tt'
PARTITIONED BY (`s`)
WITH (
  'connector' = 'print'
)
"
    );
    let text = shown[0][0].replace("`t2`", "`t4`");
    run(&mut session, &text).unwrap();
    let again = rows(run(&mut session, "SHOW CREATE TABLE t4").unwrap());
    assert_eq!(again[0][0], text);
    assert!(fails(&mut session, "SHOW CREATE TABLE v1").contains("Please use SHOW CREATE VIEW instead."));
}

#[test]
fn names_are_listed() {
    let mut session = session();
    run(&mut session, TABLES).unwrap();
    let names = |session: &mut Session, script: &str| -> Vec<String> {
        rows(run(session, script).unwrap()).into_iter().map(|mut row| row.remove(0)).collect()
    };
    assert_eq!(names(&mut session, "SHOW TABLES"), ["t1", "t2", "t3", "v1", "v2"]);
    assert_eq!(names(&mut session, "SHOW TABLES LIKE 't_'"), ["t1", "t2", "t3"]);
    assert_eq!(names(&mut session, "SHOW TABLES NOT LIKE 't%'"), ["v1", "v2"]);
    assert_eq!(names(&mut session, "SHOW VIEWS"), ["v1", "v2"]);
    assert_eq!(names(&mut session, "SHOW TABLES LIKE 'T_'"), [""; 0]);
    // Before, the names were in small letters: capitals found none.
    for pattern in ["TO_TIMESTAMP%", "to_timestamp%"] {
        let like = format!("SHOW FUNCTIONS LIKE '{pattern}'");
        assert_eq!(names(&mut session, &like), ["TO_TIMESTAMP", "TO_TIMESTAMP_LTZ"]);
    }
    // Before, USER was passed over, wherever it stood.
    assert_eq!(names(&mut session, "SHOW USER FUNCTIONS"), [""; 0]);
    assert_eq!(names(&mut session, "SHOW USER FUNCTIONS LIKE 'to_%'"), [""; 0]);
    assert!(fails(&mut session, "SHOW USER TABLES").contains("Encountered \"USER\" at line 1, column 6."));
    assert_eq!(names(&mut session, "SHOW CATALOGS"), ["default_catalog"]);
    assert_eq!(names(&mut session, "SHOW CURRENT DATABASE"), ["default_database"]);
    assert_eq!(fails(&mut session, "SHOW TABLES FROM nope"), "Database 'default_catalog'.'nope' doesn't exist.");
    assert_eq!(
        fails(&mut session, "USE nope"),
        "A database with name [nope] does not exist in the catalog: [default_catalog]."
    );
}

#[test]
fn objects_are_dropped() {
    let mut session = session();
    run(&mut session, TABLES).unwrap();
    assert_eq!(
        fails(&mut session, "DROP TABLE nope"),
        "Table with identifier 'default_catalog.default_database.nope' does not exist."
    );
    assert_eq!(
        fails(&mut session, "DROP VIEW t1"),
        "View with identifier 'default_catalog.default_database.t1' does not exist."
    );
    assert!(fails(&mut session, "DROP VIEW v2").starts_with("Temporary view with identifier"));
    run(&mut session, "DROP TABLE IF EXISTS nope; DROP TEMPORARY VIEW v2; DROP TABLE t3; DROP VIEW v1").unwrap();
    assert_eq!(session.catalog().object_names(), ["t1", "t2"]);
}

/// The first column of what a statement shows.
fn first(session: &mut Session, statement: &str) -> Vec<String> {
    rows(run(session, statement).unwrap()).into_iter().map(|mut row| row.remove(0)).collect()
}

/// Failed before: a name was taken, whichever of the two had it.
#[test]
fn a_temporary_object_hides_the_permanent_one_of_its_name() {
    for both in [["", "TEMPORARY "], ["TEMPORARY ", ""]] {
        let mut session = session();
        for kind in both {
            let column = if kind.is_empty() { "permanent" } else { "of_session" };
            let create =
                |exists: &str| format!("CREATE {kind}TABLE {exists}t ({column} INT) WITH ('connector' = 'print')");
            run(&mut session, &create("")).unwrap();
            let refused = fails(&mut session, &create(""));
            assert!(
                refused.ends_with("already exists") || refused.ends_with("already exists in Catalog default_catalog.")
            );
            run(&mut session, &create("IF NOT EXISTS ")).unwrap();
        }
        assert_eq!(first(&mut session, "DESCRIBE t"), ["of_session"]);
        assert_eq!(first(&mut session, "SHOW TABLES"), ["t"]);
        assert!(first(&mut session, "SHOW CREATE TABLE t")[0].starts_with("CREATE TEMPORARY TABLE "));
        assert_eq!(
            fails(&mut session, "DROP TABLE t"),
            "Temporary table with identifier '`default_catalog`.`default_database`.`t`' exists. Drop it first before removing the \
             permanent table."
        );
        run(&mut session, "DROP TEMPORARY TABLE t").unwrap();
        assert_eq!(first(&mut session, "DESCRIBE t"), ["permanent"]);
        assert_eq!(
            fails(&mut session, "DROP TEMPORARY TABLE t"),
            "Temporary table with identifier 'default_catalog.default_database.t' does not exist."
        );
        run(&mut session, "DROP TABLE t").unwrap();
        assert!(session.catalog().object_names().is_empty());
    }
    // As in Flink, what is hidden by another kind is listed and can be dropped.
    let mut session = session();
    let table = "CREATE TEMPORARY TABLE w (b INT) WITH ('connector' = 'print')";
    run(&mut session, &format!("CREATE VIEW w AS SELECT 1 AS a; {table}")).unwrap();
    assert_eq!(first(&mut session, "SHOW VIEWS"), ["w"]);
    run(&mut session, "DROP VIEW w").unwrap();
    assert_eq!(first(&mut session, "SHOW VIEWS"), [""; 0]);
    assert_eq!(first(&mut session, "DESCRIBE w"), ["b"]);
}

/// Failed before where a table was dropped and created again: `v` had the values of b as a.
#[test]
fn a_view_is_refused_where_its_query_has_other_columns_by_now() {
    let mut session = session();
    let table = |kind: &str, columns: &str| format!("CREATE {kind} t ({columns}) WITH ('connector' = 'datagen');");
    let views = "CREATE VIEW v AS SELECT * FROM t; CREATE VIEW n (x, y) AS SELECT a, b FROM t;";
    run(&mut session, &(table("TABLE", "a INT, b INT") + views)).unwrap();
    run(&mut session, &table("TEMPORARY TABLE", "b INT, a INT")).unwrap();
    let refused = fails(&mut session, "SELECT * FROM v");
    assert!(refused.contains("had the columns [a, b] when it was created and has [b, a] now"), "{refused}");
    run(&mut session, "SELECT * FROM n").unwrap();
    run(&mut session, "DROP TEMPORARY TABLE t; SELECT * FROM v").unwrap();
    run(&mut session, &format!("DROP TABLE t; {}", table("TABLE", "b INT, a INT"))).unwrap();
    assert!(fails(&mut session, "SELECT * FROM v").contains("has [b, a] now"));
}

/// Before, it was created, and what read it failed with views that stand within more than 200 others.
#[test]
fn a_view_that_reads_itself_is_refused() {
    let reads_itself = |refused: &str, way: &str| {
        let expected = format!("The view 'default_catalog.default_database.t' reads itself{way}: ");
        assert!(refused.starts_with(&expected) && refused.contains("Give the view another name"), "{refused}");
    };
    let table = "CREATE TABLE t (a INT) WITH ('connector' = 'datagen'); CREATE VIEW v AS SELECT a FROM t;";
    let mut session = session();
    run(&mut session, table).unwrap();
    for query in ["SELECT * FROM t", "SELECT a FROM (SELECT 1 AS a UNION ALL SELECT a FROM default_database.t)"] {
        reads_itself(&fails(&mut session, &format!("CREATE TEMPORARY VIEW t AS {query}")), "");
    }
    let through_v = fails(&mut session, "CREATE TEMPORARY VIEW t AS SELECT * FROM v");
    reads_itself(&through_v, " by way of 'default_catalog.default_database.v'");
    assert!(!session.catalog().is_temporary(&session.catalog().qualify(&["t".to_owned()]).unwrap()));
    // What WITH names is not the view.
    run(&mut session, "CREATE TEMPORARY VIEW t AS WITH t AS (SELECT 1 AS a) SELECT a FROM t; SELECT a FROM v").unwrap();
    // One that comes about when what hides a view is dropped is refused where it is used.
    run(&mut session, "DROP TEMPORARY VIEW t; CREATE TEMPORARY TABLE v (a INT) WITH ('connector' = 'datagen')")
        .unwrap();
    run(&mut session, "CREATE TEMPORARY VIEW t AS SELECT * FROM v; SELECT * FROM t").unwrap();
    run(&mut session, "DROP TEMPORARY TABLE v").unwrap();
    reads_itself(&fails(&mut session, "SELECT * FROM t"), " by way of 'default_catalog.default_database.v'");
    run(&mut session, "DROP TEMPORARY VIEW t; SELECT * FROM v").unwrap();
}

#[test]
fn bad_tables_are_refused_with_flinks_words() {
    let with = "WITH ('connector' = 'print')";
    let cases = [
        ("a INT, a STRING", "A regular Column named 'a' already exists in the table."),
        (
            "a TIMESTAMP(6), WATERMARK FOR a AS a - INTERVAL '1' MINUTE",
            "Invalid data type of time field for watermark definition. The field must be of type TIMESTAMP(p) or \
             TIMESTAMP_LTZ(p), the supported precision 'p' is from 0 to 3, but the time field type is TIMESTAMP(6)",
        ),
        (
            "a TIMESTAMP(3), WATERMARK FOR b AS a",
            "The rowtime attribute field 'b' is not defined in the table schema, at line 1, column 49\nAvailable fields: ['a']",
        ),
        (
            "a TIMESTAMP(3), WATERMARK FOR a AS 5",
            "Invalid data type of expression for watermark definition. The field must be of type TIMESTAMP(p) or \
             TIMESTAMP_LTZ(p), the supported precision 'p' is from 0 to 3, but the watermark expression type is INT NOT NULL",
        ),
        (
            "a INT, PRIMARY KEY (z) NOT ENFORCED",
            "Primary key column 'z' is not defined in the schema at line 1, column 39",
        ),
        (
            "a INT, PRIMARY KEY (a, a) NOT ENFORCED",
            "Invalid primary key 'PK_a_a'. A primary key must not contain duplicate columns. Found: [a]",
        ),
    ];
    for (columns, expected) in cases {
        assert_eq!(fails(&mut session(), &format!("CREATE TABLE bad ({columns}) {with}")), expected);
    }
    assert_eq!(
        fails(&mut session(), &format!("CREATE TABLE bad (a INT) PARTITIONED BY (q) {with}")),
        "Partition column 'q' not defined in the table schema. Available columns: ['a']"
    );
    let mut session = session();
    run(&mut session, TABLES).unwrap();
    assert_eq!(
        fails(&mut session, &format!("CREATE TABLE t1 (a INT) {with}")),
        "Could not execute CreateTable in path `default_catalog`.`default_database`.`t1`\nTable (or view) default_database.t1 \
         already exists in Catalog default_catalog."
    );
    run(&mut session, "CREATE TABLE IF NOT EXISTS t1 (z INT)").unwrap();
    assert_eq!(fails(&mut session, "CREATE VIEW w (a, b) AS SELECT carrier FROM t1").lines().count(), 3);
    // Failed before: the second one became carrier0, as in a query.
    for (view, earlier, later) in [
        ("CREATE VIEW w AS SELECT carrier, flight, carrier FROM t1", 25, 42),
        ("CREATE VIEW w (a, b, a) AS SELECT carrier, flight, carrier FROM t1", 16, 22),
    ] {
        let error = run(&mut session, view).unwrap_err();
        assert_eq!(error.location().map(|at| at.column), Some(later), "{view}");
        let wanted = format!("has been defined at line 1, column {earlier}.");
        assert!(error.message().starts_with("A column with the same name `") && error.message().ends_with(&wanted));
    }
    run(&mut session, "CREATE VIEW w (a, b) AS SELECT carrier, carrier FROM t1; DROP VIEW w").unwrap();
}

#[test]
fn bytes_can_stay_bytes_for_those_who_show_them() {
    let mut session = session();
    let statement = session.parse("SELECT X'ab' AS b, 1 AS n").unwrap().remove(0);
    for (but_bytes, expected) in [(false, "STRING NOT NULL"), (true, "BINARY(1) NOT NULL")] {
        let options = ExecuteOptions { as_strings: true, but_bytes };
        let Outcome::Query(job) = session.execute(&statement, &options).unwrap() else { panic!("no query") };
        let types: Vec<String> = job.collected.iter().map(|field| field.data_type.to_string()).collect();
        assert_eq!(types, [expected, "STRING NOT NULL"]);
    }
}

#[test]
fn options_are_checked_when_a_table_is_used() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE n (a INT) WITH ('connector' = 'nope'); CREATE TABLE p (a INT) WITH ('connector' = 'print')",
    )
    .unwrap();
    assert!(fails(&mut session, "SELECT * FROM n").starts_with(
        "Unable to create a source for reading table 'default_catalog.default_database.n'.\n\nTable options are:\n\n'connector'='nope'\n\n\
         Could not find any factory for identifier 'nope'"
    ));
    assert!(
        fails(&mut session, "SELECT * FROM p")
            .ends_with("Connector 'print' can only be used as a sink. It cannot be used as a source.")
    );
    // Before, only names of tables, columns and functions were likened to those that exist.
    run(
        &mut session,
        "CREATE TABLE f (a INT) WITH ('connector' = 'filesystm'); CREATE TABLE c (a INT) WITH ('conector' = 'datagen')",
    )
    .unwrap();
    let misspelt = fails(&mut session, "SELECT * FROM f");
    assert!(misspelt.contains("in the classpath. Did you mean 'filesystem'?\n\nAvailable"), "{misspelt}");
    assert!(fails(&mut session, "SELECT * FROM c").ends_with("a connector. Did you mean it by 'conector'?"));
}

#[test]
fn tables_like_others() {
    let mut session = session();
    run(
        &mut session,
        &format!(
            "{TABLES}
        CREATE TABLE l1 (z INT) WITH ('standard-error' = 'true') LIKE t2;
        CREATE TABLE l2 (z INT) WITH ('connector' = 'blackhole') LIKE t2 (EXCLUDING ALL);
        CREATE TABLE l3 LIKE t2 (EXCLUDING GENERATED EXCLUDING WATERMARKS)"
        ),
    )
    .unwrap();
    let names = |session: &mut Session, table: &str| -> Vec<String> {
        rows(run(session, &format!("DESCRIBE {table}")).unwrap()).into_iter().map(|row| row[..2].join(" ")).collect()
    };
    assert_eq!(names(&mut session, "l1").last().unwrap(), "z INT");
    assert_eq!(names(&mut session, "l1")[2], "c TIMESTAMP(3) *ROWTIME*");
    assert_eq!(names(&mut session, "l3")[1], "c TIMESTAMP(3)");
    assert_eq!(names(&mut session, "l2").len(), 6);
    assert_eq!(
        fails(&mut session, "CREATE TABLE l4 (a INT) LIKE t2"),
        "A column named 'a' already exists in the base table."
    );
}

#[test]
fn settings_are_kept_and_checked() {
    let mut session = session();
    run(&mut session, "SET 'table.exec.state.ttl' = '1 h'; SET 'pipeline.name' = 'mine'").unwrap();
    assert!(fails(&mut session, "SET 'table.exec.state.ttl' = 'soon'").contains("table.exec.state.ttl"));
    assert!(fails(&mut session, "SET 'parallelism.default' = '0'").contains("parallelism.default"));
    let shown = rows(run(&mut session, "SET").unwrap());
    assert!(shown.contains(&vec!["table.exec.state.ttl".to_owned(), "1 h".to_owned()]));
    let Outcome::Query(job) =
        run(&mut session, &format!("{TABLES} SELECT carrier, COUNT(*) FROM t1 GROUP BY carrier")).unwrap()
    else {
        panic!()
    };
    assert_eq!(job.graph.name, "mine");
    assert_eq!(job.graph.configuration["table.exec.state.ttl"], "1 h");
    let ttl =
        job.graph.vertices.iter().flat_map(|vertex| &vertex.operators).find_map(|operator| match &operator.kind {
            Some(proto::operator_spec::Kind::GroupAggregate(spec)) => Some(spec.state_ttl),
            _ => None,
        });
    assert_eq!(ttl, Some(3_600_000));
    // Before, each line of the log and each overview of jobs had all of it.
    let refused = fails(&mut session, &format!("SET 'pipeline.name' = '{}'", "n".repeat(900_000)));
    assert!(refused.contains("'pipeline.name' has 900000 bytes") && refused.len() < 200, "{refused}");
    run(&mut session, "RESET").unwrap();
    assert_eq!(session.configuration().get_raw("pipeline.name"), None);
    let long = format!("SELECT carrier, '{}' FROM t1", "n".repeat(10_000));
    let Outcome::Query(job) = run(&mut session, &long).unwrap() else { panic!() };
    assert!(job.graph.name.starts_with("SELECT carrier, 'nnn") && job.graph.name.len() < 1_100, "{}", job.graph.name);
}

/// Before, the former name was ignored.
#[test]
fn chains_are_cut_under_both_names_of_the_option() {
    let chains = |settings: &str| -> Vec<usize> {
        let script = format!("{settings} {TABLES} SELECT flight FROM t1 WHERE carrier = 'AA'");
        let Outcome::Query(job) = run(&mut session(), &script).unwrap() else { panic!() };
        check_graph(&job.graph);
        job.graph.vertices.iter().map(|vertex| vertex.operators.len()).collect()
    };
    let chained = chains("");
    assert!(chained.iter().any(|operators| *operators > 1), "{chained:?}");
    for key in ["pipeline.operator-chaining.enabled", "pipeline.operator-chaining"] {
        let cut = chains(&format!("SET '{key}' = 'false';"));
        assert_eq!(cut, vec![1; chained.iter().sum()], "{key}");
        assert_eq!(chains(&format!("SET '{key}' = 'true';")), chained, "{key}");
        assert!(fails(&mut session(), &format!("SET '{key}' = 'perhaps'")).contains(key));
    }
}

/// Failed before: "The sink for table … has a configured parallelism of 2", which nothing had asked for.
#[test]
fn members_of_a_union_may_have_other_numbers_of_subtasks() {
    let all = "SELECT 'all' AS k, COUNT(*) AS n FROM t1 UNION ALL SELECT carrier, COUNT(*) FROM t1 GROUP BY carrier";
    for query in [all.to_owned(), format!("SELECT UPPER(k), n + 1 FROM ({all})")] {
        let script = format!(
            "{TABLES} CREATE TABLE shown (k STRING, n BIGINT) WITH ('connector' = 'print'); INSERT INTO shown {query};"
        );
        let Outcome::Insert(job) = run(&mut session(), &script).unwrap() else { panic!() };
        check_graph(&job.graph);
        let text = graph_text(&job.graph);
        // All changes of the one row to one subtask, in their order.
        assert_eq!(text.matches("GLOBAL[], changelog").count(), 1, "{text}");
    }
    let configured = format!(
        "{TABLES} CREATE TABLE shown (k STRING, n BIGINT) WITH ('connector' = 'print', 'sink.parallelism' = '2'); \
         INSERT INTO shown {all};"
    );
    assert!(fails(&mut session(), &configured).contains("configured parallelism of 2"));
}

/// They were taken, and each statement after them was refused instead, or the JobManager refused the job.
#[test]
fn bad_values_are_refused_where_they_are_set() {
    for (key, value) in [
        ("execution.runtime-mode", "batch"),
        ("execution.checkpointing.interval", "10 parsecs"),
        ("execution.checkpointing.unaligned.enabled", "perhaps"),
        ("restart-strategy.type", "hope"),
        ("state.backend.type", "paper"),
        ("client.heartbeat.timeout", "soon"),
        ("table.dml-sync", "maybe"),
        ("table.local-time-zone", "Mars/Olympus"),
    ] {
        let mut session = session();
        let error = fails(&mut session, &format!("SET '{key}' = '{value}'"));
        assert!(error.contains(key) && error.contains(value), "{error}");
        assert_ne!(session.configuration().get_raw(key), Some(value), "{key} was set all the same");
    }
    run(&mut session(), "SET 'execution.runtime-mode' = 'STREAMING'; SET 'execution.checkpointing.interval' = '1 s'")
        .unwrap();
}

#[test]
fn a_key_of_processes_is_told_from_one_of_jobs() {
    for key in [
        "heartbeat.interval",
        "jobmanager.memory.process.size",
        "rest.port",
        "s3.endpoint",
        "task.cancellation.timeout",
        // Failed before: SET took it, and the next statement still looked for the JobManager of a session cluster.
        "execution.target",
        "taskmanager.memory.managed.size",
        "taskmanager.network.compression.codec",
        "taskmanager.numberOfTaskSlots",
        "web.upload.dir",
    ] {
        assert!(is_of_processes(key), "{key}");
    }
    for key in [
        "client.heartbeat.timeout",
        "execution.checkpointing.interval",
        "io.tmp.dirs",
        "jobmanager.execution.failover-strategy",
        "parallelism.default",
        "restart-strategy.type",
        "slot.request.timeout",
        "sql-client.execution.result-mode",
        "state.backend.type",
        "table.exec.state.ttl",
        "web.exception-history-size",
    ] {
        assert!(!is_of_processes(key), "{key}");
    }
}

/// `s3.*` went along with every job, the keys to the store among them.
#[test]
fn a_job_takes_along_what_concerns_jobs_and_no_secret() {
    for key in ["execution.checkpointing.interval", "parallelism.default", "table.exec.state.ttl", "state.backend.type"]
    {
        assert!(goes_with_jobs(key, false), "{key}");
    }
    assert!(goes_with_jobs("taskmanager.network.compression.codec", false));
    for key in ["rest.address", "jobmanager.execution.failover-strategy", "taskmanager.numberOfTaskSlots"] {
        assert!(!goes_with_jobs(key, false) && goes_with_jobs(key, true), "{key}");
    }
    for key in [
        "security.internal.secret",
        "security.ssl.rest.keystore",
        "s3.access-key",
        "s3.secret.key",
        "s3a.access.key",
        "presto.s3.access-key",
        "fs.s3a.secret.key",
        "made.up.password",
    ] {
        assert!(!goes_with_jobs(key, false) && !goes_with_jobs(key, true), "{key}");
    }
    let base = [("s3.access-key", "me"), ("state.backend.type", "rocksdb")];
    let base = base.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut session = Session::new(base);
    run(&mut session, "SET 's3.secret-key' = 'hidden'; SET 'task.cancellation.timeout' = '1 min'").unwrap();
    run(&mut session, TABLES).unwrap();
    let Outcome::Query(job) = run(&mut session, "SELECT carrier FROM t1").unwrap() else { panic!() };
    let taken: Vec<&str> = job.graph.configuration.keys().map(String::as_str).collect();
    assert_eq!(taken, ["state.backend.type", "table.local-time-zone", "task.cancellation.timeout"]);
}

/// Before, a graph said nothing of the zone that was not set: constants were in that of the planning process, columns in those of
/// the TaskManagers.
#[test]
fn a_job_has_the_time_zone_that_its_constants_were_computed_in() {
    const EPOCH: &str = "SELECT CAST(TO_TIMESTAMP_LTZ(0, 3) AS STRING)";
    let found = |session: &mut Session| {
        let Outcome::Query(job) = run(session, EPOCH).unwrap() else { panic!() };
        let plan = rows(run(session, &format!("EXPLAIN {EPOCH}")).unwrap()).concat().concat();
        let (_, optimized) = plan.split_once("== Optimized Physical Plan ==").unwrap();
        let hour = ["00:00:00", "01:00:00", "09:00:00"].into_iter().find(|hour| optimized.contains(*hour));
        (job.graph.configuration["table.local-time-zone"].clone(), hour.map(|hour| hour[..2].to_owned()))
    };
    let is = |zone: &str, hour: &str| (zone.to_owned(), Some(hour.to_owned()));
    let key = "table.local-time-zone";
    let mut session = Session::in_zone(Configuration::default(), Zone::parse("Asia/Tokyo").unwrap());
    assert_eq!(found(&mut session), is("Asia/Tokyo", "09"));
    assert_eq!(rows(run(&mut session, "SET").unwrap()), Vec::<Vec<String>>::new(), "nobody has set it");
    run(&mut session, &format!("SET '{key}' = 'UTC'")).unwrap();
    assert_eq!(found(&mut session), is("UTC", "00"));
    run(&mut session, &format!("SET '{key}' = 'default'")).unwrap();
    assert_eq!(found(&mut session), is("Asia/Tokyo", "09"));
    run(&mut session, &format!("SET '{key}' = 'GMT+01:00'; RESET '{key}'")).unwrap();
    assert_eq!(found(&mut session), is("Asia/Tokyo", "09"));
    let configured = [(key.to_owned(), "GMT+01:00".to_owned())].into_iter().collect();
    let mut session = Session::in_zone(configured, Zone::UTC);
    assert_eq!(found(&mut session), is("+01:00", "01"));
}

#[test]
fn the_execution_plan_tells_sources_and_sinks_from_what_stands_between() {
    let mut session = session();
    run(&mut session, TABLES).unwrap();
    let mut pacts = |statement: &str| {
        let plan =
            rows(run(&mut session, &format!("EXPLAIN JSON_EXECUTION_PLAN {statement}")).unwrap()).concat().concat();
        let (_, json) = plan.split_once("== Physical Execution Plan ==\n").unwrap();
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        let nodes = json["nodes"].as_array().unwrap().iter();
        nodes.map(|node| node["pact"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let insert = pacts("INSERT INTO t3 SELECT flight, CURRENT_TIMESTAMP FROM t1 WHERE flight > 3");
    let [source, between @ .., sink] = insert.as_slice() else { panic!("{insert:?}") };
    assert_eq!((source.as_str(), sink.as_str()), ("Data Source", "Data Sink"));
    assert!(!between.is_empty() && between.iter().all(|pact| pact == "Operator"), "{between:?}");
    assert_eq!(pacts("SELECT 1"), ["Data Source", "Operator"], "a query that is explained has no sink");
}

#[test]
fn jobs_are_named_as_flink_names_them() {
    let mut session = session();
    run(&mut session, TABLES).unwrap();
    let Outcome::Insert(job) = run(&mut session, "INSERT INTO t3 SELECT flight, CURRENT_TIMESTAMP FROM t1").unwrap()
    else {
        panic!()
    };
    assert_eq!(job.graph.name, "insert-into_default_catalog.default_database.t3");
    assert_eq!(job.sinks, ["default_catalog.default_database.t3"]);
    let Outcome::Query(job) = run(&mut session, "SELECT carrier\n FROM t1").unwrap() else { panic!() };
    assert_eq!(job.graph.name, "SELECT carrier FROM t1");
    assert!(!job.changelog && job.bounded);
    assert_eq!(
        fails(&mut session, "INSERT INTO v1 SELECT 'x', 1"),
        "Sink 'default_catalog.default_database.v1' does not exists"
    );
}

/// Failed before: it said of no query by what its rows are known.
#[test]
fn rows_of_groups_are_known_by_their_keys() {
    let mut session = session();
    run(&mut session, TABLES).unwrap();
    let mut key = |sql: &str| {
        let Outcome::Query(job) = run(&mut session, sql).unwrap() else { panic!("{sql}") };
        job.upsert_key
    };
    assert_eq!(key("SELECT COUNT(*), carrier, flight FROM t1 GROUP BY flight, carrier"), [1, 2]);
    assert_eq!(key("SELECT COUNT(*) FROM t1 GROUP BY carrier"), [0; 0], "the key is not among them");
    assert_eq!(key("SELECT DISTINCT carrier FROM t1"), [0]);
    assert_eq!(key("SELECT carrier FROM t1"), [0; 0]);
}

/// Queries put together from parts that fit.
fn any_query() -> impl Strategy<Value = String> {
    let columns = ["carrier", "flight", "UPPER(carrier) || 'x'", "flight + 1", "dep", "CAST(flight AS STRING)"];
    let conditions =
        ["", " WHERE flight > 5", " WHERE carrier = 'AA' AND flight IS NOT NULL", " WHERE 1 = 1", " WHERE 1 = 0"];
    let keys = ["", "carrier", "flight", "carrier, flight", "CASE WHEN flight > 3 THEN 'a' ELSE 'b' END"];
    let calls = ["COUNT(*)", "SUM(flight)", "COUNT(DISTINCT carrier)", "MAX(carrier), AVG(flight)", "MIN(dep)"];
    let plain = (proptest::sample::subsequence(columns.to_vec(), 1..=4), 0..conditions.len(), any::<bool>()).prop_map(
        move |(columns, condition, distinct)| {
            let distinct = if distinct { "DISTINCT " } else { "" };
            format!("SELECT {distinct}{} FROM t{}", columns.join(", "), conditions[condition])
        },
    );
    let grouped = (0..keys.len(), 0..calls.len(), 0..conditions.len(), any::<bool>(), any::<bool>()).prop_map(
        move |(key, call, condition, window, having)| {
            let from = if window { "TABLE(TUMBLE(TABLE t, DESCRIPTOR(dep), INTERVAL '1' HOUR))" } else { "t" };
            let bounds = if window { "window_start, window_end" } else { "" };
            let groups: Vec<&str> = [keys[key], bounds].into_iter().filter(|part| !part.is_empty()).collect();
            let group_by = if groups.is_empty() { String::new() } else { format!(" GROUP BY {}", groups.join(", ")) };
            let having = if having { " HAVING COUNT(*) > 2" } else { "" };
            format!("SELECT {} FROM {from}{}{group_by}{having}", calls[call], conditions[condition])
        },
    );
    prop_oneof![plain, grouped]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever is asked, the graph holds together, and planning the same again gives the same ids.
    #[test]
    fn graphs_hold_together(
        query in any_query(),
        twice in any::<bool>(),
        parallelism in 1u32..5,
        chaining in any::<bool>(),
        reuse in any::<bool>(),
        one_phase in any::<bool>(),
    ) {
        let mut session = session();
        run(&mut session, "CREATE TABLE t (dep TIMESTAMP(3), carrier STRING, flight INT, extra STRING,
            WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE) WITH ('connector' = 'datagen', 'number-of-rows' = '10')").unwrap();
        let phases = if one_phase { "ONE_PHASE" } else { "AUTO" };
        run(&mut session, &format!("SET 'parallelism.default' = '{parallelism}'; SET 'pipeline.operator-chaining.enabled' = '{chaining}';
            SET 'table.optimizer.reuse-sub-plan-enabled' = '{reuse}'; SET 'table.optimizer.agg-phase-strategy' = '{phases}'")).unwrap();
        let query = if twice { format!("{query} UNION ALL {query}") } else { query };
        let mut graphs = Vec::new();
        for as_strings in [false, false, true] {
            let statement = session.parse(&query).unwrap().remove(0);
            let Outcome::Query(job) = session.execute(&statement, &ExecuteOptions { as_strings, ..Default::default() }).unwrap() else { panic!() };
            check_graph(&job.graph);
            prop_assert_eq!(job.fields.len(), job.collected.len());
            graphs.push(job.graph);
        }
        prop_assert_eq!(&graphs[0].vertices, &graphs[1].vertices);
        prop_assert!(graphs[0].vertices.iter().all(|vertex| vertex.parallelism <= parallelism));
        run(&mut session, &format!("EXPLAIN CHANGELOG_MODE {query}")).unwrap();
    }
}
