"""A job whose state is ten times its memory: resident memory, and what an incremental checkpoint uploads.

large_state.py HOME [--job texts|distinct|extremes] [--keys N] [--change PERCENT] [--checkpoints N]

HOME is an installation of Wiesel (`make -s dist`). Two subtasks keep a text of 1000 characters for each of five million keys
in RocksDB, with 512 MB of managed memory in a process of 1728 MB. When all keys are there a checkpoint is taken, then one
each time that so many percent of the keys have got another text. The first ones also write what compaction has made of the
files since the keys were loaded. Of the other jobs one group has all keys: `distinct` counts the keys that it has seen, half of
the later ones are new; `extremes` knows the least and the greatest of the sums of all keys, which change. Shows the size of the state, the largest resident memory of the TaskManager and the bytes
that each checkpoint had to write.
"""
import argparse, pathlib, subprocess, sys, tempfile, time

import engines

TABLES = """
SET 'state.backend.type' = 'rocksdb';
CREATE TABLE all_keys (k BIGINT${COLUMN}) WITH (
  'connector' = 'datagen', 'number-of-rows' = '${KEYS}', 'rows-per-second' = '1000000000'${OPTION},
  'fields.k.kind' = 'sequence', 'fields.k.start' = '1', 'fields.k.end' = '${KEYS}');
CREATE TABLE changes (k BIGINT${COLUMN}) WITH (
  'connector' = 'datagen', 'rows-per-second' = '${RATE}'${OPTION}, 'fields.k.min' = '1', 'fields.k.max' = '${MOST}');
"""
TEXTS = TABLES.replace("${COLUMN}", ", text STRING").replace("${OPTION}", ", 'fields.text.length' = '1000'")
NUMBERS = TABLES.replace("${COLUMN}", "").replace("${OPTION}", "")
JOBS = {
    "texts": TEXTS.replace("${MOST}", "${KEYS}") + """
CREATE TABLE latest (k BIGINT, text STRING, n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO latest SELECT k, MAX(text), COUNT(*) FROM (SELECT * FROM all_keys UNION ALL SELECT * FROM changes) GROUP BY k;
""",
    "distinct": NUMBERS.replace("${MOST}", "${TWICE}") + """
CREATE TABLE counted (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO counted SELECT COUNT(DISTINCT k) FROM (SELECT * FROM all_keys UNION ALL SELECT * FROM changes);
""",
    "extremes": NUMBERS.replace("${MOST}", "${KEYS}") + """
CREATE TABLE ends (least BIGINT, greatest BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO ends SELECT MIN(total), MAX(total) FROM (
  SELECT k, SUM(k) AS total FROM (SELECT * FROM all_keys UNION ALL SELECT * FROM changes) GROUP BY k);
""",
}
# Rows a second that change keys.
RATE = 2000
SETTINGS = {
    "taskmanager.numberOfTaskSlots": 2, "parallelism.default": 2, "taskmanager.memory.managed.size": "512m",
    "execution.checkpointing.incremental": "true", "execution.checkpointing.interval": "10 h",
    "execution.checkpointing.timeout": "1 h",
}


def resident(cluster):
    """The most that the TaskManager ever had resident, MB."""
    status = pathlib.Path(f"/proc/{cluster.pids()[0]}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def rows_read(cluster):
    """Rows that the first aggregate has taken."""
    vertices = cluster.get(f"/jobs/{cluster.job}")["vertices"]
    return next((vertex["metrics"]["read-records"] for vertex in vertices if vertex["metrics"]["read-records"] > 0), 0)


def checkpoint(cluster):
    subprocess.run([f"{cluster.home}/bin/flink", "checkpoint", cluster.job], env=cluster.environment, check=True,
                   stdout=subprocess.DEVNULL)
    return cluster.checkpoints()["latest"]["completed"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=pathlib.Path)
    parser.add_argument("--job", choices=JOBS, default="texts")
    parser.add_argument("--keys", type=int, default=5_000_000)
    parser.add_argument("--change", type=float, default=1)
    parser.add_argument("--checkpoints", type=int, default=6)
    options = parser.parse_args()
    cluster = engines.wiesel(options.home.resolve(), SETTINGS)
    try:
        with tempfile.TemporaryDirectory() as folder:
            script = pathlib.Path(folder, "large_state.sql")
            text = JOBS[options.job].replace("${KEYS}", str(options.keys)).replace("${TWICE}", str(2 * options.keys))
            script.write_text(text.replace("${RATE}", str(RATE)))
            cluster.start_job(script)
            start = time.monotonic()
            report = lambda: print(f"{time.monotonic() - start:6.0f} s {rows_read(cluster):10,} rows, at most {resident(cluster):,.0f} MB resident", file=sys.stderr)
            def loaded():
                report()
                return rows_read(cluster) >= options.keys + RATE * (time.monotonic() - start) * 0.9
            cluster.wait("all keys", 3600, loaded, pause=10)
            first = checkpoint(cluster)
            print(f"state {first['state_size'] / 1e9:.2f} GB of {options.keys:,} keys of {options.job}; "
                  f"the first checkpoint took {first['end_to_end_duration'] / 1000:.1f} s")
            for _ in range(options.checkpoints):
                before, wanted = rows_read(cluster), options.keys * options.change / 100
                cluster.wait("the change", 600, lambda: rows_read(cluster) - before >= wanted, pause=0.2)
                changed = rows_read(cluster) - before
                taken = checkpoint(cluster)
                state, written = taken["state_size"], taken["checkpointed_size"]
                print(f"after {100 * changed / options.keys:.2f} % of the keys changed a checkpoint wrote {written / 1e6:,.1f} MB, "
                      f"{100 * written / state:.2f} % of {state / 1e9:.2f} GB, in {taken['end_to_end_duration'] / 1000:.1f} s", flush=True)
            report()
        print(f"TaskManager: at most {resident(cluster):,.0f} MB resident, of a process size of 1728 MB with 512 MB managed")
    finally:
        cluster.stop()


main()
