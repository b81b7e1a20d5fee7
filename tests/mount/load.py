#!/usr/bin/env python3
"""Puts load on a mounted folder and remembers what was acknowledged; later proves that nothing of it is missing.

    load.py run FOLDER JOURNAL [WORKERS]    until the folder fails (the daemon was killed) or SIGTERM; appends to JOURNAL.N
    load.py verify FOLDER JOURNAL [WORKERS] compares; prints what is missing; exit 1 if anything is

Each worker keeps to its own folder and writes a line to its journal, which lies outside the mount, before and after each operation. What
began but did not end may have happened or not; everything else must be there, with its contents. Data counts as acknowledged
after fsync: before that it is in the kernel's cache, not with the daemon.
"""
import errno
import os
import random
import signal
import sys


GONE = (errno.ECONNABORTED, errno.ENOTCONN, errno.ECANCELED, errno.EIO)  # the daemon was killed


def content(seed, size):
    return (random.Random(seed).randbytes(size // 2 + 1) + b"varve" * (size // 10 + 1))[:size]


class State:
    """What a worker's folder should hold: name -> bytes, or None for a folder; xattrs beside it."""

    def __init__(self):
        self.files, self.folders, self.xattrs = {}, set(), {}

    def apply(self, op):
        kind, *a = op
        if kind == "create":
            self.files[a[0]] = content(int(a[1]), int(a[2]))
            self.xattrs.pop(a[0], None)
        elif kind == "patch":
            old, at, new = self.files[a[0]], int(a[1]), content(int(a[2]), 4096)
            old = old.ljust(at, b"\0")
            self.files[a[0]] = old[:at] + new + old[at + 4096 :]
        elif kind == "truncate":
            self.files[a[0]] = self.files[a[0]][: int(a[1])].ljust(int(a[1]), b"\0")
        elif kind == "rename":
            self.files[a[1]] = self.files.pop(a[0])
            self.xattrs.pop(a[1], None)
            if a[0] in self.xattrs:
                self.xattrs[a[1]] = self.xattrs.pop(a[0])
        elif kind == "unlink":
            del self.files[a[0]]
            self.xattrs.pop(a[0], None)
        elif kind == "mkdir":
            self.folders.add(a[0])
        elif kind == "rmdir":
            self.folders.discard(a[0])
        elif kind == "setxattr":
            self.xattrs[a[0]] = a[1]


def perform(folder, op):
    kind, *a = op
    path = os.path.join(folder, a[0])
    if kind == "create":
        fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o644)
        os.write(fd, content(int(a[1]), int(a[2])))
        os.fsync(fd)
        os.close(fd)
    elif kind == "patch":
        fd = os.open(path, os.O_WRONLY)
        os.pwrite(fd, content(int(a[2]), 4096), int(a[1]))
        os.fsync(fd)
        os.close(fd)
    elif kind == "truncate":
        os.truncate(path, int(a[1]))
    elif kind == "rename":
        os.rename(path, os.path.join(folder, a[1]))
    elif kind == "unlink":
        os.unlink(path)
    elif kind == "mkdir":
        os.mkdir(path)
    elif kind == "rmdir":
        os.rmdir(path)
    elif kind == "setxattr":
        os.setxattr(path, "user.load", a[1].encode())


def choose(r, state, counter):
    names = sorted(state.files)
    dice = r.random()
    if not names or (dice < 0.40 and len(names) < 60):
        return ("create", f"f{counter}", str(r.getrandbits(30)), str(r.choice([0, 10, 4096, 30000, 200000])))
    name = r.choice(names)
    if dice < 0.60:
        return ("patch", name, str(r.randrange(0, len(state.files[name]) + 5000)), str(r.getrandbits(30)))
    if dice < 0.65:
        return ("truncate", name, str(r.randrange(0, len(state.files[name]) + 1000)))
    if dice < 0.75:
        return ("rename", name, r.choice(names) if r.random() < 0.3 and len(names) > 1 else f"r{counter}")
    if dice < 0.85:
        return ("unlink", name)
    if dice < 0.90:
        return ("setxattr", name, str(counter))
    if state.folders and dice < 0.95:
        return ("rmdir", r.choice(sorted(state.folders)))
    return ("mkdir", f"d{counter}")


def read_journal(path):
    """The acknowledged operations, and the last one that began if it did not end."""
    done, doubt = [], None
    if not os.path.exists(path):
        return done, doubt
    with open(path) as f:
        for line in f:
            if not line.endswith("\n"):
                break
            mark, *op = line.split()
            if mark == "began":
                doubt = tuple(op)
            elif mark == "ended":
                done.append(doubt)
                doubt = None
            else:  # "settled": an earlier verification found out
                if op[0] == "yes":
                    done.append(doubt)
                doubt = None
    return done, doubt


def state_of(ops):
    state = State()
    for op in ops:
        state.apply(op)
    return state


def run_worker(number, folder, journal):
    done, doubt = read_journal(journal)
    assert doubt is None, "verify first"
    state, r = state_of(done), random.Random(os.getpid() * 7919 + number)
    counter = len(done) * 2 + r.getrandbits(16) * 1000000
    with open(journal, "a", buffering=1) as log:
        while True:
            counter += 1
            op = choose(r, state, counter)
            if op[0] == "rename" and op[1] == op[2]:
                continue
            log.write(" ".join(("began",) + op) + "\n")
            try:
                perform(folder, op)
            except OSError as e:
                if e.errno in GONE:
                    return
                print(f"worker {number}: {op}: {e}", file=sys.stderr)
                os._exit(3)
            log.write("ended\n")
            state.apply(op)


def run(folder, journal, workers):
    pids = []
    try:
        for n in range(workers):
            os.makedirs(os.path.join(folder, f"w{n}"), exist_ok=True)
    except OSError as e:
        if e.errno in GONE:
            return 0  # killed before anything began
        raise
    for n in range(workers):
        pid = os.fork()
        if pid == 0:
            run_worker(n, os.path.join(folder, f"w{n}"), f"{journal}.{n}")
            os._exit(0)
        pids.append(pid)
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(p, signal.SIGKILL) for p in pids])
    bad = 0
    for pid in pids:
        status = os.waitpid(pid, 0)[1]
        bad |= os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0
    return bad


def look(folder):
    state = State()
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            state.folders.add(name)
            continue
        with open(path, "rb") as f:
            state.files[name] = f.read()
        if "user.load" in os.listxattr(path):
            state.xattrs[name] = os.getxattr(path, "user.load").decode()
    return state


def differences(want, have):
    out = []
    for name in sorted(set(want.files) | set(have.files)):
        if name not in have.files:
            out.append(f"{name} is missing")
        elif name not in want.files:
            out.append(f"{name} should not be there")
        elif want.files[name] != have.files[name]:
            out.append(f"{name} differs: {len(have.files[name])} bytes, {len(want.files[name])} expected")
    if want.folders != have.folders:
        out.append(f"folders differ: {sorted(want.folders ^ have.folders)}")
    if want.xattrs != have.xattrs:
        out.append("extended attributes differ")
    return out


def in_doubt(before, op, have):
    """Did the operation that was interrupted happen? "yes", "no", or None when neither fits. A create or patch may also have happened in part:
    then the file is taken out of both sides and removed."""
    after = state_of([])
    after.files, after.folders, after.xattrs = dict(before.files), set(before.folders), dict(before.xattrs)
    after.apply(op)
    if not differences(before, have):
        return "no"
    if not differences(after, have):
        return "yes"
    return None


def verify(folder, journal, workers):
    bad = 0
    for n in range(workers):
        path, name = os.path.join(folder, f"w{n}"), f"{journal}.{n}"
        done, doubt = read_journal(name)
        if not os.path.isdir(path) and not done:
            continue
        want, have = state_of(done), look(path)
        found = differences(want, have)
        if doubt is not None:
            answer = in_doubt(want, doubt, have)
            if answer is None and doubt[0] in ("create", "patch", "truncate"):
                # Between creation and fsync anything of this one file is right; all others must be.
                for s in (want, have):
                    s.files.pop(doubt[1], None)
                    s.xattrs.pop(doubt[1], None)
                found = differences(want, have)
                target = os.path.join(path, doubt[1])
                if os.path.exists(target):
                    os.unlink(target)
                with open(name, "a") as log:
                    log.write("settled no\n")
                    if doubt[1] in state_of(done).files:
                        log.write(f"began unlink {doubt[1]}\nended\n")
            elif answer is not None:
                found = []
                with open(name, "a") as log:
                    log.write(f"settled {answer}\n")
        for text in found:
            print(f"worker {n}: {text} (in doubt: {doubt})")
            bad = 1
        print(f"worker {n}: {len(done)} operations acknowledged, {len(have.files)} files")
    return bad


if __name__ == "__main__":
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    sys.exit({"run": run, "verify": verify}[sys.argv[1]](sys.argv[2], sys.argv[3], count))
