//! `views.txt` has views, and below each what Apache Flink 2.3 gave for `SHOW CREATE VIEW`.
use super::*;

const TABLES: &str = "
CREATE TABLE t (a INT, b STRING, ts TIMESTAMP(3), `od d` DECIMAL(10, 2), r ROW<x INT, y STRING>,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector' = 'datagen');
CREATE TABLE u (a INT, c STRING) WITH ('connector' = 'datagen');
";

fn shown(session: &mut Session, view: &str) -> String {
    rows(run(session, &format!("SHOW CREATE VIEW {view}")).unwrap()).remove(0).remove(0)
}

/// Failed before: the query was printed as the parser prints it, with the names and the `*` that were written.
#[test]
fn views_are_shown_as_flink_shows_them() {
    let pieces: Vec<&str> = include_str!("views.txt").trim_end().split("\n\n").collect();
    assert_eq!(pieces.len(), 40);
    for pair in pieces.chunks(2) {
        let [statement, expected] = pair else { panic!("{pair:?}") };
        let mut session = session();
        run(&mut session, TABLES).unwrap();
        if let Err(error) = run(&mut session, statement) {
            panic!("{statement}: {error}");
        }
        let view = expected.split('`').nth(5).unwrap();
        let text = shown(&mut session, view);
        assert_eq!(text, format!("{expected}\n"), "{statement}");
        // A function's name that became an alias is reserved, in Flink too.
        if expected.contains(" AS CURRENT_DATE") {
            continue;
        }
        let again = text.replace(&format!("`{view}`"), "`again`");
        if let Err(error) = run(&mut session, &again) {
            panic!("{again}: {error}");
        }
        assert_eq!(shown(&mut session, "again"), again);
    }
}

#[test]
fn a_view_whose_names_mean_nothing_any_more_is_shown_as_it_was_written() {
    let mut session = session();
    run(&mut session, TABLES).unwrap();
    run(&mut session, "CREATE VIEW v AS SELECT a FROM u WHERE c = 'x'; CREATE VIEW w AS SELECT r.* FROM t").unwrap();
    run(&mut session, "DROP TABLE u").unwrap();
    for (view, query) in [("v", "SELECT a FROM u WHERE c = 'x'"), ("w", "SELECT r.* FROM t")] {
        let text = shown(&mut session, view);
        assert!(text.ends_with(&format!("AS {query}\n")), "{text}");
    }
}

/// As columns they would be named twice, which a query above could not tell apart.
#[test]
fn a_view_with_a_star_whose_columns_are_there_before_it_is_shown_as_it_was_written() {
    let mut session = session();
    run(&mut session, TABLES).unwrap();
    let query = "SELECT a0, c FROM (SELECT a, * FROM u)";
    run(&mut session, &format!("CREATE VIEW v AS {query}; CREATE VIEW w AS SELECT c, * FROM u")).unwrap();
    let text = shown(&mut session, "v");
    assert!(text.ends_with(&format!("AS {query}\n")), "{text}");
    let again = shown(&mut session, "w").replace("`w`", "`again`");
    run(&mut session, &again).unwrap();
    assert_eq!(shown(&mut session, "again"), again);
}

/// Failed before: a back tick in the name of a table, a view or a field stood alone, and what was shown was no statement.
#[test]
fn what_is_shown_can_be_read_whatever_the_names_are() {
    let mut session = session();
    run(&mut session, "CREATE TABLE `a.b``c'\"` (`x``y` INT) WITH ('connector' = 'datagen')").unwrap();
    let table = rows(run(&mut session, "SHOW CREATE TABLE `a.b``c'\"`").unwrap()).concat().concat();
    assert!(table.starts_with("CREATE TABLE `default_catalog`.`default_database`.`a.b``c'\"` ("), "{table}");
    run(&mut session, "CREATE VIEW `v``w` AS SELECT CAST(ROW(1) AS ROW<`a``b` INT>) AS r").unwrap();
    let view = shown(&mut session, "`v``w`");
    run(&mut session, "DROP TABLE `a.b``c'\"`; DROP VIEW `v``w`").unwrap();
    run(&mut session, &format!("{table};{view}")).unwrap();
    assert_eq!(shown(&mut session, "`v``w`"), view);
}
