"""What attackers, and users who mean no harm, can do to a cluster: what comes of each attack, and the memory of JobManager and
TaskManagers at its peak.

attacks.py HOME [--only ATTACK ...] [--seconds S] [--connections N]

HOME is an installation of Wiesel (`make -s dist`, or `make -s home`). A JobManager and two TaskManagers of the sizes that Flink's
configuration begins with run an innocent job, bounded and with checkpoints, which lasts as long as the attacks do; the attacks come one
after the other. The exit status is 0 only if each came to what it should, no process ended or took more memory than it is
configured to, the innocent job never restarted and wrote every row once, and no log speaks of a panic.
"""
import argparse, http.client, pathlib, re, resource, subprocess, sys, threading, time

from hostile import files, ports, statements
from hostile.victim import Broken, Refused, World, brief

# What the processes are configured to have, in MB (engines.py).
LIMITS = {"JM": 1600, "TM 1": 1728, "TM 2": 1728}
# By which an attack says that it came to something else than it should. One that waits in vain ends the program otherwise.
FAULTS = (Broken, Refused, OSError, ValueError, http.client.HTTPException, subprocess.SubprocessError, SystemExit)


class Memory:
    """The most resident memory that each process has while something goes on, in MB."""

    def __init__(self, pids):
        self.pids, self.over = pids, threading.Event()
        self.peaks = dict.fromkeys(pids, 0)

    def __enter__(self):
        for pid in self.pids.values():
            try:
                # The peak that the system keeps begins anew.
                pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
            except OSError:
                pass
        # Where it may not be reset, it says nothing of this attack.
        self.kept = {name: self.read(pid, "VmHWM") <= self.read(pid, "VmRSS") + 64 for name, pid in self.pids.items()}
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        for name, pid in self.pids.items():
            if self.kept[name]:
                self.peaks[name] = max(self.peaks[name], self.read(pid, "VmHWM"))

    def watch(self):
        while not self.over.wait(0.05):
            for name, pid in self.pids.items():
                self.peaks[name] = max(self.peaks[name], self.read(pid, "VmRSS"))

    @staticmethod
    def read(pid, key):
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return 0
        found = re.search(rf"^{key}:\s+(\d+) kB", status, re.MULTILINE)
        return int(found[1]) // 1024 if found else 0


def nothing(world):
    """For comparison: the innocent job alone."""
    time.sleep(5)
    return "-"


ATTACKS = [
    nothing, statements.nested_syntax_errors, statements.views_on_views, statements.parentheses_in_from, ports.slots_without_end,
    statements.constants_that_stand_for_much, statements.long_texts_in_batches, statements.long_texts_across_the_network,
    statements.long_bytes_generated, statements.state_beyond_memory, files.bad_tokens_of_70_mb, statements.doubling_views,
    statements.many_sums, statements.huge_parallelism, statements.many_inserts, ports.stalled_task_manager, ports.silent_task_manager,
    ports.uploads_held_open, ports.idle_connections, ports.slow_beginnings, files.what_is_no_file, ports.foreign_pages,
    ports.strangers_on_internal_ports, files.secret_read_by_jobs, files.damaged_savepoints, files.control_characters,
    ports.odd_requests, ports.bodies_in_crumbs,
]


def measure(world, attack):
    """Makes an attack and prints its line. What is wrong with what came of it."""
    faults, rows, checkpoints = [], *world.progress()
    begun = time.monotonic()
    with Memory(world.pids) as memory:
        try:
            outcome = attack(world)
        except FAULTS as fault:
            outcome = f"BROKEN: {type(fault).__name__}: {brief(str(fault))}"
            faults.append(outcome)
    seconds = time.monotonic() - begun
    faults += [f"{name} ended" for name in world.dead()]
    faults += [f"{name} had {peak} MB of {LIMITS[name]}" for name, peak in memory.peaks.items() if peak > LIMITS[name]]
    made = ["?", "?"]
    if not world.dead():
        world.cancel_others()
        now = world.progress()
        made = [now[0] - rows, now[1] - checkpoints]
        if world.is_over():
            faults.append("the innocent job was over before: give it more --seconds")
        # It counts its rows once a second, and a checkpoint is taken each second.
        elif seconds > 5 and not all(made):
            faults.append(f"the innocent job made {made[0]} rows and {made[1]} checkpoints in {seconds:.0f} s")
    peaks = "".join(f"{peak:9}" for peak in memory.peaks.values())
    name = attack.__name__.replace("_", " ")
    print(f"{name:30}{seconds:7.1f}{peaks}{made[0]:9}{made[1]:5}  {outcome}", flush=True)
    return [f"{name}: {fault}" for fault in faults]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=pathlib.Path)
    parser.add_argument("--only", nargs="+", metavar="ATTACK", choices=[attack.__name__ for attack in ATTACKS])
    parser.add_argument("--seconds", type=int, default=300, help="how long the innocent job lasts; longer than all attacks")
    parser.add_argument("--connections", type=int, default=2000, help="to each port")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # To two ports of each process, from this one.
    connections = min(options.connections, most // 8)
    world, faults = World(options.home.resolve(), options.seconds, connections), ["it broke off"]
    try:
        world.begin()
        print(f"{'':30}{'s':>7}" + "".join(f"{name + ' MB':>9}" for name in world.pids) + f"{'rows':>9}{'chk':>5}  what came of it")
        found = []
        for attack in ATTACKS:
            if options.only and attack.__name__ not in options.only:
                continue
            found += measure(world, attack)
            if world.dead():
                break
        faults = found + world.faults()
    finally:
        world.cluster.stop(keep=bool(faults))
    if faults:
        sys.exit("\n".join([*faults, f"Logs: {world.folder}/log"]))
    print(f"The innocent job: {world.rows} rows, each counted once; no process ended, no log speaks of a panic.")


main()
