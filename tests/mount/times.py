#!/usr/bin/env python3
"""Tells, in a folder, which times of which files each operation changes, so that two file systems can be compared by diff. As root.

    times.py FOLDER

Of each operation a line: its name, and for the folders p and q, the files f (in p) and g (in q), the folders d (in p) and e (in q) and the link s
which of a(ccess), m(odification) and c(hange) time it has set. Where the kernel may answer reads from its cache, the cache is emptied first."""

import ctypes
import mmap
import os
import shutil
import struct
import sys
import tempfile
import time

libc = ctypes.CDLL(None, use_errno=True)
TICK = 0.025  # longer than the clock that files' times are taken from takes for a step
OLD = (1000000001, 1000000002)
RECENT = None
ACL = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in ((1, 6, 0xFFFFFFFF), (2, 7, 5), (4, 5, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 4, 0xFFFFFFFF)))


def forget_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3")


def read(path, flags=0, count=100):
    fd = os.open(path, os.O_RDONLY | flags)
    os.read(fd, count)
    os.close(fd)


def write(path, data=b"x", offset=0, flags=0):
    fd = os.open(path, os.O_WRONLY | flags)
    os.pwrite(fd, data, offset)
    os.close(fd)


def map_read(path):
    fd = os.open(path, os.O_RDONLY)
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as m:
        assert m[0:1]
    os.close(fd)


def map_write(path):
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, 0) as m:
        m[0:1] = b"z"
        m.flush()
    os.close(fd)


def copy_range():
    source, target = os.open("q/g", os.O_RDONLY), os.open("p/f", os.O_WRONLY)
    os.copy_file_range(source, target, 4)
    os.close(source)
    os.close(target)


def fallocate(path, how, offset, length):
    fd = os.open(path, os.O_RDWR)
    if libc.fallocate(fd, how, ctypes.c_long(offset), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), "fallocate")
    os.close(fd)


def exchange():
    if libc.renameat2(-100, b"p/f", -100, b"q/g", 2):
        raise OSError(ctypes.get_errno(), "renameat2")


def refused(op, *args):
    try:
        op(*args)
    except OSError:
        return
    raise AssertionError("not refused")


def open_and_close(path, flags):
    os.close(os.open(path, flags))


def chmod_with_list():
    os.setxattr("p/f", "system.posix_acl_access", ACL)
    time.sleep(TICK)
    age()
    os.chmod("p/f", 0o600)


# Before each of these reads the caches are emptied.
READS = [
    ("read", lambda: read("p/f")),
    ("read nothing", lambda: read("p/f", 0, 0)),
    ("read with O_NOATIME", lambda: read("p/f", os.O_NOATIME)),
    ("read by mmap", lambda: map_read("p/f")),
    ("list", lambda: os.listdir("p")),
    ("readlink", lambda: os.readlink("p/s")),
    ("read through a link", lambda: read("p/s")),
    ("stat", lambda: os.stat("p/f")),
    ("open", lambda: open_and_close("p/f", os.O_RDONLY)),
    ("getxattr", lambda: os.getxattr("p/f", "user.old")),
    ("listxattr", lambda: os.listxattr("p/f")),
]
CHANGES = [
    ("write", lambda: write("p/f")),
    ("write nothing", lambda: write("p/f", b"")),
    ("append", lambda: write("p/f", b"x", 0, os.O_APPEND)),
    ("write beyond the end", lambda: write("p/f", b"x", 100000)),
    ("write with O_SYNC", lambda: write("p/f", b"x", 0, os.O_SYNC)),
    ("write by mmap", lambda: map_write("p/f")),
    ("truncate", lambda: os.truncate("p/f", 2)),
    ("lengthen", lambda: os.truncate("p/f", 20000)),
    ("O_TRUNC", lambda: open_and_close("p/f", os.O_WRONLY | os.O_TRUNC)),
    ("O_TRUNC of an empty one", lambda: open_and_close("p/empty", os.O_WRONLY | os.O_TRUNC)),
    ("O_CREAT of one that is there", lambda: open_and_close("p/f", os.O_WRONLY | os.O_CREAT)),
    ("open for writing", lambda: open_and_close("p/f", os.O_RDWR)),
    ("copy_file_range", copy_range),
    ("fallocate", lambda: fallocate("p/f", 0, 0, 100)),
    ("fallocate beyond the end", lambda: fallocate("p/f", 0, 0, 50000)),
    ("fallocate, keep size", lambda: fallocate("p/f", 1, 0, 50000)),
    ("punch a hole", lambda: fallocate("p/f", 3, 0, 4096)),
    ("zero a range", lambda: fallocate("p/f", 16, 0, 4096)),
    ("chmod", lambda: os.chmod("p/f", 0o600)),
    ("chmod to the same", lambda: os.chmod("p/f", 0o644)),
    ("chmod of a folder", lambda: os.chmod("p", 0o700)),
    ("chown", lambda: os.chown("p/f", 1, 1)),
    ("chown to nothing", lambda: os.chown("p/f", -1, -1)),
    ("lchown", lambda: os.lchown("p/s", 1, 1)),
    ("utimes", lambda: os.utime("p/f")),
    ("utimes to a time", lambda: os.utime("p/f", OLD)),
    ("create", lambda: open_and_close("p/new", os.O_CREAT | os.O_EXCL | os.O_WRONLY)),
    ("mkdir", lambda: os.mkdir("p/new")),
    ("mkfifo", lambda: os.mkfifo("p/new")),
    ("symlink", lambda: os.symlink("x", "p/new")),
    ("link", lambda: os.link("p/f", "q/new")),
    ("link within", lambda: os.link("p/f", "p/new")),
    ("unlink", lambda: os.unlink("p/f")),
    ("unlink one of two", lambda: os.unlink("p/second")),
    ("rmdir", lambda: os.rmdir("p/d")),
    ("rename within", lambda: os.rename("p/f", "p/new")),
    ("rename across", lambda: os.rename("p/f", "q/new")),
    ("rename to itself", lambda: os.rename("p/f", "p/f")),
    ("rename to its other name", lambda: os.rename("p/second", "q/other")),
    ("rename a folder", lambda: os.rename("p/d", "p/new")),
    ("rename a folder across", lambda: os.rename("p/d", "q/new")),
    ("rename a link", lambda: os.rename("p/s", "q/new")),
    ("replace", lambda: os.rename("p/f", "q/g")),
    ("replace a folder", lambda: os.rename("p/d", "q/e")),
    ("exchange", exchange),
    ("setxattr", lambda: os.setxattr("p/f", "user.new", b"x")),
    ("setxattr of a folder", lambda: os.setxattr("p", "user.new", b"x")),
    ("removexattr", lambda: os.removexattr("p/f", "user.old")),
    ("set a list", lambda: os.setxattr("p/f", "system.posix_acl_access", ACL)),
    ("set a default list", lambda: os.setxattr("p", "system.posix_acl_default", ACL)),
    ("chmod with a list", chmod_with_list),
    ("what is refused", lambda: [refused(os.mkdir, "p/d"), refused(os.unlink, "p/d"), refused(os.rmdir, "p"), refused(os.link, "p/f", "q/g"),
                                 refused(os.rename, "p/f", "q/e"), refused(os.removexattr, "p/f", "user.none"), refused(os.truncate, "p/d", 0)]),
]


def make():
    for name in ("p", "q"):
        shutil.rmtree(name, ignore_errors=True)
    for name in ("p", "q", "p/d", "q/e"):
        os.mkdir(name)
    for name in ("p/f", "q/g", "p/second"):
        with open(name, "w") as f:
            f.write("some text\n" * 100)
    os.link("p/second", "q/other")
    open("p/empty", "w").close()
    os.symlink("f", "p/s")
    os.chmod("p/f", 0o644)
    os.setxattr("p/f", "user.old", b"x")
    time.sleep(TICK)


NAMES = ("p", "q", "p/f", "q/g", "p/d", "q/e", "p/s", "q/other", "p/empty")


def age(atime=OLD[0]):
    """Access and modification long ago; change now, which cannot be set."""
    for name in NAMES:
        os.utime(name, (atime, OLD[1]), follow_symlinks=False)
    time.sleep(TICK)


def times(fds):
    out = []
    for fd in fds:
        st = os.stat(fd)
        out.append((st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns))
    return out


def play(name, op, before_it=None):
    # By descriptors: whatever becomes of the names.
    fds = [os.open(n, os.O_PATH | os.O_NOFOLLOW) for n in NAMES]
    before = times(fds)
    if before_it:
        before_it()
    op()
    told = []
    for n, b, a in zip(NAMES, before, times(fds)):
        changed = "".join(letter for letter, x, y in zip("amc", b, a) if x != y)
        if changed:
            told.append(f"{n.split('/')[-1]}:{changed}")
    for fd in fds:
        os.close(fd)
    print(f"{name}: {' '.join(told) or '-'}", flush=True)


def main():
    os.chdir(sys.argv[1])
    os.umask(0o22)
    for name, op in READS:
        make()
        age()
        play(name, op, forget_caches)
        # Now it is read since the last change: and not long ago.
        time.sleep(TICK)
        play(f"{name} again", op, forget_caches)
    for name, op in CHANGES:
        make()
        age()
        play(name, op)
        for path in ("p/new", "q/new"):
            if os.path.lexists(path) and name in ("create", "mkdir", "mkfifo", "symlink"):
                st, folder = os.lstat(path), os.stat("p")
                print(f"{name}: one time for all:", st.st_atime_ns == st.st_mtime_ns == st.st_ctime_ns == folder.st_mtime_ns == folder.st_ctime_ns)
    # They are kept when nobody has the file in memory any more.
    for name in ("read", "write", "chmod", "link", "setxattr"):
        op = dict(READS + CHANGES)[name]
        make()
        age()
        forget_caches()
        op()
        seen = [os.lstat(n) for n in NAMES]
        forget_caches()
        same = all((a.st_atime_ns, a.st_mtime_ns, a.st_ctime_ns) == (b.st_atime_ns, b.st_mtime_ns, b.st_ctime_ns)
                   for a, b in zip(seen, [os.lstat(n) for n in NAMES]))
        print(f"{name}: kept:", same)
    # What is made or written later is never older; nor where the kernel's clock for files is ahead, as it is when elsewhere somebody has looked at
    # a file that is changed in the same tick.
    worst = 0
    for i in range(100):
        name = f"order{i}"
        with tempfile.NamedTemporaryFile() as f:
            for _ in range(i % 3):
                os.fstat(f.fileno())
                os.write(f.fileno(), b"x")
        os.mkdir(name) if i % 2 else open_and_close(name, os.O_CREAT | os.O_WRONLY)
        with open("later", "w") as f:
            f.write("x")
        first, second = os.stat(name).st_mtime_ns, os.stat("later").st_mtime_ns
        os.mkdir(f"{name}.after")
        worst = min(worst, second - first, os.stat(f"{name}.after").st_mtime_ns - second)
    print("later, but older:", worst < 0)
    shutil.rmtree("p")
    shutil.rmtree("q")


main()
