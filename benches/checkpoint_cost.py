"""What a checkpoint each second costs: the same jobs with and without, in turn.

checkpoint_cost.py HOME [--rounds N]

HOME is an installation of Wiesel (`make -s dist`). Nexmark q0 and a count by a million keys on RocksDB, at parallelism 2.
Medians of the paired ratios are shown, of time and of the TaskManager's CPU seconds, with the least and the most.
"""
import argparse, pathlib, statistics, sys, tempfile

import engines

HERE = pathlib.Path(__file__).resolve().parent
INTERVAL = "SET 'execution.checkpointing.interval' = '1 s';\n"
GROUPS = """
SET 'state.backend.type' = 'rocksdb';
CREATE TABLE numbers (k BIGINT, v BIGINT) WITH (
  'connector' = 'datagen', 'number-of-rows' = '${EVENTS}', 'rows-per-second' = '1000000000',
  'fields.k.min' = '1', 'fields.k.max' = '1000000', 'fields.v.min' = '0', 'fields.v.max' = '1000');
CREATE TABLE counted (k BIGINT, n BIGINT, s BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO counted SELECT k, COUNT(*), SUM(v) FROM numbers GROUP BY k;
"""
JOBS = {
    "q0": ((HERE / "nexmark" / "tables.sql").read_text() + (HERE / "nexmark" / "q0.sql").read_text(), 150_000_000),
    "groups": (GROUPS, 60_000_000),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=13)
    options = parser.parse_args()
    settings = {"taskmanager.numberOfTaskSlots": 2, "parallelism.default": 2, "taskmanager.memory.process.size": "4g"}
    cluster = engines.wiesel(options.home.resolve(), settings)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, (text, events) in JOBS.items():
                text = text.replace("${EVENTS}", str(events))
                plain, checkpointed = pathlib.Path(folder, "plain.sql"), pathlib.Path(folder, "checkpointed.sql")
                plain.write_text(text)
                checkpointed.write_text(INTERVAL + text)
                ratios = []
                for number in range(options.rounds):
                    # Who is first changes: the second one may find a warmer machine.
                    order = [plain, checkpointed] if number % 2 else [checkpointed, plain]
                    runs = {path: cluster.run(path) for path in order}
                    ratios.append([b / a for a, b in zip(runs[plain], runs[checkpointed])])
                    print(f"round {number + 1} {name:8} {runs[plain][0]:7.2f} s {runs[plain][1]:7.2f} CPU s, with "
                          f"checkpoints {runs[checkpointed][0]:7.2f} s {runs[checkpointed][1]:7.2f} CPU s", file=sys.stderr)
                for what, column in zip(["time", "CPU"], zip(*ratios)):
                    column = [100 * (ratio - 1) for ratio in column]
                    print(f"{name:8} {what:5} {statistics.median(column):+6.1f} % with a checkpoint each second "
                          f"({min(column):+.1f} to {max(column):+.1f})")
    finally:
        cluster.stop()


main()
