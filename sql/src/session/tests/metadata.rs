//! Metadata columns: how they are declared, taken over, shown and planned. The words are Flink's.
use super::*;

const FILES: &str = "CREATE TABLE k (id INT, p STRING METADATA FROM 'file.path', v STRING,
    t TIMESTAMP_LTZ(3) METADATA FROM 'file.modification-time', `file.name` STRING NOT NULL METADATA VIRTUAL COMMENT 'it''s',
    sz BIGINT METADATA FROM 'file.size' VIRTUAL, c AS CHAR_LENGTH(p) + sz)
    WITH ('connector' = 'filesystem', 'path' = '/d', 'format' = 'csv');";

fn files() -> Session {
    let mut session = session();
    run(&mut session, FILES).unwrap();
    session
}

/// Name, type and extras of each column.
fn described(session: &mut Session, table: &str) -> Vec<String> {
    let rows = rows(run(session, &format!("DESCRIBE {table}")).unwrap());
    rows.iter().map(|row| format!("{}|{}|{}|{}", row[0], row[1], row[2], row[4])).collect()
}

fn explained(session: &mut Session, query: &str) -> String {
    let plan = rows(run(session, &format!("EXPLAIN {query}")).unwrap()).concat().concat();
    let at = plan.find("== Optimized Execution Plan ==").unwrap_or_default();
    plan[at..].lines().skip(1).collect::<Vec<_>>().join("\n").trim().to_owned()
}

#[test]
fn they_are_shown_as_they_are_declared() {
    let mut session = files();
    assert_eq!(
        described(&mut session, "k"),
        [
            "id|INT|TRUE|",
            "p|STRING|TRUE|METADATA FROM 'file.path'",
            "v|STRING|TRUE|",
            "t|TIMESTAMP_LTZ(3)|TRUE|METADATA FROM 'file.modification-time'",
            "file.name|STRING|FALSE|METADATA VIRTUAL",
            "sz|BIGINT|TRUE|METADATA FROM 'file.size' VIRTUAL",
            "c|BIGINT|TRUE|AS CHAR_LENGTH(`p`) + `sz`",
        ]
    );
    let statement = "CREATE TABLE `default_catalog`.`default_database`.`k` (
  `id` INT,
  `p` VARCHAR(2147483647) METADATA FROM 'file.path',
  `v` VARCHAR(2147483647),
  `t` TIMESTAMP(3) WITH LOCAL TIME ZONE METADATA FROM 'file.modification-time',
  `file.name` VARCHAR(2147483647) NOT NULL METADATA VIRTUAL COMMENT 'it''s',
  `sz` BIGINT METADATA FROM 'file.size' VIRTUAL,
  `c` AS CHAR_LENGTH(`p`) + `sz`
)
WITH (
  'connector' = 'filesystem',
  'format' = 'csv',
  'path' = '/d'
)
";
    assert_eq!(rows(run(&mut session, "SHOW CREATE TABLE k").unwrap()), [[statement]]);
    // What is shown makes the same table.
    run(&mut session, &format!("DROP TABLE k; {statement}")).unwrap();
    assert_eq!(rows(run(&mut session, "SHOW CREATE TABLE k").unwrap()), [[statement]]);
}

#[test]
fn like_takes_them_over_leaves_them_out_or_overwrites_them() {
    let mut session = files();
    run(
        &mut session,
        "CREATE TABLE l1 (extra STRING, more AS id + 1) LIKE k;
        CREATE TABLE l2 (sz STRING) LIKE k (EXCLUDING METADATA EXCLUDING GENERATED);
        CREATE TABLE l3 (sz STRING METADATA FROM 'file.size', c AS 1) LIKE k (OVERWRITING METADATA OVERWRITING GENERATED);
        CREATE TABLE l4 (p STRING METADATA FROM 'file.path' VIRTUAL) LIKE k (OVERWRITING METADATA)",
    )
    .unwrap();
    let extras = |session: &mut Session, table: &str| {
        let name_and_extras = |row: &String| row.replace("|TRUE|", " ").replace("|FALSE|", " ");
        described(session, table).iter().map(name_and_extras).collect::<Vec<_>>()
    };
    let base = extras(&mut session, "k");
    let l1 = extras(&mut session, "l1");
    assert_eq!(l1[..base.len()], base[..]);
    assert_eq!(l1[base.len()..], ["extra|STRING ", "more|INT AS `id` + 1"]);
    assert_eq!(extras(&mut session, "l2"), ["id|INT ", "v|STRING ", "sz|STRING "]);
    let l3 = extras(&mut session, "l3");
    assert_eq!(l3[..5], base[..5]);
    assert_eq!(l3[5..], ["sz|STRING METADATA FROM 'file.size'", "c|INT AS 1"]);
    assert_eq!(extras(&mut session, "l4")[1], "p|STRING METADATA FROM 'file.path' VIRTUAL");
    // Columns in front of the metadata do not change what a computed column reads.
    let scan = "TableSourceScan(table=[[default_catalog, default_database, l1, project=[], metadata=[file.path, file.size]]], fields=[p, sz])";
    let plan = explained(&mut session, "SELECT c FROM l1");
    assert!(plan.contains("CHAR_LENGTH(p)") && plan.ends_with(scan), "{plan}");
    for (columns, options, words) in [
        (
            "sz STRING METADATA FROM 'file.size'",
            "",
            "A metadata column named 'sz' already exists in the base table. You might want to specify EXCLUDING METADATA or \
             OVERWRITING METADATA.",
        ),
        (
            "c AS 1",
            "",
            "A generated column named 'c' already exists in the base table. You might want to specify EXCLUDING GENERATED or \
             OVERWRITING GENERATED.",
        ),
        ("sz STRING METADATA FROM 'file.size'", "(OVERWRITING METADATA)", "where the computed column 'c' reads it"),
        (
            "id INT METADATA FROM 'x'",
            "(OVERWRITING METADATA)",
            "A column named 'id' already exists in the table. Duplicate columns exist in the metadata column and regular column.",
        ),
        (
            "c INT METADATA FROM 'x'",
            "(OVERWRITING METADATA)",
            "Metadata columns can only overwrite other metadata columns.",
        ),
        ("sz STRING", "(OVERWRITING METADATA)", "A column named 'sz' already exists in the base table."),
        ("sz AS 1", "(OVERWRITING GENERATED)", "Computed columns can only overwrite other computed columns."),
        ("x INT", "(EXCLUDING METADATA)", "Invalid expression for computed column 'c'.\nUnknown identifier 'p'"),
        (
            "m BIGINT METADATA FROM 'file.size'",
            "",
            "The column `sz` and `m` in the table are both from the same metadata key",
        ),
    ] {
        let words_found = fails(&mut session, &format!("CREATE TABLE bad ({columns}) LIKE k {options}"));
        assert!(words_found.contains(words), "{columns}: {words_found}");
    }
}

#[test]
fn what_may_not_be_declared_is_refused() {
    let mut session = session();
    for (columns, words) in [
        (
            "s INT METADATA FROM 'k', t INT METADATA FROM 'k'",
            "The column `s` and `t` in the table are both from the same metadata key 'k'.",
        ),
        (
            "id INT, id STRING METADATA",
            "A column named 'id' already exists in the table. Duplicate columns exist in the metadata column and regular column.",
        ),
        (
            "p STRING METADATA, PRIMARY KEY (p) NOT ENFORCED",
            "A PRIMARY KEY constraint must be declared on physical columns.",
        ),
    ] {
        let found = fails(&mut session, &format!("CREATE TABLE t ({columns}) WITH ('connector' = 'print')"));
        assert!(found.contains(words), "{columns}: {found}");
    }
    let found = fails(
        &mut session,
        "CREATE TABLE t (w STRING, n STRING METADATA) PARTITIONED BY (n) WITH ('connector' = 'print')",
    );
    let words = "Invalid partition key 'n'. A partition key must reference a physical column in the schema. Available columns are: [w]";
    assert_eq!(found, words);
}

#[test]
fn only_what_a_query_reads_is_asked_for() {
    let mut session = files();
    let scan = |rest: &str| format!("TableSourceScan(table=[[default_catalog, default_database, k{rest}");
    assert_eq!(explained(&mut session, "SELECT v FROM k"), scan(", project=[v], metadata=[]]], fields=[v])"));
    let plan = explained(&mut session, "SELECT * FROM k");
    let all =
        ", metadata=[file.path, file.name, file.size, file.modification-time]]], fields=[id, v, p, file.name, sz, t])";
    assert!(plan.ends_with(&scan(all)), "{plan}");
    let plan = explained(&mut session, "SELECT t, id FROM k WHERE `file.name` = 'a'");
    let some = ", project=[id], metadata=[file.name, file.modification-time]]], fields=[id, file.name, t])";
    assert!(plan.ends_with(&scan(some)), "{plan}");
}

#[test]
fn what_the_connector_does_not_have_is_refused() {
    let mut session = session();
    let files = "WITH ('connector' = 'filesystem', 'path' = '/d', 'format' = 'csv')";
    for (column, with, words) in [
        (
            "x STRING METADATA FROM 'file.nothing'",
            files,
            "Invalid metadata key 'file.nothing' in column 'x' of table 'default_catalog.default_database.t'. The DynamicTableSource \
             'filesystem' supports the following metadata keys for reading:\nfile.path\nfile.name\nfile.size\nfile.modification-time",
        ),
        (
            "`file.size` DATE METADATA",
            files,
            "Invalid data type for metadata column 'file.size' of table 'default_catalog.default_database.t'. The column cannot be \
             declared as 'DATE' because the type must be castable from metadata type 'BIGINT NOT NULL'.",
        ),
        (
            "x BOOLEAN METADATA FROM 'file.modification-time'",
            files,
            "Invalid data type for metadata column 'x' with metadata key 'file.modification-time' of table",
        ),
        (
            "x BOOLEAN METADATA",
            "WITH ('connector' = 'datagen')",
            "Table 'default_catalog.default_database.t' declares metadata columns, but the underlying DynamicTableSource doesn't \
             implement the SupportsReadingMetadata interface.",
        ),
    ] {
        run(&mut session, &format!("CREATE TABLE t (w STRING, {column}) {with}")).unwrap();
        let found = fails(&mut session, "EXPLAIN SELECT w FROM t");
        assert!(found.contains(words), "{column}: {found}");
        run(&mut session, "DROP TABLE t").unwrap();
    }
}

#[test]
fn virtual_ones_are_no_columns_of_a_sink() {
    let mut session = session();
    let files = "WITH ('connector' = 'filesystem', 'path' = '/d', 'format' = 'csv')";
    run(
        &mut session,
        &format!(
            "CREATE TABLE s (id INT, p STRING METADATA VIRTUAL, v STRING) {files};
            CREATE TABLE w (id INT, p STRING METADATA, v STRING) WITH ('connector' = 'print');
            EXPLAIN INSERT INTO s SELECT 1, 'b'"
        ),
    )
    .unwrap();
    let found = fails(&mut session, "EXPLAIN INSERT INTO s VALUES (1, 'b', 'c')");
    assert!(found.contains("Sink schema:  [id: INT, v: STRING]"), "{found}");
    let found = fails(&mut session, "EXPLAIN INSERT INTO s (p) VALUES ('b')");
    assert!(found.contains("Unknown target column 'p'"), "{found}");
    let found = fails(&mut session, "EXPLAIN INSERT INTO w SELECT 1, 'b', 'c'");
    let words = "Table 'default_catalog.default_database.w' declares persistable metadata columns, but the underlying DynamicTableSink \
                 doesn't implement the SupportsWritingMetadata interface. If the column should not be persisted, it can be declared \
                 with the VIRTUAL keyword.";
    assert_eq!(found, words);
}
