"""Nexmark on Wiesel and on Apache Flink, in turn: events per second, CPU seconds and their ratios.

run.py HOME [--events N] [--rounds N] [--parallelism N] [--queries q0,q1,…]

HOME is an installation of Wiesel (`make -s dist`). Flink is run through the command in FLINK_ORACLE, which must know `start`,
`stop` and `time FILE` (one JSON line a job: {"seconds": …, "cpu_seconds": …}), or through an installation in FLINK_HOME
whose lib/ holds a `nexmark` connector with the options of docs/nexmark.md; without either Wiesel is measured alone.
CPU seconds are those of the TaskManager processes; every round runs each query once on each engine, medians are shown.
"""
import argparse, json, os, pathlib, shutil, socket, statistics, subprocess, sys, tempfile, time, urllib.request

HERE = pathlib.Path(__file__).resolve().parent
QUERIES = ["q0", "q1", "q2", "q14", "q21", "q22", "tumble"]


def script(query, events, settings):
    lines = [f"SET '{key}' = '{value}';" for key, value in settings.items()]
    text = (HERE / "tables.sql").read_text() + (HERE / f"{query}.sql").read_text()
    return "\n".join(lines) + "\n" + text.replace("${EVENTS}", str(events))


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def jobs(port):
    with urllib.request.urlopen(f"http://localhost:{port}/jobs/overview", timeout=10) as answer:
        return json.load(answer)["jobs"]


def cpu_seconds(matches):
    """User and system time of all processes whose command line matches."""
    total = 0
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if matches((folder / "cmdline").read_text()):
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total / os.sysconf("SC_CLK_TCK")


def timed(port, is_task_manager, command, environment=None):
    """Runs a command that runs one job to its end; its seconds by the cluster's clock and the TaskManagers' CPU seconds."""
    before = {job["jid"] for job in jobs(port)}
    cpu = cpu_seconds(is_task_manager)
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    cpu = cpu_seconds(is_task_manager) - cpu
    new = [job for job in jobs(port) if job["jid"] not in before]
    if run.returncode != 0 or len(new) != 1 or new[0]["state"] != "FINISHED":
        sys.exit(f"{' '.join(command)}: {new}\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return new[0]["duration"] / 1000, cpu


class Wiesel:
    """A cluster of its own on free ports: one JobManager, one TaskManager."""

    def __init__(self, home, parallelism):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nexmark-"))
        self.home = home
        self.port, rpc = free_ports(2)
        conf = self.folder / "conf"
        shutil.copytree(home / "conf", conf)
        (conf / "workers").write_text("localhost\n")
        (conf / "masters").write_text(f"localhost:{self.port}\n")
        properties = f"rest.port: {self.port}\njobmanager.rpc.port: {rpc}\ntaskmanager.numberOfTaskSlots: {parallelism}\n"
        self.environment = dict(
            os.environ, FLINK_CONF_DIR=str(conf), FLINK_PROPERTIES=properties,
            FLINK_LOG_DIR=str(self.folder / "log"), FLINK_PID_DIR=str(self.folder / "pid"))
        (self.folder / "log").mkdir()
        (self.folder / "pid").mkdir()
        self.call("start-cluster.sh")
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://localhost:{self.port}/overview", timeout=1) as answer:
                    if json.load(answer)["slots-total"] >= parallelism:
                        return
            except OSError:
                pass
            if time.monotonic() > deadline:
                sys.exit(f"Wiesel did not come up, see {self.folder}/log")
            time.sleep(0.05)

    def call(self, name):
        subprocess.run([f"{self.home}/bin/{name}"], env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def run(self, path):
        is_task_manager = lambda command: command.startswith(f"{self.home}/lib/taskmanager")
        return timed(self.port, is_task_manager, [f"{self.home}/bin/flink", "run", str(path)], self.environment)

    def stop(self):
        self.call("stop-cluster.sh")
        shutil.rmtree(self.folder)


class Oracle:
    """Flink behind a command."""

    def __init__(self, command, parallelism):
        self.command = command
        os.environ["FLINK_SLOTS"] = str(parallelism)
        subprocess.run([command, "start"], check=True, stdout=subprocess.DEVNULL)

    def run(self, path):
        out = subprocess.run([self.command, "time", str(path)], capture_output=True, text=True)
        found = [json.loads(line) for line in out.stdout.splitlines() if line.startswith("{")]
        if len(found) != 1 or found[0]["state"] != "FINISHED":
            sys.exit(f"Flink: {out.stdout[-2000:]}{out.stderr[-2000:]}")
        return found[0]["seconds"], found[0]["cpu_seconds"]

    def stop(self):
        subprocess.run([self.command, "stop"], check=True, stdout=subprocess.DEVNULL)


class Flink:
    """An installation of Flink, on its own configuration."""

    def __init__(self, home, parallelism):
        self.home = home
        self.port = int(os.environ.get("FLINK_REST_PORT", "8081"))
        subprocess.run([f"{home}/bin/start-cluster.sh"], check=True, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://localhost:{self.port}/overview", timeout=1) as answer:
                    if json.load(answer)["slots-total"] >= parallelism:
                        return
            except OSError:
                pass
            time.sleep(0.2)
        sys.exit(f"Flink offers no {parallelism} slots on port {self.port}")

    def run(self, path):
        is_task_manager = lambda command: self.home in command and "TaskManagerRunner" in command
        return timed(self.port, is_task_manager, [f"{self.home}/bin/sql-client.sh", "embedded", "-f", str(path)])

    def stop(self):
        subprocess.run([f"{self.home}/bin/stop-cluster.sh"], check=True, stdout=subprocess.DEVNULL)


def rival(parallelism):
    if os.environ.get("FLINK_ORACLE"):
        return Oracle(os.environ["FLINK_ORACLE"], parallelism)
    if os.environ.get("FLINK_HOME"):
        return Flink(os.environ["FLINK_HOME"], parallelism)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=pathlib.Path)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--queries", default=",".join(QUERIES))
    options = parser.parse_args()
    queries = options.queries.split(",")
    home = options.home.resolve()
    settings = {"parallelism.default": options.parallelism, "pipeline.object-reuse": "true", "table.dml-sync": "true"}
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for query in queries:
            pathlib.Path(folder, f"{query}.sql").write_text(script(query, options.events, settings))
        flink = rival(options.parallelism)
        wiesel = Wiesel(home, options.parallelism)
        engines = {"wiesel": wiesel, **({"flink": flink} if flink else {})}
        try:
            for number in range(options.rounds):
                for query in queries:
                    for name, engine in engines.items():
                        seconds, cpu = engine.run(pathlib.Path(folder, f"{query}.sql"))
                        figures.setdefault((query, name), []).append((seconds, cpu))
                        print(f"round {number + 1} {query:8} {name:7} {seconds:8.2f} s {cpu:8.2f} CPU s", file=sys.stderr)
        finally:
            for engine in engines.values():
                engine.stop()
    report(queries, figures, options.events, bool(flink))


def report(queries, figures, events, beside):
    print(f"{'query':8} {'events/s':>12} {'CPU s':>8}" + (f" {'Flink ev/s':>12} {'CPU s':>8} {'speed':>7} {'per CPU s':>10}" if beside else ""))
    for query in queries:
        seconds, cpu = (statistics.median(column) for column in zip(*figures[query, "wiesel"]))
        line = f"{query:8} {events / seconds:12,.0f} {cpu:8.2f}"
        if beside:
            other_seconds, other_cpu = (statistics.median(column) for column in zip(*figures[query, "flink"]))
            line += f" {events / other_seconds:12,.0f} {other_cpu:8.2f} {other_seconds / seconds:6.1f}x {other_cpu / max(cpu, 0.01):9.1f}x"
        print(line)


main()
