"""How long a job is down after kill -9 of a TaskManager with a spare slot, on Wiesel and on Apache Flink.

recovery.py HOME [--rounds N] [--keys N] [--engines wiesel,flink]

HOME is an installation of Wiesel (`make -s dist`); Flink is found as engines.py says, without it Wiesel is measured alone.
Both run the same job on three TaskManagers with a slot each and the same configuration: a group aggregate at parallelism 2
with a checkpoint each second. A round kills a TaskManager that has a part of the job, measures until the job and all its
tasks are RUNNING again by REST, and starts a new TaskManager. Medians are shown.
"""
import argparse, glob, os, pathlib, signal, statistics, sys, tempfile, time

import engines

SCRIPT = """
CREATE TABLE numbers (k INT, v BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '20000',
  'fields.k.min' = '1', 'fields.k.max' = '${KEYS}');
CREATE TABLE nowhere (k INT, c BIGINT, s BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nowhere SELECT k, COUNT(*), SUM(v % 1000) FROM numbers GROUP BY k;
"""
TASK_MANAGERS = 3
SETTINGS = {
    "taskmanager.numberOfTaskSlots": 1, "parallelism.default": 2, "execution.checkpointing.interval": "1 s",
    "restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": 1000000,
    "restart-strategy.fixed-delay.delay": "100 ms",
}


def listener(port):
    """The pid of the process that listens on a port."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(link) in inodes:
                return int(link.split("/")[2])
        except OSError:
            pass
    sys.exit(f"no process listens on port {port}")


def round_of(cluster):
    """Seconds from the kill to all tasks RUNNING again."""
    completed = lambda: cluster.checkpoints()["counts"]["completed"]
    before = completed()
    cluster.wait("two more checkpoints", 60, lambda: completed() >= before + 2)
    busy = [t for t in cluster.get("/taskmanagers")["taskmanagers"] if t["freeSlots"] == 0]
    pid = listener(busy[0]["dataPort"])
    killed = time.time()
    os.kill(pid, signal.SIGKILL)
    restarted = lambda: cluster.get(f"/jobs/{cluster.job}")["timestamps"]["RESTARTING"] >= killed * 1000 - 5
    cluster.wait("the job restarts", 300, lambda: restarted() and cluster.is_running())
    seconds = time.time() - killed
    cluster.script("taskmanager.sh", "start")
    cluster.wait_for_slots()
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--engines", default="wiesel,flink")
    options = parser.parse_args()
    start = {
        "wiesel": lambda: engines.wiesel(options.home.resolve(), SETTINGS, TASK_MANAGERS),
        "flink": lambda: engines.flink(SETTINGS, TASK_MANAGERS),
    }
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder, "recovery.sql")
        script.write_text(SCRIPT.replace("${KEYS}", str(options.keys)))
        for name in options.engines.split(","):
            cluster = start[name]()
            if cluster is None:
                continue
            try:
                cluster.start_job(script)
                for number in range(options.rounds):
                    seconds = round_of(cluster)
                    figures.setdefault(cluster.name, []).append(seconds)
                    print(f"round {number + 1} {cluster.name:7} {seconds:7.2f} s", file=sys.stderr)
            finally:
                cluster.stop()
    for name, seconds in figures.items():
        print(f"{name:7} median {statistics.median(seconds):6.2f} s, least {min(seconds):.2f}, most {max(seconds):.2f}")


main()
