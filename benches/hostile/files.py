"""Attacks with files that jobs read, and with names that go into logs (D4, D8, D11, D12)."""
import json, os, pathlib, re, socket, struct

from hostile import strangers
from hostile.ports import register
from hostile.victim import MEGABYTE, Broken, fill, numbers

READ = """
CREATE TABLE odd (n STRING) WITH ('connector' = 'filesystem', 'path' = '${PATH}', 'format' = 'csv');
CREATE TABLE nowhere (n STRING) WITH ('connector' = 'blackhole');
INSERT INTO nowhere SELECT n FROM odd;
"""


def bad_tokens_of_70_mb(world):
    """D4, messages: what is no JSON, and what is no number in CSV, 70 MB long."""
    for file_format in ("csv", "json"):
        path = world.folder / f"bad.{file_format}"
        path.write_bytes(b"x" * (70 * MEGABYTE))
        script = f"""CREATE TABLE bad (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = '{file_format}');
            CREATE TABLE nowhere (n BIGINT) WITH ('connector' = 'blackhole');
            INSERT INTO nowhere SELECT n FROM bad;"""
        said = world.must_fail(script, path.name)
        path.unlink()
    return said


def what_is_no_file(world):
    """D8, reading: a FIFO, a socket and a device in an input folder, and a device as the table's path."""
    folder = world.folder / "odd"
    folder.mkdir()
    (folder / "a.csv").write_text("1\n2\n")
    os.mkfifo(folder / "b.csv")
    listener = socket.socket(socket.AF_UNIX)
    # Its whole path may be too long for a socket's address.
    here = os.open(folder, os.O_PATH)
    listener.bind(f"/proc/self/fd/{here}/c.csv")
    os.close(here)
    (folder / "d.csv").symlink_to("/dev/zero")
    said = world.must_finish(fill(READ, PATH=folder), 60)
    for path, words in ((folder / "b.csv", "a FIFO"), ("/dev/zero", "a device")):
        said = f"{said}; {world.must_fail(fill(READ, PATH=path), words, 60)}"
    listener.close()
    return said


def secret_read_by_jobs(world):
    """D10, the secret: jobs that read its file, by its name and by links of both kinds."""
    secret, link, other_name = world.folder / "conf" / "internal.secret", world.folder / "link", world.folder / "other-name"
    link.symlink_to(secret)
    os.link(secret, other_name)
    for path in (secret, link, other_name):
        said = world.must_fail(fill(READ, PATH=path), "which no job is given", 60)
    return said


def damaged_savepoints(world):
    """D11, files: starts from savepoints whose metadata or state is damaged or gone."""
    headers = {"Content-Type": "application/json"}
    path = f"/jobs/{world.innocent}/savepoints"
    request = world.expect("POST", path, json.dumps({"target-directory": str(world.folder / "savepoints")}), headers)["request-id"]
    operation = lambda: world.expect("GET", f"{path}/{request}")
    world.cluster.wait("a savepoint", 60, lambda: operation()["status"]["id"] == "COMPLETED")
    savepoint = pathlib.Path(operation()["operation"]["location"].removeprefix("file:"))
    whole = (savepoint / "_metadata").read_bytes()
    states = sorted(file.name for file in savepoint.iterdir() if file.name != "_metadata")
    if not states:
        raise Broken("the savepoint has no files of state: nothing can be taken from it")
    body = whole[28:len(whole) // 2]
    head = whole[:12] + struct.pack(">QI", len(body), strangers.crc32c(body))
    flipped = bytes([*whole[:100], whole[100] ^ 4, *whole[101:]])
    damages = [
        ("_metadata", b""), ("_metadata", whole[:-1]), ("_metadata", flipped), ("_metadata", os.urandom(len(whole))),
        # With right check sums.
        ("_metadata", head + struct.pack(">I", strangers.crc32c(head)) + body),
        # One that says it has more bytes than there are.
        ("_metadata", whole[:12] + struct.pack(">QI", 2**63, 0) + struct.pack(
            ">I", strangers.crc32c(whole[:12] + struct.pack(">QI", 2**63, 0))) + whole[28:]),
        (states[0], None), (states[0], (savepoint / states[0]).read_bytes()[:-1]), (states[-1], os.urandom(1000)),
    ]
    said = []
    for number, (name, content) in enumerate(damages):
        damaged = world.folder / f"damaged-{number}"
        damaged.mkdir()
        for file in savepoint.iterdir():
            if file.name != name:
                (damaged / file.name).write_bytes(file.read_bytes())
        if content is not None:
            (damaged / name).write_bytes(content)
        script = world.innocent_script(world.folder / "never")
        said.append(world.must_fail(script, name, 60, savepointPath=str(damaged)))
    if any(file.is_file() for file in (world.folder / "never").rglob("[!.]*")):
        raise Broken("a job that began from a damaged savepoint has written rows")
    return f"{len(said)} failed, the first: {said[0]}"


def control_characters(world):
    """D12, logs: names that would begin lines of their own and do things to a terminal."""
    evil = "x\n2030-01-01 00:00:00,000 ERROR FORGED\x1b[2J\x1b]0;owned\x07\r\u202e\u0085"
    script = f"SET 'pipeline.name' = '{evil}';{numbers(1)}INSERT INTO nowhere SELECT n FROM numbers;"
    world.must_finish(script)
    world.must_refuse(f"CREATE TABLE `{evil}` (n BIGINT) WITH ('connector' = '{evil}'); INSERT INTO `{evil}` SELECT n FROM `{evil}`;", "")
    world.must_fail(numbers(1).replace("'blackhole'", f"'filesystem', 'format' = 'json', 'path' = '/proc/nowhere/{evil}'")
                    + "INSERT INTO nowhere SELECT n FROM numbers;", "/proc/nowhere")
    register(world, evil.encode(), 4, None)
    register(world, evil.encode(), 2**32 - 1, world.secret)
    world.ask("GET", "/jobs/%1b%0aFORGED")
    for log in (world.folder / "log").glob("*.log"):
        for line in log.read_bytes().splitlines():
            if re.search(rb"[\x00-\x1f\x7f]|\xc2\x85|\xe2\x80\xae", line) or line.startswith(b"2030"):
                raise Broken(f"{log.name} has the line {line[:200]}")
    return "spelled out in each line of the logs"
