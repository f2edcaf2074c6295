#!/usr/bin/env python3
"""Records what Apache Flink gives for expressions: record.py 'COMMAND' FILE...

COMMAND reads paths of SQL scripts from its standard input and prints, for each SELECT, one JSON line with "columns" (name
and type) and "rows" (values cast to STRING), or "error". A FILE holds an expression a line; lines that start with '#' are
comments, '# zone: X' sets the session's time zone. The answers go to FILE with the suffix .golden: expression, type and
value as JSON, separated by tabs; an expression that fails has the type '!' and the message.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

BATCH = 25


def main():
    command, files = sys.argv[1], [pathlib.Path(f) for f in sys.argv[2:]]
    server = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for path in files:
        zone, expressions = None, []
        for line in path.read_text().splitlines():
            if line.startswith("# zone:"):
                zone = line.split(":", 1)[1].strip()
            if line.strip() and not line.startswith("#"):
                expressions.append(line.strip())
        answers = {}
        batches = [expressions[i : i + BATCH] for i in range(0, len(expressions), BATCH)]
        while batches:
            again = []
            for batch, answer in zip(batches, ask(server, zone, batches)):
                if "rows" in answer:
                    for expression, column, value in zip(batch, answer["columns"], answer["rows"][0]):
                        answers[expression] = (column[1], value)
                elif len(batch) == 1:
                    answers[batch[0]] = ("!", answer["error"])
                else:
                    size = max(1, len(batch) // 5)
                    again += [batch[i : i + size] for i in range(0, len(batch), size)]
            batches = again
        lines = [f"# zone: {zone}\n"] if zone else []
        for expression in expressions:
            kind, value = answers[expression]
            lines.append(f"{expression}\t{kind}\t{json.dumps(value, ensure_ascii=False)}\n")
        path.with_suffix(".golden").write_text("".join(lines))
        print(path, len(expressions), "expressions")
    server.stdin.close()


def ask(server, zone, batches):
    with tempfile.NamedTemporaryFile("w", suffix=".sql", delete=False) as script:
        if zone:
            script.write(f"SET 'table.local-time-zone' = '{zone}';\n")
        for batch in batches:
            script.write("SELECT " + ", ".join(batch) + ";\n")
    server.stdin.write(script.name + "\n")
    server.stdin.flush()
    answers = []
    while True:
        line = server.stdout.readline()
        if not line:
            raise SystemExit("the command ended")
        if line.startswith('{"done"'):
            pathlib.Path(script.name).unlink()
            return answers
        if line.startswith('{"query"'):
            answers.append(json.loads(line))


main()
