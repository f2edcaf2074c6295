"""The cluster that is attacked, and the innocent job on it."""
import collections, http.client, json, pathlib, re, time

import engines

TASK_MANAGERS, SLOTS = 2, 4
MEGABYTE = 1 << 20
BOUNDARY = b"attack"
MULTIPART = "multipart/form-data; boundary=attack"
ROWS_PER_SECOND, KEYS, WINDOW = 2000, 4, 1000
NUMBERS = """
CREATE TABLE numbers (n BIGINT, s STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '1000000000', 'number-of-rows' = '${ROWS}',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '${ROWS}', 'fields.s.length' = '64');
CREATE TABLE nowhere (n BIGINT) WITH ('connector' = 'blackhole');
"""
# Every row crosses from the sources to the windows, half of them from one TaskManager to the other.
INNOCENT = """
SET 'execution.checkpointing.interval' = '1 s';
SET 'execution.checkpointing.data-inline-threshold' = '0 b';
SET 'table.optimizer.agg-phase-strategy' = 'ONE_PHASE';
SET 'parallelism.default' = '2';
SET 'pipeline.name' = 'innocent';
CREATE TABLE numbers (n BIGINT, t AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR t AS t) WITH (
  'connector' = 'datagen', 'rows-per-second' = '${RATE}', 'number-of-rows' = '${ROWS}',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '${LAST}');
CREATE TABLE sums (least BIGINT, c BIGINT, s BIGINT) WITH ('connector' = 'filesystem', 'path' = '${OUT}', 'format' = 'json');
INSERT INTO sums SELECT MIN(n), COUNT(*), SUM(n)
  FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(t), INTERVAL '1' SECOND)) GROUP BY window_start, window_end, MOD(n, ${KEYS});
"""


class Broken(Exception):
    """An attack came to what it must not."""


class Refused(Exception):
    """What REST said instead of doing what it was asked."""

    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status, self.text = status, text


Answer = collections.namedtuple("Answer", "status text headers")


class World:
    """The cluster under attack and the innocent job on it."""

    def __init__(self, home, seconds, connections):
        self.home, self.connections, self.rows = home, connections, seconds * ROWS_PER_SECOND // WINDOW * WINDOW
        self.cluster = engines.wiesel(home, {"taskmanager.numberOfTaskSlots": SLOTS}, TASK_MANAGERS)
        self.folder, self.port = self.cluster.folder, self.cluster.port
        self.secret = (self.folder / "conf" / "internal.secret").read_text().strip().encode()
        configuration = (self.folder / "conf" / "config.yaml").read_text()
        self.rpc = int(re.search(r"jobmanager.rpc.port: (\d+)", configuration)[1])
        task_managers = self.cluster.get("/taskmanagers")["taskmanagers"]
        self.task_executors = [int(known["path"].rsplit(":", 1)[1]) for known in task_managers]
        self.data_ports = [known["dataPort"] for known in task_managers]
        [job_manager] = self.cluster.pids("standalonesession")
        self.pids = {"JM": job_manager, **{f"TM {at + 1}": pid for at, pid in enumerate(self.cluster.pids())}}
        self.out = self.folder / "innocent"

    def begin(self):
        """Starts the innocent job."""
        [self.innocent] = self.submit(self.innocent_script(self.out))
        self.cluster.job = self.innocent
        self.cluster.wait("the innocent job runs", 60, self.cluster.is_running)
        self.cluster.wait("its first checkpoint", 60, lambda: self.progress()[1] > 0)

    def innocent_script(self, out):
        names = {"RATE": ROWS_PER_SECOND, "ROWS": self.rows, "LAST": self.rows - 1, "OUT": out, "KEYS": KEYS}
        return fill(INNOCENT, **names)

    def ask(self, method, path, body=None, headers={}, timeout=150):
        connection = http.client.HTTPConnection("localhost", self.port, timeout=timeout)
        try:
            try:
                connection.request(method, path, body, dict(headers))
            except (BrokenPipeError, ConnectionResetError):
                # Answered, and closed, before all of it was sent: a body that is too long is not read to its end.
                pass
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode("utf-8", "replace"), answer.headers)
        finally:
            connection.close()

    def expect(self, method, path, body=None, headers={}):
        answer = self.ask(method, path, body, headers)
        if answer.status >= 400:
            raise Refused(answer.status, "\n".join(json.loads(answer.text)["errors"]))
        return json.loads(answer.text)

    def upload(self, script):
        body, headers = multipart(script.encode())
        return self.expect("POST", "/jars/upload", body, headers)["filename"].rsplit("/", 1)[1]

    def submit(self, script, **request):
        """Runs a script: the ids of its jobs."""
        artifact = self.upload(script)
        headers = {"Content-Type": "application/json"}
        return self.expect("POST", f"/jars/{artifact}/run", json.dumps(request), headers)["jobids"]

    def end_of(self, job, limit=120):
        """The state that a job ends in, and why if it failed."""
        deadline = time.monotonic() + limit
        while True:
            state = self.expect("GET", f"/jobs/{job}/status")["status"]
            if state in ("FINISHED", "FAILED", "CANCELED"):
                break
            if time.monotonic() > deadline:
                raise Broken(f"a job is still {state} after {limit} s")
            time.sleep(0.05)
        failures = self.ask("GET", f"/jobs/{job}/exceptions").text
        if len(failures) > 100_000:
            raise Broken(f"the cause of a failure has {len(failures)} bytes")
        entries = json.loads(failures)["exceptionHistory"]["entries"]
        return state, "\n".join(failure["stacktrace"] for entry in entries for failure in [*entry["concurrentExceptions"], entry])

    def must_refuse(self, script, words):
        try:
            jobs = self.submit(script)
        except Refused as refused:
            return check_refused(refused, words)
        raise Broken(f"taken, as {len(jobs)} jobs")

    def must_fail(self, script, words, limit=120, **request):
        [job] = self.submit(script, **request)
        state, cause = self.end_of(job, limit)
        if state != "FAILED" or words not in cause:
            raise Broken(f"{state}: {brief(cause)}")
        return f"failed: {brief(cause, words)}"

    def must_finish(self, script, limit=120):
        [job] = self.submit(script)
        state, cause = self.end_of(job, limit)
        if state != "FINISHED":
            raise Broken(f"{state}: {brief(cause)}")
        return "finished"

    def progress(self):
        """Rows that the innocent job's sources have sent, and its checkpoints."""
        source = self.expect("GET", f"/jobs/{self.innocent}")["vertices"][0]
        checkpoints = self.expect("GET", f"/jobs/{self.innocent}/checkpoints")["counts"]["completed"]
        return source["metrics"]["write-records"], checkpoints

    def is_over(self):
        return self.expect("GET", f"/jobs/{self.innocent}/status")["status"] == "FINISHED"

    def cancel_others(self):
        """Ends what an attack has left."""
        jobs = self.expect("GET", "/jobs")["jobs"]
        ended = ("FINISHED", "FAILED", "CANCELED")
        others = [job["id"] for job in jobs if job["id"] != self.innocent and job["status"] not in ended]
        for job in others:
            self.ask("PATCH", f"/jobs/{job}?mode=cancel")
        for job in others:
            self.end_of(job, 60)

    def dead(self):
        return [name for name, pid in self.pids.items() if not is_alive(pid)]

    def logged(self):
        """Bytes of all logs."""
        return sum(log.stat().st_size for log in (self.folder / "log").iterdir())

    def faults(self):
        """What is wrong when all attacks are over. Waits for the end of the innocent job."""
        faults = [f"{name} ended" for name in self.dead()]
        if faults:
            return faults
        state, cause = self.end_of(self.innocent, 2 * self.rows // ROWS_PER_SECOND)
        if state != "FINISHED" or cause:
            faults.append(f"the innocent job is {state} and has had failures: {brief(cause)}")
        written = collections.Counter()
        for part in self.out.rglob("[!.]*"):
            if part.is_file():
                rows = (json.loads(line) for line in part.read_text().splitlines())
                written.update((row["least"], row["c"], row["s"]) for row in rows)
        each = WINDOW // KEYS
        expected = collections.Counter()
        for least in (window + key for window in range(0, self.rows, WINDOW) for key in range(KEYS)):
            expected[least, each, each * least + KEYS * each * (each - 1) // 2] = 1
        if written != expected:
            missing, more = expected - written, written - expected
            faults.append(f"the innocent job lacks {len(missing)} sums and has {len(more)} others: {[*missing][:3]}, {[*more][:3]}")
        for log in (self.folder / "log").iterdir():
            text = log.read_text(errors="replace")
            faults += [f"{log.name}: {line}" for line in text.splitlines() if "panicked" in line or "overflowed its stack" in line]
        return faults


def fill(text, **names):
    for name, value in names.items():
        text = text.replace("${" + name + "}", str(value))
    return text


def numbers(rows):
    return fill(NUMBERS, ROWS=rows)


def multipart_head(file_name=b"attack.sql"):
    return b'--' + BOUNDARY + b'\r\nContent-Disposition: form-data; name="jarfile"; filename="' + file_name + b'"\r\n\r\n'


def multipart(content, file_name=b"attack.sql"):
    """A body with a file, and its headers."""
    body = multipart_head(file_name) + content + b"\r\n--" + BOUNDARY + b"--\r\n"
    return body, {"Content-Type": MULTIPART}


def brief(text, words=""):
    """A message without the names of Java's classes, the part around the words."""
    text = re.sub(r"\b([a-z]+\.)+[A-Z]\w+(Exception|Error): ", "", " ".join(text.split()))
    at = max(text.find(words), 0)
    begin = 0 if at < 90 else at - 40
    return ("..." if begin else "") + text[begin:begin + 130] + ("..." if len(text) > begin + 130 else "")


def check_refused(refused, words):
    if words not in refused.text or len(refused.text) > 20_000 or refused.status >= 500:
        raise Broken(f"refused by {refused.status}: {brief(refused.text)}")
    return f"refused: {brief(refused.text, words)}"


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False
