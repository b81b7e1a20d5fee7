#!/usr/bin/env python3
"""Runs each rule of links.py on what was built in $BUILD, and on small objects that break it."""

import glob
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import links  # noqa: E402
from report import Report  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))

GOOD = {
    "store": "int store_get(void){return 0;} int buf_new(void){return 0;} int table_get(void){return 0;}",
    "fs": "int store_get(void),buf_new(void); int fs_read(void){return store_get()+buf_new();}"
          "int inode_get(void){return 0;}",
    "mount": "int fs_read(void),buf_new(void); int serve(void){return fs_read()+buf_new();}",
}

# (rule, layer, code added to it, the symbol that the rule has to name)
PLANTED = (
    (links.fs_sees_only_the_door_of_store, "fs", "int table_get(void); int x(void){return table_get();}",
     "table_get"),
    (links.mount_sees_only_the_door_of_fs, "mount", "int inode_get(void); int x(void){return inode_get();}",
     "inode_get"),
    (links.mount_sees_only_the_door_of_fs, "mount", "int store_get(void); int x(void){return store_get();}",
     "store_get"),
    (links.nothing_calls_upwards, "store", "int fs_read(void); int x(void){return fs_read();}", "fs_read"),
    (links.nothing_calls_upwards, "fs", "int serve(void); int x(void){return serve();}", "serve"),
    (links.no_name_is_defined_twice, "fs", "int table_get(void){return 1;}", "table_get"),
)


def built():
    """The layers as they were built, or None if they were not."""
    objects = [os.path.join(BUILD, "obj", "mount", os.path.basename(source)[:-2] + ".o")
               for source in sorted(glob.glob(os.path.join(ROOT, "mount", "*.c")))]
    archives = [os.path.join(BUILD, name) for name in ("libstore.a", "libfs.a")]
    if not all(os.path.exists(f) for f in archives + objects):
        return None
    return [links.Part([f]) for f in archives] + [links.Part(objects)]


def compiled(folder, code):
    """The layers as compiled from `code`, in `folder`."""
    parts = []
    for layer, text in code.items():
        path = os.path.join(folder, layer + ".o")
        subprocess.run(os.environ.get("CC", "cc").split() + ["-x", "c", "-c", "-o", path, "-"], input=text,
                       check=True, text=True)
        parts.append(links.Part([path]))
    return parts


def planted(rule, layer, text, name):
    with tempfile.TemporaryDirectory(prefix="varve-tidy.") as folder:
        problems = [f"complains without a reason: {finding}" for finding in rule(*compiled(folder, GOOD))]
        found = rule(*compiled(folder, {**GOOD, layer: GOOD[layer] + text}))
    if not any(name in finding for finding in found):
        problems.append(f"does not find {name}; says: {found}")
    return problems


def main():
    report = Report()
    layers = built()
    for rule in links.RULES:
        report.test(rule.__name__.replace("_", " "),
                    rule(*layers) if layers else [f"{BUILD} is not built: run this by `make check-tidy`"])
    for rule, layer, text, name in PLANTED:
        report.test(f"{rule.__name__} finds {name} in {layer}", planted(rule, layer, text, name))
    report.end()


main()
