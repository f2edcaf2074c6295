"""Nexmark on Wiesel and on Apache Flink, in turn: events per second, CPU seconds and their ratios.

run.py HOME [--beside HOME] [--events N] [--rounds N] [--parallelism N] [--queries q0,q1,…] [--set KEY=VALUE…]

HOME is an installation of Wiesel (`make -s dist`); Flink is found as engines.py says, without it Wiesel is measured alone.
With --beside an installation of another version of Wiesel takes Flink's place, and medians of the paired ratios are shown, with
the least and the most.
Both have one TaskManager with the same memory. `groups` is no Nexmark query: it counts and sums by ten million keys on
RocksDB, with mini-batches, over twice as many events. CPU seconds are those of the TaskManager; every round runs each query
once on each engine, medians are shown. Options given with --set go into every script.
"""
import argparse, pathlib, statistics, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import engines

QUERIES = ["q0", "q1", "q2", "q14", "q21", "q22", "tumble", "groups"]
# Those that bring their own tables, with as many events for each one that is asked for.
OTHERS = {"groups": 2}


def script(query, events, settings):
    lines = [f"SET '{key}' = '{value}';" for key, value in settings.items()]
    tables = "" if query in OTHERS else (HERE / "tables.sql").read_text()
    text = tables + (HERE / f"{query}.sql").read_text()
    return "\n".join(lines) + "\n" + text.replace("${EVENTS}", str(events_of(query, events)))


def events_of(query, events):
    return events * OTHERS.get(query, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=pathlib.Path)
    parser.add_argument("--beside", type=pathlib.Path)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--queries", default=",".join(QUERIES))
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    queries = options.queries.split(",")
    settings = {"parallelism.default": options.parallelism, "pipeline.object-reuse": "true", "table.dml-sync": "true"}
    settings.update(setting.split("=", 1) for setting in options.set)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for query in queries:
            pathlib.Path(folder, f"{query}.sql").write_text(script(query, options.events, settings))
        cluster = {"taskmanager.numberOfTaskSlots": options.parallelism, "taskmanager.memory.process.size": "4g"}
        clusters = [engines.wiesel(options.home.resolve(), cluster)]
        other = engines.wiesel(options.beside.resolve(), cluster, name="beside") if options.beside else engines.flink(cluster)
        clusters += [other] if other else []
        try:
            for number in range(options.rounds):
                for query in queries:
                    # Who is first changes: the second one may find a warmer machine.
                    for cluster in clusters[::-1] if number % 2 else clusters:
                        seconds, cpu = cluster.run(pathlib.Path(folder, f"{query}.sql"))
                        figures.setdefault((query, cluster.name), []).append((seconds, cpu))
                        print(f"round {number + 1} {query:8} {cluster.name:7} {seconds:8.2f} s {cpu:8.2f} CPU s", file=sys.stderr)
        finally:
            for cluster in clusters:
                cluster.stop()
    if options.beside:
        report_pairs(queries, figures)
    else:
        report(queries, figures, options.events, len(clusters) > 1)


def report_pairs(queries, figures):
    for query in queries:
        pairs = list(zip(figures[query, "wiesel"], figures[query, "beside"]))
        for column, what in enumerate(["time", "CPU"]):
            changes = [100 * (own[column] / other[column] - 1) for own, other in pairs]
            least, most = min(changes), max(changes)
            print(f"{query:8} {what:5} {statistics.median(changes):+6.1f} % beside the other ({least:+.1f} to {most:+.1f})")


def report(queries, figures, events, beside):
    print(f"{'query':8} {'events/s':>12} {'CPU s':>8}" + (f" {'Flink ev/s':>12} {'CPU s':>8} {'speed':>7} {'per CPU s':>10}" if beside else ""))
    for query in queries:
        count = events_of(query, events)
        seconds, cpu = (statistics.median(column) for column in zip(*figures[query, "wiesel"]))
        line = f"{query:8} {count / seconds:12,.0f} {cpu:8.2f}"
        if beside:
            other_seconds, other_cpu = (statistics.median(column) for column in zip(*figures[query, "flink"]))
            line += f" {count / other_seconds:12,.0f} {other_cpu:8.2f} {other_seconds / seconds:6.1f}x {other_cpu / max(cpu, 0.01):9.1f}x"
        print(line)


main()
