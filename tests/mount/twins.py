#!/usr/bin/env python3
"""Does the same random file operations in two folders on different file systems; results, errors, what is read and the trees have to be the same.

    twins.py ONE OTHER
    twins.py --compare ONE OTHER     does nothing, but compares the trees

Environment: OPS, how many (4000); SEED; BETWEEN, a command that is run after each 5,000 operations, before and after which nothing is open in
either folder. As root it also changes owners, makes devices and empties the caches. The first difference is told, with the last operations, and
ends it with status 1; so does a BETWEEN that was never run, since there were fewer operations."""

import collections
import ctypes
import errno
import hashlib
import mmap
import os
import random
import shutil
import stat
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
NAMES = ["a", "b", "c", "d e", "\xff\n", "f" * 255, ".g", "h.txt"]
SIZE_MAX = 700_000
BETWEEN_EVERY = 5000
NAMES_MAX = 250  # with more, most is removed, since looking at all of them takes long
HOT = 3  # files at the top that get most of the data operations
KEEP, PUNCH, ZERO = 1, 2, 16
XATTRS = ["user.a", "user.long name", "trusted.t", "system.posix_acl_access", "system.posix_acl_default"]
ROOT = os.geteuid() == 0


def acl(r):
    """An access control list, mostly a proper one."""
    entries = [(1, r.randrange(8), -1), (2, r.randrange(8), 5), (4, r.randrange(8), -1), (16, r.randrange(8), -1), (32, r.randrange(8), -1)]
    if r.random() < 0.2:
        entries = [e for e in entries if e[0] not in (2, 16)]
    if r.random() < 0.05:
        entries.pop()
    return b"\2\0\0\0" + b"".join(t.to_bytes(2, "little") + p.to_bytes(2, "little") + (i & 0xFFFFFFFF).to_bytes(4, "little") for t, p, i in entries)


class Side:
    """One of the two folders, and the descriptors that are open there."""

    def __init__(self, root):
        self.root = root
        self.fds = {}

    def path(self, p):
        return os.path.join(self.root, p)


# ---- operations: each takes a side and what was chosen, and returns what has to be equal ----


def with_file(s, a, flags, action):
    fd = os.open(s.path(a.path), flags | os.O_NONBLOCK)  # FIFOs
    try:
        return action(fd)
    finally:
        os.close(fd)


def op_create(s, a):
    os.close(os.open(s.path(a.path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, a.mode))


def op_mkdir(s, a):
    os.mkdir(s.path(a.path), a.mode)


def op_mknod(s, a):
    os.mknod(s.path(a.path), a.mode | (stat.S_IFCHR if ROOT and a.coin else stat.S_IFIFO), os.makedev(1, 3))


def op_symlink(s, a):
    os.symlink(a.path2, s.path(a.path))


def op_link(s, a):
    os.link(s.path(a.path), s.path(a.path2), follow_symlinks=False)


def op_unlink(s, a):
    os.unlink(s.path(a.path))


def op_rmdir(s, a):
    os.rmdir(s.path(a.path))


def op_rename(s, a):
    if libc.renameat2(-100, os.fsencode(s.path(a.path)), -100, os.fsencode(s.path(a.path2)), a.flags):
        raise OSError(ctypes.get_errno(), "renameat2")


def op_tmpfile(s, a):
    fd = os.open(s.path(os.path.dirname(a.path)), os.O_TMPFILE | os.O_RDWR, a.mode)
    try:
        os.write(fd, a.data)
        if a.coin:
            os.link(f"/proc/self/fd/{fd}", s.path(a.path), follow_symlinks=True)
        return os.fstat(fd).st_nlink
    finally:
        os.close(fd)


def op_write(s, a):
    return with_file(s, a, os.O_WRONLY | (os.O_SYNC if a.rare else 0), lambda fd: os.pwrite(fd, a.data, a.offset))


def op_append(s, a):
    return with_file(s, a, os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, a.data) if os.fstat(fd).st_size < SIZE_MAX else 0)


def op_read(s, a):
    return with_file(s, a, os.O_RDONLY, lambda fd: os.pread(fd, a.length, a.offset))


def op_truncate(s, a):
    os.truncate(s.path(a.path), a.offset)


def op_open_truncate(s, a):
    os.close(os.open(s.path(a.path), os.O_WRONLY | os.O_TRUNC | os.O_CREAT | os.O_NONBLOCK, a.mode))


def map_file(s, a, write):
    def action(fd):
        size = os.fstat(fd).st_size
        if not stat.S_ISREG(os.fstat(fd).st_mode) or a.offset >= size:
            return None
        with mmap.mmap(fd, size, prot=mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)) as m:
            end = min(size, a.offset + len(a.data))
            if write:
                m[a.offset : end] = a.data[: end - a.offset]
                if a.rare:
                    m.flush()
            return hashlib.sha1(m[a.offset : end]).digest()

    return with_file(s, a, os.O_RDWR if write else os.O_RDONLY, action)


def op_map_read(s, a):
    return map_file(s, a, False)


def op_map_write(s, a):
    return map_file(s, a, True)


def op_fallocate(s, a):
    def action(fd):
        if libc.fallocate(fd, a.flags, ctypes.c_long(a.offset), ctypes.c_long(a.length)):
            raise OSError(ctypes.get_errno(), "fallocate")

    with_file(s, a, os.O_RDWR, action)


def op_copy(s, a):
    source = os.open(s.path(a.path2), os.O_RDONLY | os.O_NONBLOCK)
    try:
        return with_file(s, a, os.O_WRONLY, lambda fd: os.copy_file_range(source, fd, a.length, a.offset2, a.offset))
    finally:
        os.close(source)


def op_chmod(s, a):
    os.chmod(s.path(a.path), a.mode)


def op_chown(s, a):
    os.chown(s.path(a.path), a.owner if ROOT else -1, a.owner if ROOT else -1, follow_symlinks=False)


def op_utime(s, a):
    os.utime(s.path(a.path), ns=(a.offset * 10**9 + 7, a.length * 10**9 + 9), follow_symlinks=False)
    st = os.lstat(s.path(a.path))
    return st.st_atime_ns, st.st_mtime_ns


def op_setxattr(s, a):
    os.setxattr(s.path(a.path), a.xattr, a.acl if "acl" in a.xattr else a.data[:700], a.flags, follow_symlinks=False)


def op_getxattr(s, a):
    return os.getxattr(s.path(a.path), a.xattr, follow_symlinks=False)


def op_removexattr(s, a):
    os.removexattr(s.path(a.path), a.xattr, follow_symlinks=False)


def op_list(s, a):
    return sorted(os.listdir(s.path(a.path)))


def op_stat(s, a):
    return describe(s.path(a.path))


def op_open(s, a):
    """Opens one that is kept, whatever becomes of its name."""
    if len(s.fds) < 8:
        s.fds[a.number] = os.open(s.path(a.path), os.O_RDWR)


def held(s, a):
    keys = sorted(s.fds)
    return s.fds[keys[a.length % len(keys)]] if keys else None


def op_held_write(s, a):
    fd = held(s, a)
    return None if fd is None else os.pwrite(fd, a.data, a.offset)


def op_held_read(s, a):
    fd = held(s, a)
    return None if fd is None else (os.pread(fd, a.length, a.offset), os.fstat(fd).st_size, os.fstat(fd).st_nlink)


def op_held_truncate(s, a):
    fd = held(s, a)
    if fd is not None:
        os.ftruncate(fd, a.offset)


def op_held_sync(s, a):
    fd = held(s, a)
    if fd is not None:
        os.fsync(fd)


def op_close(s, a):
    keys = sorted(s.fds)
    if keys:
        os.close(s.fds.pop(keys[a.length % len(keys)]))


def op_forget(s, a):
    """The caches are emptied."""
    if ROOT and a.rare:
        os.sync()
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")


DATA = {op_write: 14, op_append: 3, op_read: 10, op_truncate: 4, op_open_truncate: 1, op_map_read: 4, op_map_write: 8, op_fallocate: 6, op_copy: 4}
OTHER = {op_create: 10, op_mkdir: 5, op_mknod: 2, op_symlink: 3, op_link: 4, op_unlink: 8, op_rmdir: 4, op_rename: 10, op_tmpfile: 2, op_chmod: 3,
         op_chown: 2, op_utime: 2, op_setxattr: 5, op_getxattr: 3, op_removexattr: 2, op_list: 3, op_stat: 4, op_open: 3, op_held_write: 5,
         op_held_read: 4, op_held_truncate: 2, op_held_sync: 1, op_close: 2, op_forget: 1}


class Args:
    """What is chosen for an operation, whichever it is."""

    def __init__(self, r, number, op, paths):
        self.number, self.op = number, op
        hot = op in DATA and r.random() < 0.7
        self.path = f"hot{r.randrange(HOT)}" if hot else self.choose(r, paths, op)
        self.path2 = f"hot{r.randrange(HOT)}" if op is op_copy and r.random() < 0.7 else self.choose(r, paths, op_rename)
        self.mode = r.choice((0o644, 0o600, 0o755, 0o700, 0o4711, 0o2775, 0o1777))
        self.coin, self.rare = r.random() < 0.5, r.random() < 0.1
        self.offset, self.offset2 = self.place(r), self.place(r)
        self.length = r.choice((1, 10, 4096, r.randrange(1, 9000), r.randrange(1, 200_000)))
        data = r.randbytes(min(self.length, 300))
        self.data = (data * (self.length // len(data) + 1))[: self.length]
        self.flags = r.choice((0, 0, 0, 1, 2)) if op is not op_fallocate else r.choice((0, KEEP, KEEP | PUNCH, KEEP | PUNCH, ZERO, ZERO | KEEP, PUNCH))
        self.owner = r.randrange(3) * 1000
        self.xattr = r.choice(XATTRS if ROOT else XATTRS[:2])
        self.acl = acl(r)

    @staticmethod
    def place(r):
        at = r.randrange(SIZE_MAX) if r.random() < 0.5 else r.randrange(20000)
        return at // 4096 * 4096 if r.random() < 0.3 else at

    @staticmethod
    def choose(r, paths, op):
        """One that is there, or in a folder that is there."""
        if paths and r.random() < (0.15 if op in (op_create, op_mkdir, op_mknod, op_symlink, op_tmpfile) else 0.8):
            return r.choice(paths)
        folders = [""] + [p for p in paths if p.count("/") < 3]
        return os.path.join(r.choice(folders), r.choice(NAMES))

    def __str__(self):
        return (f"{self.number}: {self.op.__name__} {self.path[:60]!r} {self.path2[:60]!r} mode {self.mode:o} offset {self.offset} {self.offset2} "
                f"length {self.length} flags {self.flags} {self.xattr} coin {self.coin} rare {self.rare}")


# ---- comparing ----


def describe(path):
    """What has to be equal of a file, but its contents: sizes, blocks and times of folders are each file system's own."""
    st = os.lstat(path)
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return (oct(st.st_mode), st.st_nlink, st.st_uid, st.st_gid, None if stat.S_ISDIR(st.st_mode) else st.st_size, st.st_rdev,
            [(n, os.getxattr(path, n, follow_symlinks=False)) for n in names],
            os.readlink(path) if stat.S_ISLNK(st.st_mode) else None)


def tree(root):
    found, links = {}, {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            rel = os.path.relpath(path, root)
            st = os.lstat(path)
            contents = None
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    contents = hashlib.sha1(f.read()).hexdigest()
            found[rel] = (describe(path), contents)
            if not stat.S_ISDIR(st.st_mode):
                links.setdefault(st.st_ino, []).append(rel)
    return found, sorted(sorted(names) for names in links.values())


def play(side, a):
    try:
        return a.op(side, a)
    except OSError as e:
        return errno.errorcode.get(e.errno, e.errno)
    except ValueError as e:  # mmap() of nothing
        return str(e)


def differ(what, one, other, last):
    print(f"{what} differ:\n  {str(one)[:2000]}\n  {str(other)[:2000]}\nafter:")
    for a in last:
        print("  ", a)
    sys.exit(1)


def compare(sides, last):
    (one, one_links), (other, other_links) = (tree(s.root) for s in sides)
    for path in sorted(set(one) | set(other)):
        if one.get(path) != other.get(path):
            differ(f"{path!r}", one.get(path), other.get(path), last)
    if one_links != other_links:
        differ("hard links", one_links, other_links, last)
    return sorted(one)


def close_all(sides):
    for s in sides:
        for fd in s.fds.values():
            os.close(fd)
        s.fds.clear()


def between(sides, last):
    """What has been written is on its way to the daemon, at least."""
    close_all(sides)
    os.sync()
    subprocess.run(["bash", "-c", os.environ["BETWEEN"]], check=True)
    compare(sides, last)


def clear(side):
    """All goes but the files at the top that most is done with."""
    for name in os.listdir(side.root):
        path = side.path(name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif not name.startswith("hot"):
            os.unlink(path)


def main():
    if sys.argv[1] == "--compare":
        print(len(compare([Side(p) for p in sys.argv[2:4]], [])), "names are the same")
        return
    ops, seed = int(os.environ.get("OPS", 4000)), int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"OPS={ops} SEED={seed} repeats this", flush=True)
    r = random.Random(seed)
    sides = [Side(sys.argv[1]), Side(sys.argv[2])]
    os.umask(0o22)
    for s in sides:
        for i in range(HOT):
            os.close(os.open(s.path(f"hot{i}"), os.O_CREAT | os.O_WRONLY, 0o644))
    kinds = {**DATA, **OTHER}
    last, counts = collections.deque(maxlen=12), collections.Counter()
    paths = []
    command, between_count = os.environ.get("BETWEEN"), 0
    for number in range(ops):
        op = r.choices(list(kinds), list(kinds.values()))[0]
        a = Args(r, number, op, paths)
        last.append(a)
        one, other = (play(s, a) for s in sides)
        if one != other:
            differ("results", one, other, last)
        counts[op.__name__, isinstance(one, str)] += 1
        if number % 20 == 0:
            paths = [p for p in (os.path.relpath(os.path.join(d, n), sides[0].root) for d, f, g in os.walk(sides[0].root) for n in f + g)]
        if number % 1000 == 999:
            paths = compare(sides, last)
            if len(paths) > NAMES_MAX:
                for s in sides:
                    clear(s)
                paths = []
        if command and number % BETWEEN_EVERY == BETWEEN_EVERY - 1:
            between(sides, last)
            between_count += 1
    close_all(sides)
    compare(sides, last)
    refused = sum(n for (_, bad), n in counts.items() if bad)
    print(f"{ops} operations, {refused} refused, {len(paths)} names at the end")
    assert refused < ops * 0.7
    if command:
        print(f"{between_count} times between them: {command}")
        sys.exit(between_count == 0)


main()
