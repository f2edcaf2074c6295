//! The scripts of the tests.
use wiesel_tests::home;

/// A sink for anything of these columns.
pub fn blackhole(columns: &str) -> String {
    format!("CREATE TABLE nowhere ({columns}) WITH ('connector' = 'blackhole');\n")
}

/// The flights of 2013: 336,776 rows.
pub fn flights() -> String {
    format!(
        "CREATE TABLE flights (dep TIMESTAMP(0), carrier STRING, flight INT, tail STRING, origin STRING, dest STRING,
           dep_delay INT, arr_delay INT, air_time INT, distance INT, WATERMARK FOR dep AS dep - INTERVAL '1' MINUTE)
         WITH ('connector' = 'filesystem', 'path' = '{}/examples/data/flights-2013.csv.gz', 'format' = 'csv',
           'csv.null-literal' = '');\n",
        home().display()
    )
}

/// Numbers without end, in `rate` rows a second, aggregated by key into nowhere: two tasks with a shuffle between them.
pub fn endless_shuffle(rate: u64) -> String {
    format!(
        "CREATE TABLE numbers (k INT, v BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '{rate}',
           'fields.k.min' = '1', 'fields.k.max' = '1000');\n\
         {}INSERT INTO nowhere SELECT k, COUNT(*), MAX(v) FROM numbers GROUP BY k;\n",
        blackhole("k INT, c BIGINT, m BIGINT, PRIMARY KEY (k) NOT ENFORCED")
    )
}

/// `rows` numbers in `rate` rows a second, aggregated by key into nowhere.
pub fn bounded_shuffle(rows: u64, rate: u64) -> String {
    format!(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '{rate}',
           'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{rows}');\n\
         {}INSERT INTO nowhere SELECT n % 100, COUNT(*) FROM numbers GROUP BY n % 100;\n",
        blackhole("k BIGINT, c BIGINT, PRIMARY KEY (k) NOT ENFORCED")
    )
}

/// Ten rows.
pub fn trivial() -> String {
    bounded_shuffle(10, 100_000)
}
