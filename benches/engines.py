"""Clusters of Wiesel and of Apache Flink, laid out alike, for the programs in this folder.

Flink is the installation in FLINK_HOME (with a SQL client; for Nexmark with a `nexmark` connector in lib/, as
docs/nexmark.md describes it), or the one that the command in FLINK_ORACLE knows: `home` prints its folder, `time FILE` runs
a script's INSERTs and `sql FILE` its SELECTs on the cluster at FLINK_REST_PORT.
"""
import glob, json, os, pathlib, shutil, socket, subprocess, sys, tempfile, time, urllib.request


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Cluster:
    """A JobManager and TaskManagers on ports and in folders of their own."""

    def __init__(self, name, home, command, settings, task_managers=1):
        self.name, self.home, self.command, self.task_managers = name, home, command, task_managers
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"bench-{name}-"))
        self.port, rpc = free_ports(2)
        conf = self.folder / "conf"
        shutil.copytree(home / "conf", conf)
        (conf / "workers").write_text("localhost\n" * task_managers)
        (conf / "masters").write_text(f"localhost:{self.port}\n")
        java = [line for line in (home / "conf" / "config.yaml").read_text().splitlines() if "--add-opens" in line]
        settings = {
            "rest.port": self.port, "rest.address": "localhost", "rest.bind-address": "localhost",
            "jobmanager.rpc.address": "localhost", "jobmanager.rpc.port": rpc, "jobmanager.bind-host": "localhost",
            "taskmanager.bind-host": "localhost", "taskmanager.host": "localhost",
            "taskmanager.memory.process.size": "1728m", "jobmanager.memory.process.size": "1600m",
            "execution.checkpointing.dir": f"file://{self.folder}/checkpoints",
            "env.pid.dir": self.folder / "pid", "env.log.dir": self.folder / "log", **settings,
        }
        self.slots = task_managers * int(settings.get("taskmanager.numberOfTaskSlots", 1))
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

    def wait(self, what, limit, holds, pause=0.005):
        deadline = time.monotonic() + limit
        while True:
            try:
                if holds():
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                sys.exit(f"{self.name}: not within {limit} s: {what}; see {self.folder}/log")
            time.sleep(pause)

    def wait_for_slots(self):
        self.wait("all slots", 120, lambda: self.get("/overview")["slots-total"] == self.slots)

    def run(self, script):
        """Runs a script with one INSERT to its end: its seconds by the cluster's clock, the TaskManagers' CPU seconds."""
        before = {job["jid"] for job in self.get("/jobs/overview")["jobs"]}
        cpu = self.cpu_seconds()
        run = subprocess.run(self.command("run", script), capture_output=True, text=True, env=self.environment)
        cpu = self.cpu_seconds() - cpu
        new = [job for job in self.get("/jobs/overview")["jobs"] if job["jid"] not in before]
        if run.returncode != 0 or len(new) != 1 or new[0]["state"] != "FINISHED":
            sys.exit(f"{self.name}, {script}: {new}\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
        self.job = new[0]["jid"]
        return new[0]["duration"] / 1000, cpu

    def start_job(self, script):
        """Starts a script with one endless INSERT and waits until all its tasks run."""
        log = open(self.folder / "log" / "client.err", "w")
        command = self.command("start", script)
        self.client = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL, stderr=log)
        self.wait("a job", 60, lambda: self.get("/jobs")["jobs"])
        self.job = self.get("/jobs")["jobs"][0]["id"]
        self.wait("all tasks running", 60, self.is_running)

    def is_running(self):
        job = self.get(f"/jobs/{self.job}")
        return job["state"] == "RUNNING" and all(v["tasks"]["RUNNING"] == v["parallelism"] for v in job["vertices"])

    def checkpoints(self):
        return self.get(f"/jobs/{self.job}/checkpoints")

    def pids(self, daemon="taskexecutor"):
        files = glob.glob(f"{self.folder}/pid/*{daemon}*.pid")
        return [int(pid) for file in files for pid in pathlib.Path(file).read_text().split()]

    def cpu_seconds(self, daemon="taskexecutor"):
        """User and system time of the TaskManagers, or of the daemons of another kind."""
        total = 0
        for pid in self.pids(daemon):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def stop(self, keep=False):
        """Ends all processes; with `keep` their logs stay."""
        if self.client and self.client.poll() is None:
            self.client.kill()
        self.script("taskmanager.sh", "stop-all")
        self.script("stop-cluster.sh")
        if not keep:
            shutil.rmtree(self.folder)


def wiesel(home, settings, task_managers=1, name="wiesel"):
    command = lambda _, script: [f"{home}/bin/flink", "run", str(script)]
    return Cluster(name, home, command, settings, task_managers)


def flink(settings, task_managers=1):
    """None: there is no Flink here."""
    if os.environ.get("FLINK_HOME"):
        home = pathlib.Path(os.environ["FLINK_HOME"])
        command = lambda _, script: [f"{home}/bin/sql-client.sh", "embedded", "-f", str(script)]
        return Cluster("flink", home, command, settings, task_managers)
    if os.environ.get("FLINK_ORACLE"):
        oracle = os.environ["FLINK_ORACLE"]
        home = subprocess.run([oracle, "home"], check=True, capture_output=True, text=True).stdout.strip()
        command = lambda what, script: [oracle, {"run": "time", "start": "sql"}[what], str(script)]
        return Cluster("flink", pathlib.Path(home), command, settings, task_managers)
    return None
