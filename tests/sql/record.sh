#!/usr/bin/env bash
# Records what Apache Flink answers: writes NAME.expected beside each NAME.sql.
#
#   FLINK_SQL="<command>" tests/sql/record.sh [NAME.sql ...]     without names: every script that has no answer yet
#
# The command reads paths of scripts on its standard input, one a line, runs each in a session of its own, and prints one
# JSON line for each SELECT ({"query": n, "columns": [[name, type], ...], "rows": [[text or null, ...], ...]} or
# {"query": n, "error": message}) and {"done": path} after each script. Values are as CAST(x AS STRING) gives them, rows
# are what is left when the changelog is folded. In a script ${DATA} stands for tests/sql/data and ${TMP} for an empty folder.
# Results of many rows are kept as count and digest. The INSERTs of a statement set are recorded one by one, as a runner that
# splits scripts at semicolons sees them: the answers are the same.
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
: "${FLINK_SQL:?set FLINK_SQL to a command that runs SQL scripts on Apache Flink, see the head of this file}"
exec python3 - "$here" "$@" <<'PY'
import hashlib, json, os, pathlib, re, subprocess, sys, tempfile

MANY = 500
here = pathlib.Path(sys.argv[1])
scripts = [pathlib.Path(name).resolve() for name in sys.argv[2:]]
if not scripts:
    scripts = [s for s in sorted(here.rglob("*.sql")) if not s.with_suffix(".expected").exists()]
data = str(here / "data")


def kept(line, folder):
    record = json.loads(line)
    if "error" in record:
        record["error"] = record["error"].replace(data, "${DATA}").replace(folder, "${TMP}")
    elif len(record["rows"]) > MANY:
        rows = sorted(json.dumps(row, ensure_ascii=False) for row in record.pop("rows"))
        record["count"] = len(rows)
        record["rows_sha256"] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return json.dumps(record, ensure_ascii=False)


runner = subprocess.Popen(os.environ["FLINK_SQL"], shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
for script in scripts:
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder, script.name)
        text = re.sub(r"(?m)^(EXECUTE STATEMENT SET BEGIN|END;)\n", "", script.read_text())
        copy.write_text(text.replace("${DATA}", data).replace("${TMP}", folder + "/tmp"))
        os.mkdir(folder + "/tmp")
        runner.stdin.write(f"{copy}\n")
        runner.stdin.flush()
        answers = []
        for line in runner.stdout:
            if line.startswith('{"query"'):
                answers.append(kept(line, folder + "/tmp"))
            elif line.startswith('{"done"'):
                break
        else:
            sys.exit(f"the runner ended while it ran {script}")
        script.with_suffix(".expected").write_text("".join(answer + "\n" for answer in answers))
        errors = sum('"error"' in answer for answer in answers)
        print(f"{script.relative_to(here)}: {len(answers)} answers, {errors} errors", flush=True)
runner.stdin.close()
sys.exit(runner.wait())
PY
