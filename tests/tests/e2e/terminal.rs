//! The SQL client before somebody who types.
use std::time::Duration;

use rustix::process::Signal;
use wiesel_tests::terminal::Terminal;
use wiesel_tests::{Cluster, eventually, process};

const NUMBERS: &str = "CREATE TABLE n (k INT) WITH ('connector' = 'datagen', 'rows-per-second' = '50',\r\
                       'fields.k.min' = '1', 'fields.k.max' = '3');\r";

fn wait_for_canceled(cluster: &Cluster, jobs: usize) {
    eventually("cancelled jobs", Duration::from_secs(20), || {
        let all = cluster.get("/jobs");
        let canceled = all["jobs"].as_array().into_iter().flatten().filter(|job| job["status"] == "CANCELED").count();
        if canceled == jobs { Ok(()) } else { Err(all.to_string()) }
    });
}

#[test]
fn statements_of_several_lines_completion_history_and_leaving() {
    let cluster = Cluster::builder().start();
    let mut client = Terminal::open(&cluster, "bin/sql-client.sh");
    client.wait_for("Flink SQL> ");
    client.keys(NUMBERS);
    client.wait_for("[INFO] Execute statement succeeded.");
    client.wait_for("Flink SQL> ");
    // What several names begin with is completed, then they are listed.
    client.keys("SHO\t C\t\t");
    client.wait_for("COLUMNS");
    client.keys("OL\t FROM n;\r");
    client.wait_for("1 row in set");
    client.keys("SELECT nosuch FROM n;\r");
    client.wait_for("Column 'nosuch' not found");
    client.wait_for("Flink SQL> ");
    client.keys("half a statement\x03");
    client.wait_for("half a statement");
    client.wait_for("Flink SQL> ");
    // Up brings the statement before.
    client.keys("\x1b[A\r");
    client.wait_for("Column 'nosuch' not found");
    client.wait_for("Flink SQL> ");
    client.keys("\\q\r");
    assert!(client.wait().success());
    let history = std::fs::read_to_string(cluster.dir().join(".flink-sql-history")).unwrap();
    // The format is that of Flink's client, which refuses a file with any other line.
    assert!(history.contains(":SELECT nosuch FROM n;\n") && history.contains("50',\\n"), "{history}");
    let is_entry = |line: &str| line.split_once(':').is_some_and(|(millis, _)| millis.parse::<u64>().is_ok());
    assert!(history.lines().all(is_entry), "{history}");
    let mut again = Terminal::open(&cluster, "bin/sql-client.sh");
    again.wait_for("Flink SQL> ");
    again.keys("\x1b[A\x1b[A\r");
    again.wait_for("Object 'n' not found");
    again.wait_for("Flink SQL> ");
    again.keys("quit;\r");
    assert!(again.wait().success());
}

/// The process of the cluster's SQL client.
fn client_pid(cluster: &Cluster) -> u32 {
    let conf = cluster.conf().to_string_lossy().into_owned();
    eventually("the SQL client runs", Duration::from_secs(20), || {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut clients = processes.filter(|entry| {
            let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
            read("comm") == b"sql-client\n" && String::from_utf8_lossy(&read("environ")).contains(&conf)
        });
        let pid = clients.find_map(|entry| entry.file_name().to_string_lossy().parse().ok());
        pid.ok_or_else(|| "no such process".to_owned())
    })
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was_and_no_query() {
    const AS_FOUND: &str = "isig icanon iexten ";
    let cluster = Cluster::builder().start();
    let mut client = Terminal::open_in_shell(&cluster, "bin/sql-client.sh");
    client.wait_for("Flink SQL> ");
    client.keys(NUMBERS);
    client.wait_for("succeeded.");
    client.wait_for("Flink SQL> ");
    client.keys("SELECT k, COUNT(*) AS c FROM n GROUP BY k;\r");
    client.wait_for("3 rows, ");
    process::signal(client_pid(&cluster), Signal::TERM);
    client.wait_for("\x1b[?1049l");
    client.wait_for("status 143");
    client.wait_for(AS_FOUND);
    wait_for_canceled(&cluster, 1);

    let mut client = Terminal::open_in_shell(&cluster, "bin/sql-client.sh");
    client.wait_for("Flink SQL> ");
    process::signal(client_pid(&cluster), Signal::TERM);
    client.wait_for("status 143");
    client.wait_for(AS_FOUND);
}

/// Before, only the first of several lines that came at once was run, and a result swallowed what came before it.
#[test]
fn nothing_that_is_typed_ahead_or_pasted_is_lost() {
    const COUNT: &str = "SELECT k, COUNT(*) AS c FROM n GROUP BY k;\r";
    const NO_VIEWS: &str = "Empty set";
    let cluster = Cluster::builder().start();
    let mut client = Terminal::open(&cluster, "bin/sql-client.sh");
    client.wait_for("Flink SQL> ");
    client.keys(&format!("{NUMBERS}{}SHOW TABLES;\r", "SHOW VIEWS;\r".repeat(20)));
    client.wait_for("succeeded.");
    for _ in 0..20 {
        client.wait_for(NO_VIEWS);
    }
    client.wait_for("1 row in set");
    client.wait_for("Flink SQL> ");
    client.keys("\x1b[200~SHOW VIEWS;\nSHOW TABLES;\x1b[201~\r");
    client.wait_for(NO_VIEWS);
    client.wait_for("1 row in set");
    client.wait_for("Flink SQL> ");

    // Behind a statement whose result takes the screen.
    client.keys(&format!("{COUNT}SHOW TABLES;\r"));
    client.wait_for("3 rows, ");
    client.keys("q");
    client.wait_for("[INFO] Result retrieval cancelled.");
    client.wait_for("1 row in set");
    client.wait_for("Flink SQL> ");
    // Into the result, and right behind the key that leaves it.
    client.keys(COUNT);
    client.wait_for("3 rows, ");
    client.keys("\x1b[200~SHOW VIEWS;\n\x1b[201~");
    client.keys("qSHOW TABLES;\rSHOW VI");
    client.wait_for("[INFO] Result retrieval cancelled.");
    client.wait_for(NO_VIEWS);
    client.wait_for("1 row in set");
    client.keys("EWS;\r");
    client.wait_for(NO_VIEWS);
    client.keys("quit;\r");
    assert!(client.wait().success());
}

#[test]
fn results_in_all_modes_and_ctrl_c() {
    let cluster = Cluster::builder().start();
    let mut client = Terminal::open(&cluster, "bin/sql-client.sh");
    client.wait_for("Flink SQL> ");
    client.keys(NUMBERS);
    client.wait_for("succeeded.");

    client.keys("SELECT k, COUNT(*) AS c FROM n GROUP BY k;\r");
    client.wait_for("3 rows, ");
    client.keys("q");
    client.wait_for("[INFO] Result retrieval cancelled.");
    wait_for_canceled(&cluster, 1);

    client.keys("SET 'sql-client.execution.result-mode' = 'changelog';\r");
    client.wait_for("succeeded.");
    client.keys("SELECT k, COUNT(*) AS c FROM n GROUP BY k;\r");
    client.wait_for("| +U |");
    client.keys("\x03");
    client.wait_for("[INFO] Result retrieval cancelled.");
    wait_for_canceled(&cluster, 2);

    client.keys("SET 'sql-client.execution.result-mode' = 'tableau';\r");
    client.wait_for("succeeded.");
    client.keys("SELECT k FROM n;\r");
    client.wait_for("| +I |");
    client.keys("\x03");
    client.wait_for("Query terminated, received a total of ");
    wait_for_canceled(&cluster, 3);

    client.keys("SELECT k FROM (VALUES (1), (2)) AS t(k);\r");
    client.wait_for("Received a total of 2 rows");
    client.keys("quit;\r");
    assert!(client.wait().success());
}

/// Waits until a process stands in a write: from one look to the next it has written nothing.
fn wait_until_it_cannot_write(pid: u32) {
    let mut before = String::new();
    eventually("the client stands in a write", Duration::from_secs(20), || {
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).map_err(|error| error.to_string())?;
        let written = io.lines().find(|line| line.starts_with("wchar:")).unwrap_or_default().to_owned();
        if written == before { Ok(()) } else { Err(std::mem::replace(&mut before, written)) }
    });
}

/// Before, it was asked for only while rows were fetched: one that came while rows were written, or while the job's state was asked
/// for, was lost, and the job ran on.
#[test]
fn ctrl_c_cancels_a_query_in_tableau_mode_at_any_moment() {
    let cluster = Cluster::builder().start();
    let mut client = Terminal::open(&cluster, "bin/sql-client.sh");
    client.wait_for("Flink SQL> ");
    client.keys("CREATE TABLE g (a BIGINT, s STRING) WITH ('connector' = 'datagen');\r");
    client.wait_for("succeeded.");
    client.keys("SET 'sql-client.execution.result-mode' = 'tableau';\r");
    client.wait_for("succeeded.");

    // Many rows, and a terminal that takes none of them for a while.
    client.keys("SELECT * FROM g;\r");
    client.wait_for("| +I |");
    client.hold(true);
    let pid = client_pid(&cluster);
    wait_until_it_cannot_write(pid);
    process::signal(pid, Signal::INT);
    client.hold(false);
    client.wait_for("Query terminated, received a total of ");
    wait_for_canceled(&cluster, 1);

    // None, for the job waits for slots.
    client.wait_for("Flink SQL> ");
    client.keys("SET 'parallelism.default' = '30';\r");
    client.wait_for("succeeded.");
    client.keys("SELECT a FROM g;\r");
    client.wait_for("waits for slots");
    client.keys("\x03");
    client.wait_for("Query terminated, received a total of 0 rows");
    wait_for_canceled(&cluster, 2);
    client.keys("quit;\r");
    assert!(client.wait().success());
}

#[test]
fn a_result_shows_every_column_and_every_value() {
    let cluster = Cluster::builder().start();
    let mut client = Terminal::open(&cluster, "bin/sql-client.sh");
    client.wait_for("Flink SQL> ");
    client.keys("SELECT a, REPEAT('x', 120) || 'end' AS u, REPEAT('y', 90) AS v, REPEAT('z', 90) AS w,\r");
    client.keys("  'hidden' AS h FROM (VALUES (1)) AS t(a);\r");
    client.wait_for("finished, columns 1-3 of 5");
    client.keys("\x1b[C");
    client.wait_for("columns 2-4 of 5");
    client.keys("\x1b[C");
    client.wait_for("columns 3-5 of 5");
    client.wait_for("hidden");
    client.keys("\r");
    client.wait_for("Row 1");
    client.wait_for("xxend");
    client.wait_for("hidden");
    client.keys("q");
    client.wait_for("Left/Right columns");
    client.keys("q");
    client.wait_for("[INFO] Result retrieval completed.");
    client.keys("quit;\r");
    assert!(client.wait().success());
}

#[test]
fn the_prompt_completes_settings_says_that_it_goes_on_and_shows_bytes() {
    let cluster = Cluster::builder().start();
    let mut client = Terminal::open(&cluster, "bin/sql-client.sh");
    client.wait_for("Flink SQL> ");
    client.keys("SET 'sql-client.execution.resu\t = 'tablea\t;\r");
    client.wait_for("succeeded.");
    client.keys("SET 'sql-client.execution.result-mode' = 'tablo';\r");
    client.wait_for("expected one of TABLE, CHANGELOG, TABLEAU");
    client.keys("SET 'execution.checkpointing.intervall' = '10 s';\r");
    client.wait_for("[WARNING] ");
    client.wait_for("did you mean 'execution.checkpointing.interval'?");
    client.wait_for("succeeded.");
    client.keys("SELECT X'abcd' AS b\r");
    client.wait_for("> goes on until ;");
    client.keys(";\r");
    client.wait_for("x'abcd'");
    client.wait_for("Received a total of 1 row");
    client.keys("SELECT 'unterminated;\r");
    client.wait_for("> a text is open, goes on until '");
    client.keys("\x03");
    client.wait_for("Flink SQL> ");
    client.keys("HELP;\r");
    client.wait_for("STOP JOB 'id'");
    client.keys("quit;\r");
    assert!(client.wait().success());
}

/// Before, any statement counted as one of the set, and the first that was none lost all of it at END.
#[test]
fn a_statement_set_keeps_what_it_has_where_a_statement_is_refused() {
    let cluster = Cluster::builder().start();
    let mut client = Terminal::open(&cluster, "bin/sql-client.sh");
    client.wait_for("Flink SQL> ");
    client.keys("SET 'table.dml-sync' = 'true';\r");
    client.wait_for("succeeded.");
    client.keys("CREATE TABLE sink (k INT) WITH ('connector' = 'blackhole');\r");
    client.wait_for("succeeded.");
    client.keys("BEGIN STATEMENT SET;\r");
    client.wait_for("Statement set of 0 so far");
    client.keys("INSERT INTO sink SELECT 1;\r");
    client.wait_for("Statement set of 1 so far");
    for (wrong, words) in [
        ("SHOW TABLES;\r", "Only INSERT INTO can be part of a statement set."),
        ("SELECT 1;\r", "Only INSERT INTO"),
        ("INSERT INTO nowhere SELECT 1;\r", "does not exist"),
        ("INSERT INTO sink SELEC 1;\r", "SQL parse failed."),
        ("BEGIN STATEMENT SET;\r", "A statement set of 1 has begun already"),
    ] {
        client.keys(wrong);
        client.wait_for(words);
    }
    client.keys("INSERT INTO sink\r");
    client.wait_for("> goes on until ;");
    client.keys("\x03");
    client.wait_for("Flink SQL> ");
    client.keys("INSERT INTO sink SELECT 2;\r");
    client.wait_for("Statement set of 2 so far");
    client.keys("END;\r");
    client.wait_for("[INFO] Statement set: 2 statements into");
    client.wait_for("[INFO] Complete execution");
    client.keys("BEGIN STATEMENT SET; END;\r");
    client.wait_for("The statement set is empty");
    client.keys("SHOW TABLES;\r");
    client.wait_for("1 row in set");
    client.keys("quit;\r");
    assert!(client.wait().success());
}
