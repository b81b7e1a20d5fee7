#!/usr/bin/env python3
"""Runs each rule of tree.py on this source tree, and on copies with a planted violation, which the rule
has to find: a checker that cannot fail proves nothing."""

import os
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
import tree  # noqa: E402
from report import Report  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A small tree that obeys every rule.
GOOD = {
    "Makefile": "all:\n",
    "store/bytes.h": "#ifndef VARVE_STORE_BYTES_H\n#define VARVE_STORE_BYTES_H\nint b;\n#endif\n",
    "store/bytes.c": '#include "store/bytes.h"\nvoid *m(void) { return malloc(1); }\n',
    "store/env.h": "#ifndef VARVE_STORE_ENV_H\n#define VARVE_STORE_ENV_H\nint e;\n#endif\n",
    "store/env_posix.c": '#include <unistd.h>\n#include "store/env.h"\nint s(int f) { return fsync(f); }\n',
    "store/store.h": '#ifndef VARVE_STORE_STORE_H\n#define VARVE_STORE_STORE_H\n'
                     '#include "store/bytes.h"\n#endif\n',
    "store/store.c": '#include "store/store.h"\nint r(struct f *f) { return f->read(f); /* read() */ }\n',
    "fs/fs.h": '#ifndef VARVE_FS_FS_H\n#define VARVE_FS_FS_H\n#include "store/store.h"\n#endif\n',
    "fs/fs.c": '#include "fs/fs.h"\nint fs_open(int x);\nint n(void) { return fs_open(2); }\n',
    "mount/main.c": '#include <fuse.h>\n#include "fs/fs.h"\nint main(void) { return open("x", 0); }\n',
    "tests/sim/disk.h": "#ifndef VARVE_SIM_DISK_H\n#define VARVE_SIM_DISK_H\nint d;\n#endif\n",
    "tests/unit/store_bytes.c": '#include "store/bytes.h"\n#include "tests/sim/disk.h"\nint t;\n',
    "tests/tidy/layers.txt": "store:\n bytes # first\n store.h\n env env_posix\n store\nfs: \n fs\nmount:\n main\n"
                             "outside:\n store/env_posix\nmemory:\n store/bytes\n",
}

# (rule that has to find it, file, text added to its end or the whole text of a new file, part of the finding)
PLANTED = (
    (tree.doors, "fs/fs.c", '#include "store/bytes.h"\n', "fs/fs.c:4"),
    (tree.doors, "fs/fs.c", '#include "mount/main.h"\n', "mount/main.h"),
    (tree.doors, "fs/fs.c", "#include <fuse_lowlevel.h>\n", "only mount/"),
    (tree.doors, "mount/main.c", '#include "store/store.h"\n', "store/store.h"),
    (tree.doors, "mount/main.c", '  #  include "fs/inode.h"\n', "fs/inode.h"),
    (tree.doors, "store/bytes.c", '#include "fs/fs.h"\n', "fs/fs.h"),
    (tree.doors, "store/bytes.c", '#include "tests/sim/disk.h"\n', "tests/sim/disk.h"),
    (tree.full_paths, "store/bytes.c", '#include "env.h"\n', "env.h"),
    (tree.cycles, "store/bytes.h", '#include "store/store.h"\n', "store/bytes.h -> store/store.h"),
    (tree.order, "store/bytes.c", '#include "store/env.h"\n', "store/env.h"),
    (tree.order, "store/bytes.c", '#include "store/store.h"\n', "stands after store/bytes.c"),
    (tree.order, "store/store.h", '#include "store/env.h"\n', "stands after store/store.h"),
    (tree.order, "store/bytes_more.c", '#include "store/env.h"\n', "stands after store/bytes_more.c"),
    (tree.order, "store/novel.c", "int n;\n", "add 'novel'"),
    (tree.guards, "store/novel.h", "#ifndef NOVEL_H\n#define NOVEL_H\nint n;\n#endif\n", "VARVE_STORE_NOVEL_H"),
    (tree.guards, "store/novel.h", "#pragma once\nint n;\n", "VARVE_STORE_NOVEL_H"),
    (tree.outside, "store/store.c", "int o(void) { return open(0, 0); }\n", "store/store.c:3: open()"),
    (tree.outside, "store/bytes.c", "long t(void)\n{\n    return time (0);\n}\n", "time()"),
    (tree.outside, "fs/fs.c", "int s(int f) { return !fsync(f); }\n", "fsync()"),
    (tree.memory, "mount/main.c", "char *d(char *s) { return strdup(s); }\n", "strdup()"),
    (tree.assertions, "Makefile", "CFLAGS += -DNDEBUG\n", "NDEBUG"),
    (tree.length, "store/bytes.c", "int x;\n" * 800, "802 lines"),
    (tree.length, "Makefile", "#\n" * 300, "301 lines"),
    (tree.finished, "fs/fs.c", "/* TO" "DO: more */\n", "fs/fs.c:4"),
    (tree.top_level, "notes.txt", "later\n", "notes.txt"),
    (tree.test_names, "tests/unit/bytes.c", "int t;\n", "tests/unit/bytes.c"),
    (tree.executable_tests, "tests/mount/test_x.sh", "true\n", "chmod"),
)


def write(root, name, text, mode="w"):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, mode, encoding="utf-8") as f:
        f.write(text)


def planted(rule, name, text, part):
    """What is wrong with how `rule` answers to one planted violation."""
    root = tempfile.mkdtemp(prefix="varve-tidy.")
    try:
        for good, content in GOOD.items():
            write(root, good, content)
        before = rule(tree.Tree(root))
        write(root, name, text, "a")
        after = rule(tree.Tree(root))
    finally:
        shutil.rmtree(root)
    problems = [f"complains without a reason: {finding}" for finding in before]
    if not any(part in finding for finding in after):
        problems.append(f"does not find what was planted in {name}; says: {after}")
    return problems


def main():
    report = Report()
    for rule in tree.RULES:
        report.test(rule.__doc__.split("\n")[0], rule(tree.Tree(ROOT)))
    for number, (rule, name, text, part) in enumerate(PLANTED, 1):
        report.test(f"{rule.__name__} finds violation {number}, in {name}", planted(rule, name, text, part))
    unproved = [rule.__name__ for rule in tree.RULES if rule not in {p[0] for p in PLANTED}]
    report.test("every rule is shown to fail", unproved)
    report.end()


main()
