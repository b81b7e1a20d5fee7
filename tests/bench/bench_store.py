#!/usr/bin/env python3
"""Our store beside RocksDB, LevelDB and LMDB, in one run: the table of bars.

Every round runs all engines, one after another, the order turned by one each time; what is quoted is the median of the
rounds, and the ratio of medians. Small records and values of 4 KiB and more are two runs of kvbench each: for the latter
the engines that can separate values do so from 2 KiB on.

Exit status: 0 when every bar is met, 1 when one is missed, 2 when something could not be run or an answer was wrong.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

SMALL = ("fillseq,fillrandom,readhot,readrandom,readmissing,scan,mixed,rww,overwrite,sync,deleterange,recovery")
BLOBS = "blobfill,blobread"

# Row of kvbench, least ratio to RocksDB of the rate. Rows of the blob run begin with "blob".
BARS = (
    ("fillseq", 2.0), ("fillrandom", 2.0), ("readhot", 2.0), ("readrandom", 2.0), ("readmissing", 2.5), ("scan", 3.0),
    ("ycsb-a", 2.0), ("ycsb-b", 2.0), ("ycsb-c", 2.0), ("ycsb-f", 2.0), ("rww-read", 2.0), ("rww-write", 2.0),
    ("blobfill-4k", 1.5), ("blobfill-64k", 1.5), ("blobfill-128k", 1.5),
    ("blobread-4k", 1.3), ("blobread-64k", 1.3), ("blobread-128k", 1.3),
    ("delete+get", 100), ("scan-across-1", 2.0), ("scan-across-2", 2.0),
    ("sync-write/1", 1.0), ("sync-write/2", 1.5), ("sync-write/8", 1.5), ("recovery", 3.0),
)
# Rows whose write amplification, space and peak memory are compared, and the largest ratio to RocksDB.
AMPLIFICATION = (("fillrandom", "w-amp", 0.8), ("over-uniform", "w-amp", 0.8),
                 ("fillseq", "space", 1.0), ("fillrandom", "space", 1.0), ("over-uniform", "space", 1.0))
MEMORY_ROWS = ("fillseq", "fillrandom", "readhot", "readrandom", "readmissing", "scan", "ycsb-a", "ycsb-c", "rww-write",
               "over-uniform", "range-load", "delete+get", "recovery", "blobfill-4k", "blobfill-64k", "blobfill-128k",
               "blobread-4k", "blobread-64k", "blobread-128k")
PAUSE_ROWS = ("fillseq", "fillrandom", "over-uniform")
PAUSE_MS = 100
FALSE_POSITIVES = 1.0
MEMORY_OVER_BUDGET_MIB = 64


def run(args, engine, kind, workloads, extra, env=None):
    folder = os.path.join(args.dir, f"{engine}-{kind}")
    shutil.rmtree(folder, ignore_errors=True)
    result = os.path.join(args.dir, f"{engine}-{kind}.json")
    command = [args.kvbench, "--engine", engine, "--dir", folder, "--level", "1", "--workloads", workloads, "--json",
               result, *extra, *args.extra]
    if args.verbose:
        print(" ".join(command), file=sys.stderr)
    done = subprocess.run(command, stdout=None if args.verbose else subprocess.DEVNULL, env={**os.environ, **(env or {})})
    shutil.rmtree(folder, ignore_errors=True)
    if done.returncode:
        raise RuntimeError(f"kvbench failed for {engine}")
    with open(result, encoding="utf-8") as f:
        return rows_of(json.load(f)["rows"])


def rows_of(rows):
    named = {}
    for row in rows:
        name = row["workload"]
        if name == "sync-write":
            name = f"{name}/{row['thr']}"
        named[name] = row
    return named


def measure(args, engines):
    """engine -> row -> column -> list of values."""
    found = {e: {} for e in engines}
    notes = {e: {} for e in engines}
    for round_number in range(args.rounds):
        turned = engines[round_number % len(engines):] + engines[:round_number % len(engines)]
        for engine in turned:
            name, env = (engine, None) if engine != "varve-encrypted" else ("varve", {"KV_VARVE_ENCRYPT": "1"})
            print(f"round {round_number + 1} of {args.rounds}: {engine}", file=sys.stderr)
            rows = run(args, name, "small", args.small, [], env)
            rows.update(run(args, name, "blobs", args.blobs, ["--blob-min", "2K"], env))
            for row, columns in rows.items():
                notes[engine][row] = columns.get("note", "")
                for column, value in columns.items():
                    if isinstance(value, (int, float)):
                        found[engine].setdefault(row, {}).setdefault(column, []).append(value)
    return found, notes


class Table:
    def __init__(self, found):
        self.found = found
        self.missed = 0

    def median(self, engine, row, column="k/s"):
        values = self.found.get(engine, {}).get(row, {}).get(column)
        return statistics.median(values) if values else None

    def spread(self, engine, row):
        values = self.found[engine][row]["k/s"]
        return (max(values) - min(values)) / statistics.median(values) if len(values) > 1 else 0

    def verdict(self, good):
        self.missed += not good
        return "ok" if good else "MISSED"


def number(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def print_rates(t, engines):
    peers = [e for e in engines if e != "varve"]
    print(f"{'thousands a second':<20}" + "".join(f"{e:>12}" for e in ["varve"] + peers) +
          f"{'/rocksdb':>10}{'bar':>7}{'spread':>8}")
    ratios = []
    for row, bar in BARS:
        ours, theirs = t.median("varve", row), t.median("rocksdb", row)
        line = f"{row:<20}" + "".join(f"{number(t.median(e, row)):>12}" for e in ["varve"] + peers)
        if ours and theirs:
            ratios.append(ours / theirs)
            line += (f"{ours / theirs:>10.2f}{bar:>7}{100 * t.spread('varve', row):>7.0f}%  "
                     f"{t.verdict(ours >= bar * theirs)}")
        print(line)
    if ratios:
        mean = statistics.geometric_mean(ratios)
        print(f"{'geometric mean':<20}{mean:>{12 * (1 + len(peers)) + 10}.2f}{2.0:>7}          {t.verdict(mean >= 2.0)}")
        worst = min(ratios)
        print(f"{'least':<20}{worst:>{12 * (1 + len(peers)) + 10}.2f}{1.0:>7}          {t.verdict(worst >= 1.0)}")


def print_ratios(t, title, rows, unit):
    print(f"\n{title:<28}{'varve':>10}{'rocksdb':>10}{'ratio':>8}{'at most':>9}")
    for row, column, bar in rows:
        ours, theirs = t.median("varve", row, column), t.median("rocksdb", row, column)
        if ours is None or not theirs:
            continue
        print(f"{row + ' ' + unit.get(column, column):<28}{number(ours):>10}{number(theirs):>10}{ours / theirs:>8.2f}{bar:>9}"
              f"  {t.verdict(ours <= bar * theirs * 1.005)}")


def print_absolute(t, args, notes):
    print(f"\n{'longest pause, ms':<28}{'varve':>10}{'rocksdb':>10}{'':>8}{'at most':>9}")
    for row in PAUSE_ROWS:
        ours, theirs = t.median("varve", row, "maxms"), t.median("rocksdb", row, "maxms")
        if ours is not None:
            print(f"{row:<28}{number(ours):>10}{number(theirs):>10}{'':>8}{PAUSE_MS:>9}  {t.verdict(ours <= PAUSE_MS)}")
    budget = args.budget_mib + MEMORY_OVER_BUDGET_MIB
    most = max((t.median("varve", r, "rssMB") or 0, r) for r in t.found["varve"])
    print(f"\npeak memory of all rows: {most[0]:.0f} MiB ({most[1]}); budget and 64 MiB: {budget}  {t.verdict(most[0] <= budget)}")
    for size in ("64k", "128k"):
        row = f"blobfill-{size}"
        written, disk = t.median("varve", row, "wrMB"), t.median("varve", row, "diskMB")
        if written and disk:
            print(f"{row}: {written / disk:.3f} bytes written per byte on disk; at most 1.1  {t.verdict(written <= 1.1 * disk)}")
    note = notes["varve"].get("readmissing", "")
    if "false positives" in note:
        share = float(note.split("false positives ")[1].split("%")[0])
        print(f"readmissing: {note}; at most {FALSE_POSITIVES} %  {t.verdict(share <= FALSE_POSITIVES)}")


def print_encrypted(t):
    print(f"\n{'with encryption':<28}{'encrypted':>10}{'plain':>10}{'ratio':>8}{'at least':>9}")
    for row, _ in BARS:
        with_key, without = t.median("varve-encrypted", row), t.median("varve", row)
        if with_key and without:
            print(f"{row:<28}{number(with_key):>10}{number(without):>10}{with_key / without:>8.2f}{0.85:>9}  "
                  f"{t.verdict(with_key >= 0.85 * without)}")


def wrong_answers(found):
    return sum(max(columns.get("wrong", [0])) for rows in found.values() for columns in rows.values())


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kvbench", default="build/kvbench", help="the program (build/kvbench)")
    p.add_argument("--rounds", type=int, default=3, help="how often all is run (3)")
    p.add_argument("--engines", default="varve,rocksdb,leveldb,lmdb", help="which (varve,rocksdb,leveldb,lmdb); also "
                   "varve-encrypted")
    p.add_argument("--dir", help="folder for the stores; some 5 GB (a new one under TMPDIR)")
    p.add_argument("--small", default=SMALL, help="workloads of small records")
    p.add_argument("--blobs", default=BLOBS, help="workloads of large values")
    p.add_argument("--json", help="file for all figures of all rounds")
    p.add_argument("--budget-mib", type=int, default=320, help="memtables and cache (320)")
    p.add_argument("--verbose", action="store_true", help="show what kvbench prints")
    p.add_argument("extra", nargs="*", help="more options for kvbench, after --")
    return p.parse_args()


def main():
    args = parse()
    engines = args.engines.split(",")
    made = None if args.dir else tempfile.mkdtemp(prefix="varve-bench-")
    args.dir = args.dir or made
    os.makedirs(args.dir, exist_ok=True)
    try:
        found, notes = measure(args, engines)
    except (RuntimeError, OSError) as e:
        print(f"bench_store: {e}", file=sys.stderr)
        return 2
    finally:
        if made:
            shutil.rmtree(made, ignore_errors=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"rounds": args.rounds, "found": found, "notes": notes}, f, indent=1)
    t = Table(found)
    plain = [e for e in engines if e != "varve-encrypted"]
    print_rates(t, plain)
    print_ratios(t, "amplification", AMPLIFICATION, {})
    print_ratios(t, "peak memory, MiB", [(row, "rssMB", 1.0) for row in MEMORY_ROWS], {"rssMB": ""})
    print_absolute(t, args, notes)
    if "varve-encrypted" in engines:
        print_encrypted(t)
    wrong = wrong_answers(found)
    print(f"\n{t.missed} bars missed; {wrong:.0f} wrong answers")
    return 2 if wrong else 1 if t.missed else 0


if __name__ == "__main__":
    sys.exit(main())
