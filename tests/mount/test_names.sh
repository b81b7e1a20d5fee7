#!/bin/bash
# test_names.sh: names of any bytes, and folders with very many entries.
#
# Environment: ENTRIES of the large folder (20,000; a million takes some minutes).
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

entries=${ENTRIES:-20000}

# One name for each byte, and each at its longest; names that are no text in any encoding.
any_bytes()
{
    python3 - "$mnt/bytes" "$1" <<'END'
import os, random, sys
d, what = os.fsencode(sys.argv[1]), sys.argv[2]
rand = random.Random(4)
names = [bytes([c]) * n for c in range(1, 256) if c != 0x2F for n in (1, 255) if not (c == 0x2E and n < 3)]
names += [b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"a\x7f\x1b[31m", b"-rf", b"...", b" ", b"\n", "\u00e4".encode(), "a\u0308".encode()]
names += {bytes(rand.choice([c for c in range(1, 256) if c != 0x2F]) for _ in range(rand.randrange(3, 255))) for _ in range(500)}
names = sorted(set(names))
if what == "make":
    os.mkdir(d)
    for name in names:
        with open(d + b"/" + name, "wb") as f:
            f.write(name)
here = set(os.listdir(d))
assert here >= set(names) and len(here) == len(os.listdir(d))
for name in names:
    with open(d + b"/" + name, "rb") as f:
        assert f.read() == name, name
    assert os.lstat(d + b"/" + name).st_size == len(name)
END
}

fill()
{
    python3 - "$mnt/large" "$entries" <<'END'
import os, sys
os.mkdir(sys.argv[1])
os.chdir(sys.argv[1])
for i in range(int(sys.argv[2])):
    os.close(os.open("entry %d" % i, os.O_CREAT | os.O_WRONLY, 0o644))
END
}

# Listed whole; entries that are there throughout are met once, though others come and go, and the listing is interrupted and resumed.
listings()
{
    python3 - "$mnt/large" "$entries" <<'END'
import os, random, sys
os.chdir(sys.argv[1])
count = int(sys.argv[2])
want = {"entry %d" % i for i in range(count)}
assert set(os.listdir(".")) == want
rand, met = random.Random(1), []
with os.scandir(".") as listing:
    for n, entry in enumerate(listing):
        met.append(entry.name)
        assert entry.is_file(follow_symlinks=False)
        if n % max(1, count // 200) == 0:
            open("new %d" % n, "w").close()
            gone = "new %d" % (n - 5 * max(1, count // 200))
            if os.path.exists(gone):
                os.unlink(gone)
stay = [name for name in met if name.startswith("entry ")]
assert len(stay) == len(set(stay)) == count and set(stay) == want
for name in os.listdir("."):
    if name.startswith("new "):
        os.unlink(name)
for i in rand.sample(range(count), 1000):
    assert os.stat("entry %d" % i).st_size == 0
    assert not os.path.exists("entry %d." % i)
END
}

check 'mkfs' mkfs
check 'mount' mount_it
check 'names of any bytes' any_bytes make
check "$entries entries" fill
check 'listed whole, while others come and go' listings
check 'names after a remount' eval 'remount && any_bytes look'
check 'listed after a remount' listings
check 'rm -r' eval 'rm -r "$mnt/large" && rm -r "$mnt/bytes" && [ -z "$(ls -A "$mnt")" ]'
check 'umount' umount_it
check 'fsck: clean' is_clean
finish
