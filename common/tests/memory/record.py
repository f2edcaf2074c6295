"""Records the memory breakdown that Apache Flink derives: record.py FLINK_HOME > breakdowns.txt

Each case of cases.txt is one line: `tm` or `jm`, then `key=value` pairs separated by blanks. For each one block is
printed: the case, then the breakdown's lines as Flink prints them at start, or `error` and Flink's message.
"""
import glob, pathlib, re, subprocess, sys, tempfile

home = sys.argv[1]
jars = [f"{home}/bin/bash-java-utils.jar", *glob.glob(f"{home}/lib/flink-dist*.jar"), *glob.glob(f"{home}/lib/log4j*.jar")]
for case in (pathlib.Path(__file__).parent / "cases.txt").read_text().splitlines():
    role, *pairs = case.split()
    with tempfile.TemporaryDirectory() as conf:
        for name in glob.glob(f"{home}/conf/log4j*"):
            pathlib.Path(conf, pathlib.Path(name).name).write_text(pathlib.Path(name).read_text())
        pathlib.Path(conf, "config.yaml").write_text("".join(pair.replace("=", ": ", 1) + "\n" for pair in pairs))
        command = ["java", "-cp", ":".join(jars), "org.apache.flink.runtime.util.bash.BashJavaUtils",
                   f"GET_{role.upper()}_RESOURCE_PARAMS", "--configDir", conf]
        done = subprocess.run(command, capture_output=True, text=True)
    print("case", case)
    lines = re.findall(r"^INFO .*? - (  .*)$", done.stdout, re.M)
    if not lines:
        message = re.findall(r"IllegalConfigurationException: (.*)", done.stdout + done.stderr)
        lines = ["error " + (message[-1] if message else (done.stdout + done.stderr)[-300:])]
    print("\n".join(lines))
