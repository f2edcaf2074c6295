//! One time zone for all of a job, whatever the processes have that plan it, run it and show its rows.
use std::path::Path;

use wiesel_tests::Cluster;

/// Four rows of two subtasks.
const ROWS: &str = "CREATE TABLE n (s BIGINT, ts AS TO_TIMESTAMP_LTZ(s + 72000000, 3), WATERMARK FOR ts AS ts) WITH (
  'connector' = 'datagen', 'rows-per-second' = '1000',
  'fields.s.kind' = 'sequence', 'fields.s.start' = '1', 'fields.s.end' = '4');\n";
/// The epoch as a column and as a constant, and whether they are the same.
const EPOCH: &str = "CAST(TO_TIMESTAMP_LTZ(s - s, 3) AS STRING), CAST(TO_TIMESTAMP_LTZ(0, 3) AS STRING),
  CAST(TO_TIMESTAMP_LTZ(s - s, 3) AS STRING) = CAST(TO_TIMESTAMP_LTZ(0, 3) AS STRING)";

/// A cluster in UTC, but for one of its two TaskManagers.
fn cluster() -> Cluster {
    let cluster = Cluster::builder().slots(1).set("parallelism.default", "2").prepare();
    for (script, zone) in [("jobmanager.sh", "UTC"), ("taskmanager.sh", "UTC"), ("taskmanager.sh", "America/New_York")]
    {
        cluster.start_one(script, |command| {
            command.env("TZ", zone);
        });
    }
    cluster.wait_for_slots(2);
    cluster
}

/// What a client in Tokyo prints of a script.
fn in_tokyo(cluster: &Cluster, program: &[&str], script: &str) -> String {
    let file = cluster.file("zone.sql", script);
    let output = cluster.command(program[0]).args(&program[1..]).arg(file).env("TZ", "Asia/Tokyo").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}\n{}", cluster.log_text());
    text
}

/// The lines of all files in a folder.
fn lines(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Before, constants were of Tokyo, and columns of UTC or New York, as it came.
#[test]
fn a_query_is_in_the_zone_of_the_sql_client() {
    let cluster = cluster();
    let script = format!(
        "{ROWS}SELECT TO_TIMESTAMP_LTZ(s - s, 3), {EPOCH} FROM n;
         SELECT CAST(window_start AS STRING), COUNT(*) FROM TABLE(TUMBLE(TABLE n, DESCRIPTOR(ts), INTERVAL '1' DAY))
           GROUP BY window_start, window_end;"
    );
    let shown = in_tokyo(&cluster, &["bin/sql-client.sh", "-f"], &script);
    let rows: Vec<&str> = shown.lines().filter(|line| line.contains("| +I |")).collect();
    assert_eq!(rows.len(), 5, "{shown}");
    for row in &rows[..4] {
        assert!(row.matches("1970-01-01 09:00:00.000").count() == 3 && row.contains("TRUE"), "{shown}");
    }
    // 20:00 of UTC is the next day in Tokyo.
    assert!(rows[4].contains("1970-01-02 00:00:00.000") && rows[4].contains(" 4 |"), "{shown}");
}

/// Before, the JobManager planned it in its own.
#[test]
fn a_script_is_in_the_zone_of_who_runs_it_unless_it_sets_another() {
    let cluster = cluster();
    for (set, hour) in [("", "09"), ("SET 'table.local-time-zone' = 'UTC';\n", "00")] {
        let folder = cluster.dir().join(format!("out-{hour}"));
        let script = format!(
            "{set}{ROWS}CREATE TABLE written (col STRING, fixed STRING, same BOOLEAN, p STRING) PARTITIONED BY (p) WITH (
               'connector' = 'filesystem', 'format' = 'csv', 'path' = '{}');
             INSERT INTO written SELECT {EPOCH}, DATE_FORMAT(TO_TIMESTAMP_LTZ(s - s, 3), 'HH') FROM n;",
            folder.display()
        );
        in_tokyo(&cluster, &["bin/flink", "run"], &script);
        let rows = lines(&folder.join(format!("p={hour}")));
        assert_eq!(rows.len(), 4, "{rows:?}");
        let epoch = format!("1970-01-01 {hour}:00:00.000");
        assert!(rows.iter().all(|row| row.matches(&epoch).count() == 2 && row.ends_with("true")), "{rows:?}");
    }
}
