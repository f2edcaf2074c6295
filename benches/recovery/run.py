"""How long a job is down after kill -9 of a TaskManager with a spare slot, on Wiesel and on Apache Flink.

run.py HOME [--rounds N] [--keys N] [--engines wiesel,flink]

HOME is an installation of Wiesel (`make -s dist`). Flink is the installation in FLINK_HOME (with a SQL client), or the one
that the command in FLINK_ORACLE knows (`home`, and `sql FILE` to run a script on the cluster at FLINK_REST_PORT); without
either Wiesel is measured alone. Both run the same job on three TaskManagers with a slot each and the same configuration: a
group aggregate at parallelism 2 with a checkpoint each second. A round kills a TaskManager that has a part of the job,
measures until the job and all its tasks are RUNNING again by REST, and starts a new TaskManager. Medians are shown.
"""
import argparse, glob, json, os, pathlib, shutil, signal, socket, statistics, subprocess, sys, tempfile, time, urllib.request

SCRIPT = """
CREATE TABLE numbers (k INT, v BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '20000',
  'fields.k.min' = '1', 'fields.k.max' = '${KEYS}');
CREATE TABLE nowhere (k INT, c BIGINT, s BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nowhere SELECT k, COUNT(*), SUM(v % 1000) FROM numbers GROUP BY k;
"""
TASK_MANAGERS = 3


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


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
    sys.exit(f"nobody listens on port {port}")


class Cluster:
    """Three TaskManagers with a slot each, on ports of their own, laid out by the scripts both engines have."""

    def __init__(self, name, home, submit):
        self.name, self.home, self.submit = name, home, submit
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"recovery-{name}-"))
        self.port, rpc = free_ports(2)
        conf = self.folder / "conf"
        shutil.copytree(home / "conf", conf)
        (conf / "workers").write_text("localhost\n" * TASK_MANAGERS)
        (conf / "masters").write_text(f"localhost:{self.port}\n")
        java = [line for line in (home / "conf" / "config.yaml").read_text().splitlines() if "--add-opens" in line]
        settings = {
            "rest.port": self.port, "rest.address": "localhost", "rest.bind-address": "localhost",
            "jobmanager.rpc.address": "localhost", "jobmanager.rpc.port": rpc, "jobmanager.bind-host": "localhost",
            "taskmanager.bind-host": "localhost", "taskmanager.host": "localhost", "taskmanager.numberOfTaskSlots": 1,
            "taskmanager.memory.process.size": "1728m", "jobmanager.memory.process.size": "1600m",
            "parallelism.default": 2, "execution.checkpointing.interval": "1 s",
            "execution.checkpointing.dir": f"file://{self.folder}/checkpoints",
            "restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": 1000000,
            "restart-strategy.fixed-delay.delay": "100 ms",
            "env.pid.dir": self.folder / "pid", "env.log.dir": self.folder / "log",
        }
        lines = [f"{key}: {value}" for key, value in settings.items()]
        lines += [f"env.java.opts.all: {line.split(': ', 1)[1]}" for line in java]
        (conf / "config.yaml").write_text("\n".join(lines) + "\n")
        (self.folder / "log").mkdir()
        (self.folder / "pid").mkdir()
        self.environment = dict(os.environ, FLINK_CONF_DIR=str(conf), FLINK_LOG_DIR=str(self.folder / "log"),
                                FLINK_PID_DIR=str(self.folder / "pid"), FLINK_REST_PORT=str(self.port))
        self.client = None
        self.script("start-cluster.sh")
        self.wait_for_slots()

    def script(self, name, *arguments):
        subprocess.run([f"{self.home}/bin/{name}", *arguments], env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def get(self, path):
        with urllib.request.urlopen(f"http://localhost:{self.port}{path}", timeout=10) as answer:
            return json.load(answer)

    def wait(self, what, limit, holds):
        deadline = time.monotonic() + limit
        while True:
            try:
                if holds():
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                sys.exit(f"{self.name}: not within {limit} s: {what}; see {self.folder}/log")
            time.sleep(0.005)

    def wait_for_slots(self):
        self.wait("all slots", 120, lambda: self.get("/overview")["slots-total"] == TASK_MANAGERS)

    def start_job(self, script):
        self.client = subprocess.Popen(self.submit(script), env=self.environment, stdout=subprocess.DEVNULL,
                                       stderr=open(self.folder / "log" / "client.err", "w"))
        self.wait("a job", 60, lambda: self.get("/jobs")["jobs"])
        self.job = self.get("/jobs")["jobs"][0]["id"]
        self.wait("all tasks running", 60, self.is_running)

    def is_running(self):
        job = self.get(f"/jobs/{self.job}")
        return job["state"] == "RUNNING" and all(v["tasks"]["RUNNING"] == v["parallelism"] for v in job["vertices"])

    def checkpoints(self):
        return self.get(f"/jobs/{self.job}/checkpoints")["counts"]["completed"]

    def round(self):
        """Seconds from the kill to all tasks RUNNING again."""
        before = self.checkpoints()
        self.wait("two more checkpoints", 60, lambda: self.checkpoints() >= before + 2)
        busy = [t for t in self.get("/taskmanagers")["taskmanagers"] if t["freeSlots"] == 0]
        pid = listener(busy[0]["dataPort"])
        killed = time.time()
        os.kill(pid, signal.SIGKILL)
        restarted = lambda: self.get(f"/jobs/{self.job}")["timestamps"]["RESTARTING"] >= killed * 1000 - 5
        self.wait("the job restarts", 300, lambda: restarted() and self.is_running())
        seconds = time.time() - killed
        self.script("taskmanager.sh", "start")
        self.wait("the new TaskManager", 120, lambda: self.get("/overview")["slots-total"] == TASK_MANAGERS)
        return seconds

    def stop(self):
        if self.client and self.client.poll() is None:
            self.client.kill()
        self.script("taskmanager.sh", "stop-all")
        self.script("stop-cluster.sh")
        shutil.rmtree(self.folder)


def rival():
    if os.environ.get("FLINK_HOME"):
        home = pathlib.Path(os.environ["FLINK_HOME"])
        return Cluster("flink", home, lambda script: [f"{home}/bin/sql-client.sh", "embedded", "-f", str(script)])
    if os.environ.get("FLINK_ORACLE"):
        oracle = os.environ["FLINK_ORACLE"]
        home = subprocess.run([oracle, "home"], check=True, capture_output=True, text=True).stdout.strip()
        return Cluster("flink", pathlib.Path(home), lambda script: [oracle, "sql", str(script)])
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--engines", default="wiesel,flink")
    options = parser.parse_args()
    home = options.home.resolve()
    wiesel = lambda: Cluster("wiesel", home, lambda script: [f"{home}/bin/flink", "run", str(script)])
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder, "recovery.sql")
        script.write_text(SCRIPT.replace("${KEYS}", str(options.keys)))
        for name in options.engines.split(","):
            cluster = {"wiesel": wiesel, "flink": rival}[name]()
            if cluster is None:
                continue
            try:
                cluster.start_job(script)
                for number in range(options.rounds):
                    seconds = cluster.round()
                    figures.setdefault(cluster.name, []).append(seconds)
                    print(f"round {number + 1} {cluster.name:7} {seconds:7.2f} s", file=sys.stderr)
            finally:
                cluster.stop()
    for name, seconds in figures.items():
        print(f"{name:7} median {statistics.median(seconds):6.2f} s, least {min(seconds):.2f}, most {max(seconds):.2f}")


main()
