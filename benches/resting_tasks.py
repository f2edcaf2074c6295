"""What tasks at rest cost the JobManager: its CPU seconds, and the TaskManagers', while all run and none has anything to do.

resting_tasks.py HOME [--tasks N ...] [--seconds S]

HOME is an installation of Wiesel (`make -s dist`, or `make -s home`). For each number a job of as many tasks runs on four
TaskManagers; each task is a source with a row in half an hour, chained to a sink that drops it.
"""
import argparse, pathlib, tempfile, time

import engines

TASK_MANAGERS = 4
SQL = """
CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1');
CREATE TABLE nowhere (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nowhere SELECT n FROM numbers;
"""


def measure(home, tasks, seconds):
    slots = -(-tasks // TASK_MANAGERS)
    settings = {"taskmanager.numberOfTaskSlots": slots, "parallelism.default": tasks}
    cluster = engines.wiesel(home, settings, TASK_MANAGERS)
    try:
        with tempfile.TemporaryDirectory() as folder:
            script = pathlib.Path(folder, "resting.sql")
            script.write_text(SQL)
            began = time.monotonic()
            cluster.start_job(script)
            started = time.monotonic() - began
            # What deployment leaves to be done is done.
            time.sleep(10)
            before = [cluster.cpu_seconds(daemon) for daemon in ["standalonesession", "taskexecutor"]]
            time.sleep(seconds)
            after = [cluster.cpu_seconds(daemon) for daemon in ["standalonesession", "taskexecutor"]]
            if not cluster.is_running():
                raise SystemExit(f"the job does not run any more; see {cluster.folder}/log")
            used = [(b - a) / seconds for a, b in zip(before, after)]
            print(f"{tasks:6} tasks: all run after {started:5.1f} s; at rest the JobManager takes {1000 * used[0]:7.2f} ms of "
                  f"CPU a second, the {TASK_MANAGERS} TaskManagers together {1000 * used[1]:7.2f} ms", flush=True)
    finally:
        cluster.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=pathlib.Path)
    parser.add_argument("--tasks", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    for tasks in options.tasks:
        measure(options.home.resolve(), tasks, options.seconds)


main()
