"""Attacks with statements: short texts that stand for much (D1, D2, D3, D5)."""
import collections, concurrent.futures, time

from hostile.victim import Broken, Refused, check_refused, numbers


def nested_syntax_errors(world):
    """D1, the parser: syntax errors within nested calls, each of which it reads in several ways; 16 such scripts at once."""
    calls = ["POSITION(", "ARRAY[", "SUBSTRING(", "OVERLAY(", "FLOOR(", "CEIL(", "CONVERT(", "INTERVAL "]
    scripts = [f"SELECT {call * 24}];" for call in calls] + [f"SELECT {call * 200}];" for call in calls[:7]]
    scripts.append(f"SELECT {'ARRAY[' * 249}1{']' * 249};")

    def send(script):
        begun = time.monotonic()
        try:
            world.upload(script)
            said = "taken"
        except Refused as refused:
            said = check_refused(refused, "SQL parse failed")
        if script is not scripts[-1] and said == "taken":
            raise Broken(f"taken: {script[:40]}")
        return time.monotonic() - begun, said

    with concurrent.futures.ThreadPoolExecutor(len(scripts)) as threads:
        answers = list(threads.map(send, scripts))
    return f"{len(scripts)} answers, the last after {max(answers)[0]:.1f} s; {answers[0][1]}"


def views_on_views(world):
    """D2, the stack: 500 and 2,000 views, each on the one before."""
    for depth in (500, 2000):
        views = "".join(f"CREATE VIEW v{at} AS SELECT n FROM v{at - 1};\n" for at in range(1, depth))
        script = f"{numbers(1)}CREATE VIEW v0 AS SELECT n FROM numbers;\n{views}INSERT INTO nowhere SELECT n FROM v{depth - 1};"
        said = world.must_refuse(script, "Views stand within more than 200 others")
    return said


def parentheses_in_from(world):
    """D2, the stack: 100 and 1,000 parentheses around a query in FROM, and around a table."""
    said = []
    for depth in (100, 1000):
        for inner in ("SELECT n FROM numbers", "numbers"):
            script = f"{numbers(1)}INSERT INTO nowhere SELECT n FROM {'(' * depth}{inner}{')' * depth};"
            try:
                [job] = world.submit(script)
                said.append(world.end_of(job)[0].lower())
            except Refused as refused:
                said.append(check_refused(refused, ""))
    return "; ".join(dict.fromkeys(said))


def constants_that_stand_for_much(world):
    """D3, allocation while planning: REPEAT('x', 400000000)."""
    script = f"{numbers(1)}INSERT INTO nowhere SELECT CHAR_LENGTH(REPEAT('x', 400000000)) + n FROM numbers;"
    return world.must_fail(script, "one value may have at most")


def long_texts_in_batches(world):
    """D3, allocation by batches: REPEAT(s, 20000) over batches of 4,096 rows, 10 GB in all."""
    script = f"""{numbers(8192)}SET 'parallelism.default' = '2';
        INSERT INTO nowhere SELECT CHAR_LENGTH(REPEAT(s, 20000)) FROM numbers;"""
    return world.must_finish(script)


def long_texts_across_the_network(world):
    """D3, allocation by batches: rows of 1.3 MB, 650 MB in all, half of them sent from one TaskManager to the other."""
    script = f"""{numbers(512)}SET 'parallelism.default' = '2';
        INSERT INTO nowhere SELECT CHAR_LENGTH(MAX(l)) FROM (SELECT MOD(n, 7) AS k, REPEAT(s, 20000) AS l FROM numbers) GROUP BY k;"""
    return world.must_finish(script)


def long_bytes_generated(world):
    """D3, allocation by options: datagen of BYTES with 2^31 - 1 bytes each."""
    script = """CREATE TABLE long (b BYTES) WITH ('connector' = 'datagen', 'fields.b.length' = '2147483647');
        CREATE TABLE nowhere (b BYTES) WITH ('connector' = 'blackhole');
        INSERT INTO nowhere SELECT b FROM long;"""
    return world.must_refuse(script, "a single value may have at most")


def state_beyond_memory(world):
    """D3, allocation by state: groups of 1 KB each, in memory and without end, on both TaskManagers."""
    script = """SET 'parallelism.default' = '2';
        CREATE TABLE texts (s STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '1000000', 'fields.s.length' = '1000');
        CREATE TABLE nowhere (s STRING, c BIGINT, PRIMARY KEY (s) NOT ENFORCED) WITH ('connector' = 'blackhole');
        INSERT INTO nowhere SELECT s, COUNT(*) FROM texts GROUP BY s;"""
    return world.must_fail(script, "OutOfMemoryError", 300)


def doubling_views(world):
    """D5, plans: 17 views, each of which reads the one before twice."""
    views = "".join(f"CREATE VIEW v{at} AS SELECT n FROM v{at - 1} UNION ALL SELECT n FROM v{at - 1};\n" for at in range(1, 18))
    script = f"{numbers(1)}CREATE VIEW v0 AS SELECT n FROM numbers;\n{views}INSERT INTO nowhere SELECT n FROM v17;"
    return world.must_refuse(script, "stand for more than")


def many_sums(world):
    """D5, plans: 3,200 SUMs of different expressions."""
    count = 3200
    columns = ", ".join(f"c{at} BIGINT" for at in range(count))
    sums = ", ".join(f"SUM(n + {at})" for at in range(count))
    script = f"""{numbers(10)}CREATE TABLE wide ({columns}) WITH ('connector' = 'blackhole');
        INSERT INTO wide SELECT {sums} FROM numbers;"""
    return world.must_finish(script)


def huge_parallelism(world):
    """D5, plans: 40 sources at a parallelism of 32,768."""
    tables = "".join(f"CREATE TABLE t{at} (n BIGINT) WITH ('connector' = 'datagen');\n" for at in range(40))
    union = " UNION ALL ".join(f"SELECT n FROM t{at}" for at in range(40))
    script = f"SET 'parallelism.default' = '32768';\n{tables}{numbers(1)}INSERT INTO nowhere {union};"
    return world.must_refuse(script, "at most 131072 are possible")


def many_inserts(world):
    """D5, plans: 2,000 INSERTs in one script, then as many as are taken."""
    said = world.must_refuse(numbers(1) + "INSERT INTO nowhere SELECT n FROM numbers;\n" * 2000, "more than 1000 jobs")
    jobs = world.submit(numbers(1) + "INSERT INTO nowhere SELECT n FROM numbers;\n" * 1000)
    ends = collections.Counter(world.end_of(job, 300)[0].lower() for job in jobs)
    if ends != {"finished": 1000}:
        raise Broken(f"1,000 jobs: {dict(ends)}")
    return f"{said}; 1,000 finished"
