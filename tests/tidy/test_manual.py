#!/usr/bin/env python3
"""Every command, every long option of a command, and every mount option of the source is in the manual
page of varvefs; and a planted one that is not is found."""

import glob
import os
import re
import sys

sys.dont_write_bytecode = True
from report import Report  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def manual():
    """Its words, without the marks of roff."""
    text = "\n".join(read(os.path.relpath(p, ROOT)) for p in glob.glob(os.path.join(ROOT, "docs/man/*.[18]")))
    text = re.sub(r"\\f[BIR]", "", text).replace("\\-", "-").replace('"', " ")
    return set(re.findall(r"--?[a-z][a-z0-9-]*|[a-z_][a-z0-9_.-]*", text))


def commands():
    table = read("mount/main.c")
    return [m for m in re.findall(r'\{"([a-z]+)", cmd_[a-z]+, "', table)]


def long_options():
    found = set()
    for path in glob.glob(os.path.join(ROOT, "mount/cmd*.c")) + [os.path.join(ROOT, "mount/passphrase.h")]:
        with open(path, encoding="utf-8") as f:
            found |= set(re.findall(r'\{\s*"([a-z-]+)", (?:no|required|optional)_argument', f.read()))
    return sorted("--" + o for o in found)


def mount_options():
    return re.findall(r'^    \{"([a-z_]+)", USE_', read("mount/options.c"), re.MULTILINE)


def missing(wanted, words):
    return sorted(w for w in wanted if w not in words)


def main():
    report = Report()
    words = manual()
    for what, wanted, least in (("commands", commands(), 10), ("options of commands", long_options(), 15),
                                ("mount options", mount_options(), 30)):
        lost = [f"docs/man: '{w}' is not in any page" for w in missing(wanted, words)]
        if len(wanted) < least:
            lost.append(f"only {len(wanted)} were found in the source")
        report.test(f"all {what} are in the manual", lost)
    planted = missing(["--no-such-option", "mount"], words)
    report.test("one that is not there is found", [] if planted == ["--no-such-option"] else [str(planted)])
    report.end()


if __name__ == "__main__":
    main()
