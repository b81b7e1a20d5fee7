#!/usr/bin/env python3
"""promcheck.py FILE: checks a text in Prometheus' exposition format, version 0.0.4, and prints what is wrong.

The grammar is that of https://prometheus.io/docs/instrumenting/exposition_formats/; the rules on names are those of
`promtool check metrics`: a HELP and a TYPE for each family, before its samples, which stand together; counters and
nothing else end in _total; units are base units and stand at the end; no name tells its type; no sample twice.
Exit status: 0 good, 1 not."""

import re
import sys

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SAMPLE = re.compile(r"(" + NAME.pattern + r")(?:\{([^{}]*)\})? (\S+)( -?[0-9]+)?")
NUMBER = re.compile(r"[+-]?(Inf|NaN|[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?)")
UNITS = {"milliseconds", "microseconds", "nanoseconds", "ms", "us", "ns", "minutes", "hours", "days", "kb", "kib", "mb", "mib",
         "kilobytes", "megabytes", "bits", "percent", "byte", "second"}
BASE = {"seconds", "bytes", "ratio"}
TYPES = {"counter", "gauge", "summary", "histogram", "untyped"}


def family_of(name, kinds):
    """Samples of summaries and histograms have names of their own."""
    for end in ("_sum", "_count", "_bucket"):
        base = name[:-len(end)]
        if name.endswith(end) and kinds.get(base) in ("summary", "histogram"):
            return base
    return name


def check_name(name, kind):
    words = name.split("_")
    if name != name.lower():
        yield "a name with capitals"
    if (kind == "counter") != name.endswith("_total"):
        yield "_total is for counters, and for all of them"
    for word in words:
        if word in UNITS:
            yield f"'{word}' is no base unit"
        if word in TYPES:
            yield "a name that tells its type"
    core = words[:-1] if kind == "counter" else words
    for i, word in enumerate(core):
        if word in BASE and i != len(core) - 1:
            yield f"the unit '{word}' does not stand at the end"


def check_sample(name, labels, value, kind):
    pairs = LABEL.findall(labels)
    if ",".join(f'{k}="{v}"' for k, v in pairs) != labels:
        yield "labels that are none"
    names = [k for k, _ in pairs]
    if len(set(names)) != len(names) or any(k.startswith("__") for k in names):
        yield "a label twice, or a reserved one"
    if ("quantile" in names and kind != "summary") or ("le" in names and kind != "histogram"):
        yield "a label that is kept for summaries or histograms"
    if not NUMBER.fullmatch(value):
        yield f"'{value}' is no number"
    elif kind == "counter" and value.startswith("-"):
        yield "a counter below 0"


def check(text):
    helps, kinds, seen, closed, current = {}, {}, set(), set(), None
    if not text.endswith("\n"):
        yield "the last line does not end"
    for number, line in enumerate(text.splitlines(), 1):
        if not line:
            continue
        if line.startswith("#"):
            words = line.split(" ", 3)
            if len(words) < 4 or words[1] not in ("HELP", "TYPE"):
                continue
            table = helps if words[1] == "HELP" else kinds
            if words[2] in table:
                yield f"line {number}: {words[1]} of {words[2]} twice"
            table[words[2]] = words[3]
            if words[1] == "TYPE":
                if words[3] not in TYPES:
                    yield f"line {number}: there is no type {words[3]}"
                yield from (f"line {number}: {words[2]}: {why}" for why in check_name(words[2], words[3]))
            continue
        found = SAMPLE.fullmatch(line)
        if not found:
            yield f"line {number}: not a sample: {line}"
            continue
        name, labels, value = found[1], found[2] or "", found[3]
        family = family_of(name, kinds)
        if family not in kinds or not helps.get(family):
            yield f"line {number}: {name} has no HELP or no TYPE before it"
        if family != current:
            if family in closed:
                yield f"line {number}: {family} does not stand together"
            closed.add(family)
            current = family
        if (name, labels) in seen:
            yield f"line {number}: the same sample twice"
        seen.add((name, labels))
        yield from (f"line {number}: {name}: {why}" for why in check_sample(name, labels, value, kinds.get(family)))
    for family in kinds:
        if family not in closed:
            yield f"{family} has no sample"


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        wrong = list(check(f.read()))
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
