#!/usr/bin/env python3
"""Our mount beside ext4, btrfs, other FUSE file systems, and a daemon that does nothing: the table of bars.

One run of fsbench has all targets, which take turns, the first to go turned by one each round; what is quoted is the
median of the rounds, and the ratio of medians (above 1 is better, whatever the unit). Targets:

  varve      a new volume, as mkfs and mount make it when nothing is said, where the kernel's fuse.enable_uring is off
  encrypted  the same with mkfs --encrypt
  rings      as varve, with requests by io_uring; as root, and the kernel's switch is put back at the end
  ext4       a plain folder, on the file system that carries all the others (whatever that is)
  btrfs      on a loop device, compress=zstd; needs root and mkfs.btrfs
  mem        tests/bench/memll.c, in memory: the limit of this road
  php        libfuse's example passthrough_hp over a plain folder; say where it is with --php
  gocryptfs  as Debian has it
  securefs   as Debian has it, in its default format; with a cheap key derivation, which is not what is measured

What is not there is left out, with a line that says so; a bar without its peer is not judged. All is made in one folder
and taken down at the end, also after an interrupt.

Exit status: 0 when every bar that was judged is met, 1 when one is missed, 2 when something could not be run or an
answer was wrong.
"""

import argparse
import contextlib
import glob
import json
import os
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TARGETS = "varve,encrypted,rings,ext4,btrfs,mem,php,gocryptfs,securefs"
ENCRYPTING_PEERS = ("gocryptfs", "securefs")
# Row of fsbench, its unit, and the least ratios of goodness to peers.
BARS = (
    ("create-empty", "files/s", {"mem": 0.90}),
    ("create-4k", "files/s", {"mem": 0.85}),
    ("stat-cold", "files/s", {"mem": 0.70}),
    ("readdir-cold", "files/s", {"ext4": 1.0}),
    ("read-4k-files", "files/s", {"ext4": 1.0}),
    ("rename", "files/s", {"mem": 0.75}),
    ("unlink", "files/s", {"mem": 0.80}),
    ("seq-write", "MiB/s", {"gocryptfs": 1.2, "php": 1.0}),
    ("seq-read", "MiB/s", {"gocryptfs": 1.5, "btrfs": 1.0}),
    ("rand-read-4k", "ops/s", {"ext4": 0.75}),
    ("rand-write-4k", "ops/s", {"php": 1.0}),
    ("overwrite-fsync-4k p50", "ms", {"ext4": 1.0}),
    ("append-fsync p50", "ms", {"ext4": 1.3}),
    ("untar", "files/s", {"mem": 0.85}),
    ("git-like commit", "s", {"mem": 0.95}),
    ("git-like status", "s", {"php": 1.0}),
    ("sqlite", "tx/s", {"ext4": 1.2}),
)
SPACE_ROW, SPACE_MOST = "untar space, B/B", 0.45
MEMORY_MOST_MIB = 192
ENCRYPTED_LEAST = 0.85
MOUNT_CLEAN_MOST_S, MOUNT_KILLED_MOST_S = 0.2, 2.0
WORKLOADS = ("create-empty,create-4k,stat-cold,readdir-cold,read-4k-files,rename,unlink,seq-write,seq-read,rand-read-4k,"
             "rand-write-4k,overwrite-fsync-4k,append-fsync,untar,git-like,sqlite")
URING_SWITCH = "/sys/module/fuse/parameters/enable_uring"
BTRFS_IMAGE_BYTES = 64 << 30  # sparse


class Missing(Exception):
    """A peer that this machine does not have, and why."""


def run(*command, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip() or done.stdout.strip() or done.returncode}")
    return done.stdout


def program(name):
    path = shutil.which(name)
    if not path:
        raise Missing(f"there is no program {name}")
    return os.path.realpath(path)


def is_mounted(point):
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        return any(line.split()[4] == point for line in f)


class Target:
    """A folder to measure. Subclasses say how it is made, and how it is mounted again."""

    def __init__(self, args, name):
        self.args, self.name = args, name
        self.folder = os.path.join(args.dir, name)
        self.point = os.path.join(self.folder, "mnt")
        self.backing = os.path.join(self.folder, "back")
        self.mount_command = None  # a shell command
        self.umount_command = shlex.join([*(["umount"] if os.geteuid() == 0 else ["fusermount3", "-u"]), self.point])
        self.has_daemon, self.remounts = True, True

    def make(self):
        os.makedirs(self.point)
        os.makedirs(self.backing)
        self.prepare()
        if self.mount_command:
            run("sh", "-c", self.mount_command)
            if not is_mounted(self.point):
                raise RuntimeError(f"{self.name} is not mounted at {self.point}")

    def prepare(self):
        raise NotImplementedError

    def take_down(self):
        for _ in range(50):
            if not is_mounted(self.point):
                return
            subprocess.run(["sh", "-c", self.umount_command], capture_output=True, check=False)
            time.sleep(0.1)
        subprocess.run(["umount", "-l", self.point], capture_output=True, check=False)

    def options(self):
        found = ["--target", f"{self.name}={self.point}"]
        if self.backing:
            found += ["--backing", f"{self.name}={self.backing}"]
        if self.mount_command and self.remounts:
            found += ["--remount", f"{self.name}={self.umount_command} && {self.mount_command}"]
        if self.mount_command and self.has_daemon:
            found += ["--daemon", f"{self.name}={re.escape(self.point)}( |$)"]
        return found


class Varve(Target):
    def prepare(self):
        exe, rings = self.args.varvefs, self.name == "rings"
        if rings and not os.access(URING_SWITCH, os.W_OK):
            raise Missing(f"there is no {URING_SWITCH}, or it takes root")
        secret = []
        if self.name == "encrypted":
            passfile = os.path.join(self.folder, "pass")
            with open(passfile, "w", encoding="utf-8") as f:
                f.write("a passphrase for measurements\n")
            secret = ["--encrypt", f"--passfile={passfile}"]
        run(exe, "mkfs", "-q", *secret, self.backing)
        options = self.args.mount_options.split(",") if self.args.mount_options else []
        options += [f"passfile={secret[1].partition('=')[2]}"] if secret else []
        if rings or "io_uring=" not in self.args.mount_options:
            options += ["io_uring=" + ("on" if rings else "off")]
        self.mount_command = shlex.join([exe, "mount", "-o", ",".join(options), self.backing, self.point])
        self.umount_command = shlex.join([exe, "umount", self.point])


class Plain(Target):
    def prepare(self):
        self.backing = self.point


class Btrfs(Target):
    def prepare(self):
        if os.geteuid() != 0:
            raise Missing("mounting a loop device takes root")
        mkfs, image = program("mkfs.btrfs"), os.path.join(self.backing, "image")
        with open(image, "wb") as f:
            f.truncate(BTRFS_IMAGE_BYTES)
        run(mkfs, "-q", image)
        self.mount_command = shlex.join(["mount", "-t", "btrfs", "-o", "loop,compress=zstd", image, self.point])
        self.has_daemon = False


class Mem(Target):
    def prepare(self):
        if not os.access(self.args.memll, os.X_OK):
            raise Missing(f"there is no program {self.args.memll}")
        self.mount_command = shlex.join([os.path.realpath(self.args.memll), self.point])
        self.backing, self.remounts = None, False


class Php(Target):
    def prepare(self):
        if not self.args.php:
            raise Missing("say where libfuse's passthrough_hp is, with --php")
        self.mount_command = shlex.join([program(self.args.php), self.backing, self.point])


class Gocryptfs(Target):
    def prepare(self):
        exe, passfile = program("gocryptfs"), os.path.join(self.folder, "pass")
        with open(passfile, "w", encoding="utf-8") as f:
            f.write("a passphrase for measurements\n")
        run(exe, "-q", "-init", "-passfile", passfile, self.backing)
        self.mount_command = shlex.join([exe, "-q", "-passfile", passfile, self.backing, self.point])


class Securefs(Target):
    def prepare(self):
        exe, secret = program("securefs"), ["--pass", "measurements"]
        run(exe, "create", "-r", "1", "--pbkdf", "pkcs5-pbkdf2-hmac-sha256", *secret, self.backing)
        log = os.path.join(self.folder, "log")
        self.mount_command = shlex.join([exe, "mount", "-b", "--log", log, *secret, self.backing, self.point])


CLASSES = {"varve": Varve, "encrypted": Varve, "rings": Varve, "ext4": Plain, "btrfs": Btrfs, "mem": Mem, "php": Php,
           "gocryptfs": Gocryptfs, "securefs": Securefs}


@contextlib.contextmanager
def targets_of(args):
    """The targets that could be made, mounted; whatever happens, they are taken down."""
    made = []
    try:
        for name in args.targets.split(","):
            target = CLASSES[name](args, name)
            made.append(target)
            try:
                target.make()
            except Missing as e:
                made.pop()
                print(f"left out: {name}: {e}", file=sys.stderr)
                args.left_out.append(f"{name}: {e}")
        yield made
    finally:
        for target in reversed(made):
            target.take_down()


@contextlib.contextmanager
def switch_kept():
    """The kernel's switch is as before, whatever a target did with it."""
    before = None
    if os.access(URING_SWITCH, os.W_OK):
        with open(URING_SWITCH, encoding="utf-8") as f:
            before = f.read()
    try:
        yield
    finally:
        if before:
            with open(URING_SWITCH, "w", encoding="utf-8") as f:
                f.write(before)


def measure(args, targets):
    """What fsbench wrote, and whether all answers were right."""
    result = os.path.join(args.dir, "result.json")
    command = [sys.executable, args.fsbench, "--rounds", str(args.rounds), "--scale", str(args.scale), "--only",
               args.workloads, "--json", result, *(o for t in targets for o in t.options()), *args.extra]
    with open(os.path.join(args.dir, "table"), "w", encoding="utf-8") as table:
        status = subprocess.run(command, stdout=table, check=False).returncode
    if not os.path.exists(result):
        raise RuntimeError(f"fsbench ended with status {status}")
    with open(result, encoding="utf-8") as f:
        return json.load(f)


class Table:
    """Medians of a run, and how many bars it missed."""

    def __init__(self, found, names):
        self.results, self.names, self.peak = found["results"], names, found["peak_rss"]
        self.missed = self.unjudged = 0

    def median(self, name, row):
        values = self.results.get(row, {}).get(name)
        return statistics.median(values) if values else None

    def spread(self, name, row):
        values = self.results[row][name]
        return 100 * (max(values) - min(values)) / statistics.median(values) if len(values) > 1 else 0

    def goodness(self, ours, theirs, row):
        """Ratio of two targets' medians, above 1 if the first is better; None: one is not there."""
        a, b = self.median(ours, row), self.median(theirs, row)
        if not a or not b:
            return None
        return a / b if row.endswith("/s") else b / a

    def verdict(self, good):
        self.missed += not good
        return "ok" if good else "MISSED"


def number(value):
    if value is None:
        return "-"
    return (f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.2f}" if value >= 1
            else f"{value:.3f}")


def print_bars(t):
    print(f"{'':<32}" + "".join(f"{n:>11}" for n in t.names) + f"{'spread':>8}  ratio, bar")
    for name, unit, bars in BARS:
        row = f"{name}, {unit}"
        if not t.results.get(row):
            continue
        line = f"{row:<32}" + "".join(f"{number(t.median(n, row)):>11}" for n in t.names)
        line += f"{t.spread('varve', row):>7.0f}%" if t.median("varve", row) else f"{'-':>8}"
        for peer, least in bars.items():
            ratio = t.goodness("varve", peer, row)
            if ratio is None:
                t.unjudged += 1
                line += f"  {peer} -"
            else:
                line += f"  {ratio:.2f} of {peer} ({least:.2f}) {t.verdict(ratio >= least)}"
        print(line)
    space = t.median("varve", SPACE_ROW)
    if space is not None:
        print(f"{SPACE_ROW:<32}" + "".join(f"{number(t.median(n, SPACE_ROW)):>11}" for n in t.names) +
              f"{'':>8}  at most {SPACE_MOST} {t.verdict(space <= SPACE_MOST)}")
    memory = {n: t.peak.get(n, 0) / 2**20 for n in t.names}
    print(f"{'peak memory of the daemon, MiB':<32}" + "".join(f"{number(m) if m else '-':>11}" for m in memory.values()) +
          (f"{'':>8}  at most {MEMORY_MOST_MIB} {t.verdict(memory['varve'] <= MEMORY_MOST_MIB)}"
           if memory.get("varve") else ""))


def print_rings(t):
    """With requests by io_uring: beside the same without, and the same bars, which are not counted here."""
    print(f"\n{'with io_uring':<32}{'of without':>11}  ratio, bar")
    for name, unit, bars in BARS:
        row = f"{name}, {unit}"
        plain = t.goodness("rings", "varve", row)
        if plain is None:
            continue
        line = f"{row:<32}{plain:>11.2f}"
        for peer, least in bars.items():
            ratio = t.goodness("rings", peer, row)
            if ratio is not None:
                line += f"  {ratio:.2f} of {peer} ({least:.2f}) {'ok' if ratio >= least else 'missed'}"
        print(line)


def print_encrypted(t):
    """With encryption: not much slower than without, and faster than who else encrypts."""
    peers = [name for name in ENCRYPTING_PEERS if name in t.names]
    print(f"\n{'with encryption':<32}{'of plain':>11}{'at least':>11}" + "".join(f"{'of ' + p:>14}" for p in peers) +
          f"{'above':>8}")
    for name, unit, _ in BARS:
        row = f"{name}, {unit}"
        plain = t.goodness("encrypted", "varve", row)
        if plain is None:
            continue
        ratios = [t.goodness("encrypted", peer, row) for peer in peers]
        good = plain >= ENCRYPTED_LEAST and all(ratio is None or ratio > 1 for ratio in ratios)
        print(f"{row:<32}{plain:>11.2f}{ENCRYPTED_LEAST:>11}" +
              "".join(f"{'-' if ratio is None else format(ratio, '.2f'):>14}" for ratio in ratios) +
              f"{1:>8}  {t.verdict(good)}")


def seconds_of(command):
    begin = time.perf_counter()
    run(*command)
    return time.perf_counter() - begin


def daemon_of(target):
    """The process id of the mount's daemon, and its peak memory in MiB."""
    for status in glob.glob("/proc/[0-9]*/status"):
        with contextlib.suppress(OSError, AttributeError):
            with open(os.path.join(os.path.dirname(status), "cmdline"), encoding="utf-8", errors="replace") as f:
                words = f.read().split("\0")
            if target.point in words and os.path.basename(words[0]).endswith("varvefs"):
                with open(status, encoding="utf-8") as f:
                    return int(status.split("/")[2]), int(re.search(r"VmHWM:\s+(\d+)", f.read())[1]) / 1024
    raise RuntimeError(f"no daemon serves {target.point}")


def measure_many(args, target, t):
    """Mounting a volume of very many files, after a clean end and after a kill."""
    print(f"\nmaking {args.many} files", file=sys.stderr)
    ops, pool = os.path.join(args.dir, "ops"), os.path.join(args.dir, "pool")
    source = os.path.join(os.path.dirname(os.path.realpath(args.fsbench)), "fsbench-ops.c")
    run("cc", "-O2", "-pthread", "-o", ops, source)
    with open(pool, "wb") as f:
        f.write(os.urandom(8 << 20))
    run(ops, pool, "create", os.path.join(target.point, "many"), str(args.many), "1000", "0", "2")
    mount = shlex.split(target.mount_command)
    memory, clean, killed = [daemon_of(target)[1]], [], []
    for _ in range(args.rounds):
        run("sh", "-c", target.umount_command)
        clean.append(seconds_of(mount))
        os.makedirs(os.path.join(target.point, "more"), exist_ok=True)
        run(ops, pool, "create", os.path.join(target.point, "more", str(len(clean))), "20000", "1000", "0", "2")
        pid, peak = daemon_of(target)
        memory.append(peak)
        os.kill(pid, signal.SIGKILL)
        run("umount", "-l", target.point)
        while os.path.exists(f"/proc/{pid}"):
            time.sleep(0.01)
        killed.append(seconds_of(mount))
        memory.append(daemon_of(target)[1])
    for what, value, most in (("mount after umount, s", statistics.median(clean), MOUNT_CLEAN_MOST_S),
                              ("mount after kill -9, s", statistics.median(killed), MOUNT_KILLED_MOST_S),
                              ("peak memory, MiB", max(memory), MEMORY_MOST_MIB)):
        print(f"{args.many} files: {what:<24}{number(value):>9}  at most {most} {t.verdict(value <= most)}")


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = os.path.dirname(os.path.realpath(__file__))
    p.add_argument("--varvefs", default="build/varvefs", help="the program (build/varvefs)")
    p.add_argument("--memll", default="build/memll", help="the daemon that does nothing (build/memll)")
    p.add_argument("--php", default=os.environ.get("PASSTHROUGH_HP"), metavar="FILE",
                   help="libfuse's passthrough_hp (the variable PASSTHROUGH_HP)")
    p.add_argument("--fsbench", default=os.path.join(here, "fsbench"), help=argparse.SUPPRESS)
    p.add_argument("--rounds", type=int, default=3, help="how often all is run (3)")
    p.add_argument("--scale", type=float, default=0.2, help="factor for all numbers and sizes (0.2)")
    p.add_argument("--targets", default=TARGETS, help=f"which ({TARGETS})")
    p.add_argument("--workloads", default=WORKLOADS, help="which of fsbench's (those that have a bar)")
    p.add_argument("--mount-options", default="", metavar="A,B", help="for our mounts")
    p.add_argument("--many", type=int, default=0, metavar="FILES",
                   help="then time mounting a volume of so many (0: not; the bar is for 10000000, which takes a while)")
    p.add_argument("--dir", help="folder for everything (a new one under TMPDIR)")
    p.add_argument("--json", metavar="FILE", help="file for all figures of all rounds")
    p.add_argument("--verbose", action="store_true", help="show fsbench's own tables, too")
    p.add_argument("extra", nargs="*", help="more options for fsbench, after --")
    args = p.parse_args()
    unknown = set(args.targets.split(",")) - set(CLASSES)
    if unknown or not args.targets:
        p.error(f"unknown targets: {' '.join(sorted(unknown))}")
    if args.rounds < 1:
        p.error("at least one round")
    args.varvefs, args.left_out = os.path.realpath(args.varvefs), []
    return args


def report(args, targets):
    found = measure(args, targets)
    names = [target.name for target in targets]
    if args.verbose:
        with open(os.path.join(args.dir, "table"), encoding="utf-8") as f:
            print(f.read())
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(found, f, indent=1)
    t = Table(found, names)
    print(found["about"])
    for why in args.left_out:
        print(f"left out: {why}")
    print()
    print_bars(t)
    if "encrypted" in names and "varve" in names:
        print_encrypted(t)
    if "rings" in names and "varve" in names:
        print_rings(t)
    if args.many and "varve" in names:
        measure_many(args, targets[names.index("varve")], t)
    wrong = found["failed"]
    print("".join(f"\n{line}" for line in wrong))
    print(f"{t.missed} bars missed, {t.unjudged} not judged; {len(wrong)} failures")
    return 2 if wrong else 1 if t.missed else 0


def main():
    args = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    made = None if args.dir else tempfile.mkdtemp(prefix="varve-mounts-")
    args.dir = os.path.realpath(args.dir or made)
    os.makedirs(args.dir, exist_ok=True)
    try:
        with switch_kept(), targets_of(args) as targets:
            return report(args, targets)
    except (RuntimeError, OSError) as e:
        print(f"bench_fs: {e}", file=sys.stderr)
        return 2
    finally:
        if made:
            shutil.rmtree(made, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
