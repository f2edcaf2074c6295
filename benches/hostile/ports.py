"""Attacks on the ports: connections, bodies, browsers, strangers, TaskManagers that are none (D3, D6, D7, D9, D10, D12)."""
import collections, concurrent.futures, json, os, pathlib, re, select, signal, socket, struct, subprocess, time

from hostile import strangers
from hostile.victim import MEGABYTE, MULTIPART, SLOTS, TASK_MANAGERS, Broken, brief, multipart, multipart_head, numbers


def connect(port, timeout=20):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def close(connections):
    """At once: nothing of them is left in the system's tables."""
    for connection in connections:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def wait_for_ends(connections, limit, each_second=lambda: None):
    """Waits until the other side has closed these connections: how many it has not."""
    poll = select.poll()
    for connection in connections:
        connection.setblocking(False)
        poll.register(connection, select.POLLIN | select.POLLRDHUP)
    by_number = {connection.fileno(): connection for connection in connections}
    deadline, second = time.monotonic() + limit, time.monotonic()
    while by_number and time.monotonic() < deadline:
        for number, _ in poll.poll(500):
            try:
                ended = not by_number[number].recv(65536)
            except BlockingIOError:
                ended = False
            except OSError:
                ended = True
            if ended:
                poll.unregister(number)
                del by_number[number]
        if time.monotonic() >= second + 1:
            second = time.monotonic()
            each_second()
    return len(by_number)


def register(world, name, slots, secret):
    """As a TaskManager of the JobManager's release, which the refusal of another one names."""
    def of_release(release):
        message = strangers.registration(name, slots, release)
        return strangers.call(world.rpc, strangers.JOB_MANAGER, strangers.REGISTER, message, secret)
    status, said = of_release(b"0.0.0")
    named = re.search(r"the JobManager of (.+): start both", said)
    return of_release(named[1].encode()) if named else (status, said)


def start_task_manager(world, *properties):
    """Starts a TaskManager that must end at once."""
    command = [f"{world.home}/bin/taskmanager.sh", "start-foreground"]
    command += [word for pair in properties for word in ("-D", pair)]
    try:
        return subprocess.run(command, env=world.cluster.environment, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise Broken(f"a TaskManager runs with {properties}") from None


def slots_without_end(world):
    """D3, allocation by number: a registration with 2^32 - 1 slots by one that has the secret, and a TaskManager of 99,999,999."""
    status, said = register(world, b"many", 2**32 - 1, world.secret)
    if status != strangers.INVALID_ARGUMENT:
        raise Broken(f"answered by status {status}: {said}")
    ended = start_task_manager(world, "taskmanager.numberOfTaskSlots=99999999")
    if ended.returncode == 0 or "taskmanager.numberOfTaskSlots" not in ended.stderr:
        raise Broken(f"a TaskManager started with 99999999 slots: {ended.stderr}")
    return f"refused: {brief(said)}"


def stalled_task_manager(world):
    """D6, scheduling: a third TaskManager with the most free slots stands still while jobs are submitted."""
    known = world.cluster.pids()
    world.cluster.script("taskmanager.sh", "start")
    [stalled] = set(world.cluster.pids()) - set(known)
    try:
        world.cluster.wait("its slots", 60, lambda: world.cluster.get("/overview")["slots-total"] == (TASK_MANAGERS + 1) * SLOTS)
        os.kill(stalled, signal.SIGSTOP)
        times = []
        for _ in range(5):
            begun = time.monotonic()
            world.must_finish(numbers(10) + "INSERT INTO nowhere SELECT n FROM numbers;", 60)
            times.append(time.monotonic() - begun)
    finally:
        os.kill(stalled, signal.SIGCONT)
        # The last one that was started.
        world.cluster.script("taskmanager.sh", "stop")
    world.cluster.wait_for_slots()
    return f"5 jobs finished, after {', '.join(f'{seconds:.1f}' for seconds in times)} s"


def silent_task_manager(world):
    """D6, scheduling: one that has the secret registers 64 slots and says nothing more, while jobs want all slots there are."""
    status, said = register(world, b"silent", 64, world.secret)
    if status != 0:
        raise Broken(f"not registered: {said}")
    free = world.expect("GET", "/overview")["slots-available"]
    begun = time.monotonic()
    world.must_finish(f"SET 'parallelism.default' = '{free}';{numbers(100)}INSERT INTO nowhere SELECT n FROM numbers;", 60)
    return f"a job on {free} slots finished after {time.monotonic() - begun:.1f} s"


def uploads_held_open(world):
    """D7, bodies: 12 uploads of 95 MB at once, of which none ends."""
    size, connections = 95 * MEGABYTE, [connect(world.port, 4) for _ in range(12)]
    head = f"POST /jars/upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: {MULTIPART}\r\nContent-Length: {size}\r\n\r\n"
    head = head.encode() + multipart_head()

    def send(connection):
        sent = 0
        try:
            connection.sendall(head)
            while sent < size - 2 * MEGABYTE:
                sent += connection.send(bytes(MEGABYTE))
        except TimeoutError:
            pass
        return sent

    try:
        with concurrent.futures.ThreadPoolExecutor(len(connections)) as threads:
            sent = list(threads.map(send, connections))
        if world.ask("GET", "/overview", timeout=10).status != 200:
            raise Broken("REST does not answer beside them")
    finally:
        close(connections)
    if (taken := sum(sent) // MEGABYTE) > 300:
        raise Broken(f"{taken} MB of bodies were taken")
    return f"{taken} of {12 * 95} MB taken, the rest waits; others are answered"


def idle_connections(world):
    """D7, connections: as many as are asked for to each port, all silent."""
    ports = [world.port, world.rpc, *world.task_executors, *world.data_ports]
    limits = pathlib.Path(f"/proc/{world.pids['JM']}/limits").read_text()
    # REST has room for an eighth of the files that its process may open; who finds none waits until others end, after 30 s.
    # Between processes 64 at once may have said nothing, each for a second where others wait.
    room = min(max(int(re.search(r"Max open files +\d+ +(\d+)", limits)[1]) // 8, 64), 4096)
    patience = 60 * -(-world.connections // room) + world.connections // 30
    begun, logged, opened = time.monotonic(), world.logged(), []

    def open_all(port):
        for _ in range(world.connections):
            try:
                opened.append(connect(port, patience))
            except OSError:
                # Turned away by the system already.
                pass

    try:
        with concurrent.futures.ThreadPoolExecutor(len(ports)) as threads:
            list(threads.map(open_all, ports))
        if world.ask("GET", "/overview", timeout=patience).status != 200:
            raise Broken("REST does not answer beside them")
        left = wait_for_ends(opened, patience)
    finally:
        close(opened)
    if left:
        raise Broken(f"{left} of {len(opened)} are still open after {patience} s")
    check_log(world, logged)
    return f"{len(opened)} connections to {len(ports)} ports: all ended by the cluster, after {time.monotonic() - begun:.0f} s"


def check_log(world, before):
    """Strangers do not fill the disk with lines about themselves."""
    if (more := world.logged() - before) > 100_000:
        raise Broken(f"the logs grew by {more} bytes")


def slow_beginnings(world):
    """D7, connections: heads and greetings that come byte by byte, one a second."""
    beginnings = [(world.port, b"GET /overview HTTP/1.1\r\nX: " + b"x" * 100)]
    beginnings += [(port, strangers.GREETING + b"\1" + bytes(100)) for port in [world.rpc, *world.task_executors]]
    beginnings += [(port, strangers.data_frame(strangers.HELLO, bytes(100))) for port in world.data_ports]
    slow = [(connect(port), text) for port, text in beginnings for _ in range(50)]
    begun, second = time.monotonic(), iter(range(10_000))

    def drip():
        now = next(second)
        for connection, text in slow:
            try:
                connection.send(text[now:now + 1])
            except OSError:
                pass

    connections = [connection for connection, _ in slow]
    try:
        left = wait_for_ends(connections, 60, drip)
    finally:
        close(connections)
    if left:
        raise Broken(f"{left} of {len(connections)} are still open after 60 s")
    return f"{len(connections)} slow connections: all ended by the cluster, after {time.monotonic() - begun:.0f} s"


def foreign_pages(world):
    """D9, browsers: requests as pages of other origins make them, and by names that are not the cluster's."""
    body, headers = multipart(numbers(1).encode())
    cancel = f"/jobs/{world.innocent}"
    refused = [
        world.ask("POST", "/jars/upload", body, {**headers, "Origin": "http://evil.example"}),
        world.ask("POST", "/jars/upload", body, {**headers, "Origin": "null"}),
        world.ask("PATCH", f"{cancel}?mode=cancel", None, {"Origin": "http://evil.example"}),
        world.ask("GET", f"{cancel}/yarn-cancel", None, {"Referer": "http://evil.example/x"}),
        world.ask("GET", f"{cancel}/yarn-cancel", None, {"Sec-Fetch-Site": "cross-site"}),
        world.ask("DELETE", "/cluster", None, {"Origin": f"http://localhost:{world.rpc}"}),
        world.ask("GET", "/overview", None, {"Host": f"evil.example:{world.port}"}),
        world.ask("GET", "/jobmanager/config", None, {"Host": "localhost.evil.example"}),
    ]
    if statuses := [answer.status for answer in refused if answer.status != 403]:
        raise Broken(f"answered by {statuses}")
    read = world.ask("GET", "/overview", None, {"Origin": "http://evil.example"})
    if "Access-Control-Allow-Origin" in read.headers:
        raise Broken("a foreign page may read what REST answers")
    return f"{len(refused)} refused: {brief(json.loads(refused[0].text)['errors'][0])}"


def strangers_on_internal_ports(world):
    """D10, RPC and data ports: calls and greetings without the secret, a TaskManager with another, and what is no protocol at all."""
    before, logged = world.expect("GET", "/overview")["taskmanagers"], world.logged()
    for secret in (None, b"another secret of somebody else"):
        status, said = register(world, b"stranger", 4, secret)
        if status is not None or "secret" not in said:
            raise Broken(f"a stranger's registration was answered by status {status}: {said}")
        for port in world.task_executors:
            callee = f"TaskManager localhost:{port}".encode()
            status, told = strangers.call(port, callee, b"/wiesel.TaskExecutor/SubmitTasks", b"\xff" * 100, secret)
            if status is not None or "secret" not in told:
                raise Broken(f"a stranger's tasks were answered by status {status}: {told}")
    # One that has the secret, and is passed on to somebody else than it called.
    status, told = strangers.call(world.task_executors[0], strangers.JOB_MANAGER, strangers.REGISTER, b"", world.secret)
    if status is not None:
        raise Broken(f"a TaskManager took a call to the JobManager, with status {status}: {told}")
    for port in world.data_ports:
        kind, told = strangers.greet(port, bytes(strangers.NONCE))
        if kind != strangers.FAILURE or "does not have the secret" not in told:
            raise Broken(f"a stranger's greeting was answered by a frame of kind {kind}: {told}")
    ended = start_task_manager(world, "security.internal.secret=another secret of somebody else",
                               "taskmanager.registration.timeout=2 s")
    if ended.returncode == 0 or "secret" not in ended.stderr:
        raise Broken(f"a TaskManager with another secret: {ended.returncode}, {ended.stderr[-300:]}")
    with connect(world.rpc) as connection:
        connection.sendall(strangers.PREFACE)
        if b"clients use REST" not in connection.makefile("rb").read():
            raise Broken("who calls without a greeting is not told what is wrong")
    open_head = strangers.frame(strangers.HEADERS, 0, 1, b"\0" * 9)
    garbage = [
        strangers.GREETING, strangers.GREETING + b"\xff" * 33, strangers.GREETING + b"\1" + bytes(200),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), os.urandom(MEGABYTE),
        strangers.data_header(strangers.ROWS, 1 << 30) + bytes(MEGABYTE), strangers.data_header(strangers.HELLO, 2**32 - 1),
        strangers.data_frame(strangers.HELLO, b""), strangers.data_frame(1, bytes(60)),
        # A head that never ends.
        strangers.PREFACE + strangers.frame(strangers.SETTINGS, 0, 0, b"") + open_head
        + strangers.frame(strangers.CONTINUATION, 0, 1, b"\0\1a\1b" * 4000) * 2000,
        # Requests that are given up as soon as they are made.
        strangers.PREFACE + strangers.frame(strangers.SETTINGS, 0, 0, b"") + b"".join(
            strangers.frame(strangers.HEADERS, strangers.END_HEADERS, stream, strangers.header_block([(b":method", b"POST"),
                (b":scheme", b"http"), (b":path", strangers.REGISTER), (b":authority", b"x")]))
            + strangers.frame(strangers.RESET, 0, stream, bytes(4)) for stream in range(1, 20_000, 2)),
    ]
    for port in [world.rpc, *world.task_executors, *world.data_ports]:
        connections = [connect(port) for _ in garbage]
        for connection, content in zip(connections, garbage):
            try:
                connection.sendall(content)
            except OSError:
                pass
        # What may still become something is waited for, for half a minute.
        wait_for_ends(connections, 1)
        close(connections)
    if world.expect("GET", "/overview")["taskmanagers"] != before:
        raise Broken("a stranger is among the TaskManagers")
    check_log(world, logged)
    return f"refused: {brief(said)}"


def odd_requests(world):
    """D12, REST: bodies of wrong types, too deep, too long, in too many parts, without end; heads that contradict themselves."""
    deep = b"[" * 1_000_000
    form, headers = multipart(b"SELECT 1;")
    as_json = {"Content-Type": "application/json"}
    artifact = world.upload(numbers(1) + "INSERT INTO nowhere SELECT n FROM numbers;")
    job = f"/jobs/{world.innocent}"
    part = multipart_head() + b"\r\n"
    requests = [
        ("POST", "/jars/upload", b"SELECT 1;", {"Content-Type": "text/plain"}), ("POST", "/jars/upload", b"SELECT 1;", {}),
        ("POST", "/jars/upload", form, {"Content-Type": "multipart/form-data"}),
        ("POST", "/jars/upload", form[:-20], headers), ("POST", "/jars/upload", part * 1_000_000, headers),
        ("POST", "/jars/upload", multipart(b"SELECT 1;", b"../../../etc/x.jar")[0], headers),
        ("POST", f"/jars/{artifact}/run", deep, as_json), ("POST", f"/jars/{artifact}/run", b'{"a":' * 100_000, as_json),
        ("POST", f"/jars/{artifact}/run", b'{"parallelism": 1e999}', as_json),
        ("POST", "/jars/..%2f..%2fconf%2fconfig.yaml/run", b"{}", as_json),
        ("POST", "/jobs", form, headers), ("POST", "/jobs", deep, as_json),
        ("POST", f"{job}/savepoints", deep[:60_000], as_json), ("POST", f"{job}/savepoints", deep, as_json),
        ("POST", f"{job}/stop", b"\xff\xfe", as_json), ("POST", f"{job}/checkpoints", b'{"checkpointType": 5}', as_json),
        ("POST", f"{job}/coordinators/{'0' * 32}", deep[:60_000], as_json),
        ("PATCH", f"{job}?mode=%00", None, {}), ("GET", f"{job}/exceptions?maxExceptions=99999999999999999999", None, {}),
        ("GET", "/" + "x" * 60_000, None, {}), ("GET", "/jobs/" + "%ff" * 100, None, {}), ("TRACE", "/overview", None, {}),
    ]
    statuses = collections.Counter()
    for method, path, body, headers in requests:
        answer = world.ask(method, path, body, headers)
        statuses[answer.status] += 1
        # 500 is what Flink says of an artifact that there is not.
        internal = answer.status >= 500 and "does not exist" not in answer.text
        if answer.status < 400 or internal or len(answer.text) > 20_000 or "errors" not in json.loads(answer.text):
            raise Broken(f"{method} {path[:60]} is answered by {answer.status}: {answer.text[:200]}")
    heads = [
        b"POST /jars/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /jars/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /jars/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /jars/upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"GET /overview HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: y\r\n" % at for at in range(10_000)) + b"\r\n",
        b"GET /overview HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * MEGABYTE + b"\r\n\r\n",
        b"\x16\x03\x01" + bytes(1000), os.urandom(100_000),
    ]
    for head in heads:
        connection = connect(world.port)
        try:
            connection.sendall(head)
            said = connection.recv(65536)
        except ConnectionError:
            said = b""
        close([connection])
        if said and not said.startswith(b"HTTP/1.1 4"):
            raise Broken(f"{head[:80]} is answered by {said[:200]}")
    sent = chunks_without_end(world)
    return f"{sum(statuses.values()) + len(heads)} refused, by {dict(sorted(statuses.items()))}; without end: {sent} MB were taken"


def chunks_without_end(world):
    """Sends a body in chunks that do not end until it is refused: how many MB are taken."""
    head = f"POST /jars/upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: {MULTIPART}\r\n\r\n"
    chunk, first = b"100000\r\n" + bytes(MEGABYTE) + b"\r\n", multipart_head()
    sent, connection = 0, connect(world.port)
    try:
        connection.sendall(head.encode() + b"%x\r\n%s\r\n" % (len(first), first))
        while sent < 500:
            connection.sendall(chunk)
            sent += 1
    except (ConnectionError, TimeoutError):
        pass
    finally:
        close([connection])
    if sent > 150:
        raise Broken(f"{sent} MB of a body without end were taken")
    return sent


def bodies_in_crumbs(world):
    """D7, bodies: an upload whose first boundary does not come, in chunks of one byte."""
    def processor_seconds():
        fields = pathlib.Path(f"/proc/{world.pids['JM']}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def upload(chunks):
        begun = processor_seconds()
        head = f"POST /jars/upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: {MULTIPART}\r\n\r\n"
        connection = connect(world.port, 120)
        try:
            connection.sendall(head.encode() + b"1\r\n \r\n" * chunks + b"0\r\n\r\n")
            said = connection.recv(65536)
        finally:
            close([connection])
        if not said.startswith(b"HTTP/1.1 400"):
            raise Broken(f"answered by {said[:200]}")
        return processor_seconds() - begun

    # Four times as long for four times as many, 16 times where the work grows with the square of the number.
    few, many = upload(100_000), upload(400_000)
    if many > 6 * max(few, 0.5):
        raise Broken(f"100,000 chunks took {few:.1f} s of the JobManager's processors, 400,000 took {many:.1f} s")
    return f"refused: 100,000 chunks took {few:.1f} s of a core, 400,000 took {many:.1f} s"
