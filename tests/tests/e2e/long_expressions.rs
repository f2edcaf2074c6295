//! Expressions of ten thousand terms, from the command line to the files.
use std::fs;
use std::path::Path;
use std::time::Duration;

use wiesel_tests::Cluster;

const LIMIT: Duration = Duration::from_secs(120);

/// The lines of all files of a table.
fn lines(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let visible = files.filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    let text: String = visible.map(|path| fs::read_to_string(path).expect("a file that can be read")).collect();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

fn chain(operand: &str, operator: &str, count: usize) -> String {
    vec![operand; count].join(operator)
}

/// Before, `flink run` took a chain of 48 operators, and the job restarted for ever: its message was too deep to be read.
#[test]
fn a_chain_of_ten_thousand_operators_runs() {
    let cluster = Cluster::builder().start();
    for count in [49, 10_000] {
        let folder = cluster.dir().join(format!("rows-{count}"));
        let other = |i: usize| format!("n <> {}", i + 100);
        let all = (0..count).map(other).collect::<Vec<_>>().join(" AND ");
        let any = (0..count).map(|i| format!("n = {i}")).collect::<Vec<_>>().join(" OR ");
        let sql = format!(
            "CREATE TABLE numbers (n INT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000',
               'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '9');
             CREATE TABLE results (n INT, total INT, mixed INT, length INT) WITH ('connector' = 'filesystem', 'format' = 'csv',
               'path' = '{}');
             INSERT INTO results SELECT n, {}, {}, CHAR_LENGTH({}) FROM numbers WHERE {all} AND ({any});",
            folder.display(),
            chain("n", " + ", count),
            chain("n - n * 2", " + ", count / 2),
            chain("CAST(n AS STRING)", " || ", count)
        );
        let job = cluster.submit(&sql, 1);
        cluster.wait_for_state(&job, "FINISHED", LIMIT);
        let half = count as i32 / 2;
        let expected: Vec<String> =
            (1..=9).map(|n| format!("{n},{},{},{count}", n * count as i32, -n * half)).collect();
        assert_eq!(lines(&folder), expected, "{count} terms");
    }
}

/// A script that nests without end is an error of the client, and the JobManager goes on.
#[test]
fn a_bomb_of_nesting_is_an_error_of_the_script() {
    let cluster = Cluster::builder().start();
    let tables = "CREATE TABLE numbers (n INT) WITH ('connector' = 'datagen');
         CREATE TABLE nowhere (n INT) WITH ('connector' = 'blackhole');\n";
    let views: String = (1..64)
        .map(|i| format!("CREATE VIEW v{i} AS SELECT * FROM v{0} UNION ALL SELECT * FROM v{0};\n", i - 1))
        .collect();
    let bombs = [
        (
            format!("INSERT INTO nowhere SELECT {}n{} FROM numbers;", "(".repeat(100_000), ")".repeat(100_000)),
            "nest deeper",
        ),
        (
            format!("INSERT INTO nowhere SELECT {} FROM numbers;", chain("n", " + ", 100_000)),
            "operators in a row at line",
        ),
        (
            format!("INSERT INTO nowhere {};", chain("SELECT n FROM numbers", " UNION ALL ", 30_000)),
            "operators in a row",
        ),
        (
            format!("CREATE VIEW v0 AS SELECT n FROM numbers;\n{views}INSERT INTO nowhere SELECT * FROM v63;"),
            "stand for more than 10000 queries",
        ),
    ];
    let pids = cluster.all_pids();
    for (bomb, words) in bombs {
        let output = cluster.run(&format!("{tables}{bomb}"), &["-d"]);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{said:.500}");
        assert!(said.contains(words), "`{words}` is not in: {said:.1000}");
        assert!(said.len() < 10_000, "{} bytes were said", said.len());
    }
    let rows = "INSERT INTO nowhere SELECT n FROM numbers;";
    let job = cluster.submit(&format!("{tables}{rows}"), 1);
    cluster.wait_for_tasks(&job, LIMIT);
    assert_eq!(cluster.all_pids(), pids);
    assert!(!cluster.log_text().contains("panicked"));
}
