#!/usr/bin/env python3
"""Tells, in a folder, what becomes of set-id bits, capabilities and groups of files, and who may do what. As root.

    privileges.py FOLDER

Prints a line for each thing that was tried, so that two file systems can be compared by diff."""

import ctypes
import errno
import mmap
import os
import stat
import sys

libc = ctypes.CDLL(None, use_errno=True)
NOBODY, GROUP = 65534, 99
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service=ep


def as_user(uid, gids, action):
    """What `action` returns, in a process of that user; gids: the first is the effective group. An error is told by its name."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(gids)
            os.setresgid(gids[0], gids[0], gids[0])
            os.setresuid(uid, uid, uid)
            text = str(action())
        except OSError as e:
            text = errno.errorcode[e.errno]
        os.write(into, text.encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as f:
        text = f.read()
    os.waitpid(pid, 0)
    return text


def mode(path):
    return f"{stat.S_IMODE(os.lstat(path).st_mode):o}"


def make(path, bits, uid=0, gid=0):
    with open(path, "wb") as f:
        f.write(b"x" * 9000)
    os.chown(path, uid, gid)
    os.chmod(path, bits)
    os.setxattr(path, "security.capability", CAPABILITY)


def has_capability(path):
    return "security.capability" in os.listxattr(path)


# ---- what takes set-id bits and capabilities away ----


def write(path):
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, b"y", 5000)
    os.close(fd)


def write_nothing(path):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, b"")
    os.close(fd)


def append(path):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"y")
    os.close(fd)


def write_through(path):
    fd = os.open(path, os.O_WRONLY | os.O_SYNC)
    os.pwrite(fd, b"y", 0)
    os.close(fd)


def open_and_truncate(path):
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))


def write_mapped(path):
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, 9000) as m:
        m[0:1] = b"z"
        m.flush()
    os.close(fd)


def copy_range(path):
    source, fd = os.open("source", os.O_RDONLY), os.open(path, os.O_WRONLY)
    os.copy_file_range(source, fd, 100)
    os.close(fd)
    os.close(source)


def fallocate(path, how):
    fd = os.open(path, os.O_WRONLY)
    if libc.fallocate(fd, how, ctypes.c_long(0), ctypes.c_long(20000)):
        raise OSError(ctypes.get_errno(), "fallocate")
    os.close(fd)


OPS = [
    ("write", write),
    ("write nothing", write_nothing),
    ("append", append),
    ("write with O_SYNC", write_through),
    ("truncate", lambda p: os.truncate(p, 10)),
    ("lengthen", lambda p: os.truncate(p, 100000)),
    ("O_TRUNC", open_and_truncate),
    ("mmap", write_mapped),
    ("copy_file_range", copy_range),
    ("fallocate", lambda p: fallocate(p, 0)),
    ("fallocate, keep size", lambda p: fallocate(p, 1)),
    ("punch a hole", lambda p: fallocate(p, 3)),
    ("utimes", os.utime),
]
OWNER_OPS = [
    ("chown to -1", lambda p: os.chown(p, -1, -1)),
    ("chown to the same", lambda p: os.chown(p, 0, 0)),
    ("chown", lambda p: os.chown(p, 12, -1)),
    ("chgrp", lambda p: os.chown(p, -1, 13)),
    ("rename", lambda p: os.rename(p, p + "2") or os.rename(p + "2", p)),
    ("link", lambda p: os.link(p, p + "2")),
]


def tell_set_id():
    with open("source", "wb") as f:
        f.write(b"s" * 200)
    number = 0
    for uid, gids, group in ((0, [0], OPS + OWNER_OPS), (NOBODY, [NOBODY], OPS)):
        for name, op in group:
            told = []
            for bits in (0o4777, 0o2777, 0o6777, 0o6767, 0o777):
                path = f"s{number}"
                number += 1
                make(path, bits)
                result = as_user(uid, gids, lambda: op(path))
                told.append(f"{bits:o}: {mode(path)}{'' if has_capability(path) else ' no cap'}{'' if result == 'None' else ' ' + result}")
            print(f"user {uid} {name}: {', '.join(told)}")


# ---- chmod, and what is made in set-group-id folders ----


def create(path, bits):
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, bits))


def tell_groups():
    os.umask(0)
    os.mkdir("g")
    os.chown("g", 0, GROUP)
    os.chmod("g", 0o2777)
    number = 0
    for who, gids in (("root", [0]), ("nobody", [NOBODY]), ("member", [NOBODY, GROUP])):
        for name, make_one in (("create", create), ("mkdir", os.mkdir), ("mknod", lambda p, b: os.mknod(p, b | stat.S_IFREG)),
                               ("mkfifo", lambda p, b: os.mknod(p, b | stat.S_IFIFO)), ("symlink", lambda p, b: os.symlink("x", p))):
            told = []
            for bits in (0o666, 0o2666, 0o2677, 0o6777):
                path = f"g/{number}"
                number += 1
                result = as_user(0 if who == "root" else NOBODY, gids, lambda: make_one(path, bits))
                told.append(f"{bits:o}: {mode(path)} {os.lstat(path).st_gid}" if result == "None" else result)
            print(f"{who} {name} in a set-group-id folder: {', '.join(told)}")
    for gids in ([NOBODY], [NOBODY, GROUP]):
        create(f"c{number}", 0o666)
        os.chown(f"c{number}", NOBODY, GROUP)
        print(f"chmod 6755 by the owner in groups {gids}:", as_user(NOBODY, gids, lambda: os.chmod(f"c{number}", 0o6755)), mode(f"c{number}"))
        print(f"chgrp by the owner in groups {gids}:", as_user(NOBODY, gids, lambda: os.chown(f"c{number}", -1, GROUP)), mode(f"c{number}"))
        number += 1
    os.umask(0o22)


# ---- sticky folders ----


def tell_sticky():
    for owner in (0, NOBODY):
        folder = f"sticky{owner}"
        os.mkdir(folder)
        os.chown(folder, owner, 0)
        os.chmod(folder, 0o1777)
        for name, op in (("unlink", lambda: os.unlink(f"{folder}/f")), ("rename", lambda: os.rename(f"{folder}/f", f"{folder}/h")),
                         ("rename over", lambda: os.rename(f"{folder}/mine", f"{folder}/f")), ("rmdir", lambda: os.rmdir(f"{folder}/d")),
                         ("link", lambda: os.link(f"{folder}/f", f"{folder}/l"))):
            for path in ("f", "mine"):
                create(f"{folder}/{path}", 0o644)
            os.mkdir(f"{folder}/d")
            os.chown(f"{folder}/mine", NOBODY, NOBODY)
            print(f"{name} by nobody in a sticky folder of {owner}:", as_user(NOBODY, [NOBODY], op))
            os.system(f"rm -rf {folder}/*")


# ---- extended attributes ----


def tell_attributes():
    create("a", 0o666)
    os.mkdir("ad")
    os.chmod("ad", 0o777)
    os.mkdir("as")
    os.chmod("as", 0o1777)
    os.mkfifo("ap")
    os.chmod("ap", 0o666)
    os.symlink("a", "al")
    os.mknod("ac", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    for uid in (0, NOBODY):
        for name in ("a", "ad", "as", "ap", "al", "ac"):
            for attribute in ("user.x", "trusted.x", "security.x", "security.capability", "system.x", "other.x", "user.", "user"):
                value = CAPABILITY if attribute == "security.capability" else b"v"
                told = [as_user(uid, [uid], lambda: os.setxattr(name, attribute, value, follow_symlinks=False)),
                        as_user(uid, [uid], lambda: os.getxattr(name, attribute, follow_symlinks=False)),
                        as_user(uid, [uid], lambda: sorted(os.listxattr(name, follow_symlinks=False))),
                        as_user(uid, [uid], lambda: os.removexattr(name, attribute, follow_symlinks=False))]
                print(f"user {uid}: {attribute} of {name}: set {told[0]}, get {told[1]}, list {told[2]}, remove {told[3]}")
    for attribute in ("user.x", "trusted.x", "security.x"):
        os.setxattr("a", attribute, b"v")
    for uid in (0, NOBODY):
        print(f"user {uid} lists", as_user(uid, [uid], lambda: sorted(os.listxattr("a"))),
              *[as_user(uid, [uid], lambda: os.getxattr("a", x)) for x in ("user.x", "trusted.x", "security.x")])
    os.chmod("a", 0o600)
    print("of a closed file:", as_user(NOBODY, [NOBODY], lambda: os.getxattr("a", "user.x")),
          as_user(NOBODY, [NOBODY], lambda: os.setxattr("a", "user.x", b"")), as_user(NOBODY, [NOBODY], lambda: sorted(os.listxattr("a"))))


os.chdir(sys.argv[1])
os.umask(0o22)
tell_set_id()
tell_groups()
tell_sticky()
tell_attributes()
