"""What the checksum of rows between TaskManagers costs: the same jobs with and without it, in turn.

payload_checksums.py HOME [--rounds N]

HOME is an installation of Wiesel (`make -s dist`). Two clusters of two TaskManagers with a slot each, alike but for
`taskmanager.network.payload-checksum`. Nexmark q0 sends its rows nowhere; `shuffle` sends half of two columns of numbers to
the other TaskManager, to a cheap aggregation by a thousand keys; `wide` half of Nexmark's bids with their texts.
Medians of the paired ratios are shown, of time and of the TaskManagers' CPU seconds, with the least and the most.
"""
import argparse, pathlib, statistics, sys, tempfile

import engines

HERE = pathlib.Path(__file__).resolve().parent
TABLES = (HERE / "nexmark" / "tables.sql").read_text()
SHUFFLE = """
CREATE TABLE numbers (k BIGINT, v BIGINT) WITH (
  'connector' = 'datagen', 'number-of-rows' = '${EVENTS}', 'rows-per-second' = '1000000000',
  'fields.k.min' = '1', 'fields.k.max' = '1000', 'fields.v.min' = '0', 'fields.v.max' = '1000');
CREATE TABLE counted (k BIGINT, n BIGINT, s BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO counted SELECT k, COUNT(*), SUM(v) FROM numbers GROUP BY k;
"""
WIDE = """
CREATE TABLE longest (channel VARCHAR, n BIGINT, url VARCHAR, extra VARCHAR) WITH ('connector' = 'blackhole');
INSERT INTO longest SELECT channel, COUNT(*), MAX(url), MAX(extra) FROM bid GROUP BY channel;
"""
JOBS = {
    "q0": (TABLES + (HERE / "nexmark" / "q0.sql").read_text(), 100_000_000),
    "shuffle": (SHUFFLE, 100_000_000),
    "wide": (TABLES + WIDE, 10_000_000),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    settings = {"taskmanager.numberOfTaskSlots": 1, "parallelism.default": 2}
    clusters = []
    try:
        for checksum in ["true", "false"]:
            own = {**settings, "taskmanager.network.payload-checksum": checksum}
            clusters.append(engines.wiesel(options.home.resolve(), own, task_managers=2))
        with tempfile.TemporaryDirectory() as folder:
            for name, (text, events) in JOBS.items():
                script = pathlib.Path(folder, f"{name}.sql")
                script.write_text(text.replace("${EVENTS}", str(events)))
                measure(name, script, clusters, options.rounds)
    finally:
        for cluster in clusters:
            cluster.stop()


def measure(name, script, clusters, rounds):
    ratios = []
    for number in range(rounds):
        # Which one is first changes: the second one may find a warmer machine.
        runs = {}
        for cluster in clusters if number % 2 else reversed(clusters):
            runs[cluster] = cluster.run(script)
        checked, plain = (runs[cluster] for cluster in clusters)
        ratios.append([a / b for a, b in zip(checked, plain)])
        print(f"round {number + 1} {name:8} {checked[0]:7.2f} s {checked[1]:7.2f} CPU s, without "
              f"checksums {plain[0]:7.2f} s {plain[1]:7.2f} CPU s", file=sys.stderr)
    for what, column in zip(["time", "CPU"], zip(*ratios)):
        column = [100 * (ratio - 1) for ratio in column]
        print(f"{name:8} {what:5} {statistics.median(column):+6.1f} % with checksums ({min(column):+.1f} to {max(column):+.1f})")


main()
