#!/bin/bash
# test_space.sh: where files have data and where they have none, also while the kernel still holds what was written: fallocate,
# SEEK_HOLE and SEEK_DATA, copy_file_range; and what the kernel refuses.
#
# Environment: SEED, STEPS of the random history.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
export PYTHONPATH=${BASH_SOURCE[0]%/*} PYTHONDONTWRITEBYTECODE=1

# Sizes, contents and blocks after fallocate in each mode, on data that has not been written back.
allocate()
{
    python3 - "$mnt/allocate" <<'END'
import errno, os, sys
from calls import *
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
data = bytes(range(1, 251)) * 4000
def reads(size, *holes):
    want = bytearray(data[:size].ljust(size, b"\0"))
    for a, b in holes:
        want[a:b] = bytes(b - a)
    assert os.fstat(fd).st_size == size
    assert os.pread(fd, size + 1, 0) == want
os.pwrite(fd, data, 0)
fallocate(fd, PUNCH, 1000, 2000)
reads(len(data), (1000, 3000))
os.pwrite(fd, data, 0)
fallocate(fd, PUNCH, 130000, 600000)
reads(len(data), (130000, 730000))
os.fsync(fd)
assert os.fstat(fd).st_blocks * 512 < len(data) - 300000
os.pwrite(fd, data, 0)
fallocate(fd, ZERO | KEEP, 999000, 10000)
reads(len(data), (999000, 1000000))
fallocate(fd, ZERO, 5, 1000095)
reads(1000100, (5, 1000100))
os.pwrite(fd, data, 0)
fallocate(fd, KEEP, 0, 2000000)
reads(1000100, (1000000, 1000100))
fallocate(fd, 0, 1500000, 500000)
reads(2000000)
os.posix_fallocate(fd, 0, 2000001)
reads(2000001)
fails(errno.ENOSPC, fallocate, fd, 0, 0, 1 << 50)
fails(errno.ENOSPC, fallocate, fd, KEEP, 0, 1 << 50)
for mode in 2, 4, 8, 32, 64, 16 | 2, 16 | 3, 1 | 8:
    fails(errno.EOPNOTSUPP, fallocate, fd, mode, 0, 131072)
fails(errno.EINVAL, fallocate, fd, 0, 0, 0)
reads(2000001)
fails(errno.EBADF, fallocate, os.open(sys.argv[1], os.O_RDONLY), 0, 0, 10)
END
}

# SEEK_HOLE and SEEK_DATA know what is in the kernel's cache only, whoever has written it, and by mmap(2), too.
seek_unwritten()
{
    python3 - "$mnt/seek" <<'END'
import errno, mmap, os, sys
from calls import *
MIB = 1 << 20
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 64 * MIB)
other = os.open(sys.argv[1], os.O_RDONLY)
def places(f):
    at, found = 0, []
    while True:
        try:
            at = os.lseek(f, at, os.SEEK_DATA)
        except OSError as e:
            assert e.errno == errno.ENXIO
            return found
        end = os.lseek(f, at, os.SEEK_HOLE)
        found.append((at // MIB, -(-end // MIB)))
        at = end
assert places(fd) == []
os.pwrite(fd, b"x", 10 * MIB)
assert places(other) == [(10, 11)]
with mmap.mmap(fd, 64 * MIB) as m:
    m[20 * MIB] = 1
    assert places(other) == places(fd) == [(10, 11), (20, 21)]
os.pwrite(fd, b"y", 64 * MIB)
assert places(other) == [(10, 11), (20, 21), (64, 65)]
fallocate(fd, PUNCH, 10 * MIB, MIB)
assert places(other) == [(20, 21), (64, 65)]
os.close(fd)
assert places(other) == [(20, 21), (64, 65)]
fails(errno.ENXIO, os.lseek, other, 64 * MIB + 1, os.SEEK_DATA)
fails(errno.ENXIO, os.lseek, other, 64 * MIB + 1, os.SEEK_HOLE)
END
}

copy_range()
{
    python3 - "$mnt" <<'END'
import errno, os, sys
from calls import *
os.chdir(sys.argv[1])
def new(name):
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
a, b = new("from"), new("to")
data = os.urandom(3000000)
os.pwrite(a, data, 0)
# Nothing of it, nor of what is in its way, has been written back.
os.pwrite(b, b"before", 0)
os.pwrite(b, b"behind", 3000100)
assert os.copy_file_range(a, b, 1 << 30, 0, 6) == 3000000
assert os.pread(b, 4000000, 0) == b"before" + data + bytes(94) + b"behind"
# A hole before an end that the daemon has not seen.
os.ftruncate(a, 0)
os.pwrite(a, b"end", 5000000)
assert os.copy_file_range(a, b, 4096, 100, 0) == 4096
assert os.pread(b, 4096, 0) == bytes(4096)
assert os.copy_file_range(a, b, 1 << 20, 5000000, 7) == 3
assert os.copy_file_range(a, b, 10, 5000003, 0) == 0
# Holes stay holes, however long.
os.truncate("from", 1 << 40)
c = new("sparse")
at = 0
while at < 1 << 40:
    n = os.copy_file_range(a, c, (1 << 40) - at, at, at)
    assert n > 0
    at += n
assert os.fstat(c).st_size == 1 << 40 and os.fstat(c).st_blocks * 512 <= 1 << 20
assert os.pread(c, 10, 4999998) == b"\0\0end\0\0\0\0\0"
# Within one file.
d = new("self")
os.pwrite(d, data[:300000], 0)
assert os.copy_file_range(d, d, 300000, 0, 300000) == 300000
assert os.pread(d, 700000, 0) == data[:300000] * 2
fails(errno.EINVAL, os.copy_file_range, d, d, 100, 0, 50)
# It takes set-id bits away, as a write does.
os.chmod("to", 0o6755)
if os.fork() == 0:
    os.chmod("to", 0o6777)
    os.setgid(65534)
    os.setuid(65534)
    e = os.open("to", os.O_RDWR)
    os._exit(os.copy_file_range(a, e, 10, 0, 0) != 10)
assert os.wait()[1] == 0
assert os.stat("to").st_mode & 0o7777 == 0o777
# Out of a snapshot.
os.pwrite(d, b"as it was", 0)
os.mkdir(".varve/snapshots/s")
os.pwrite(d, b"as it is.", 0)
old, e = os.open(".varve/snapshots/s/self", os.O_RDONLY), new("restored")
assert os.copy_file_range(old, e, 9) == 9
assert open("restored").read() == "as it was"
os.rmdir(".varve/snapshots/s")
END
}

# Everything that changes a file, at random, with and without the cache, against plain bytes in memory.
random_history()
{
    python3 - "$mnt/random" "${SEED:-$RANDOM}" "${STEPS:-1500}" <<'END'
import mmap, os, random, sys
from calls import *
path, seed, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("SEED=" + seed)
rand = random.Random(seed)
fd = os.open(path, os.O_RDWR | os.O_CREAT)
MOST = 600000
want = bytearray()
def grow(size):
    want.extend(bytes(max(0, size - len(want))))
def place():
    at, n = rand.randrange(MOST), rand.choice((1, 100, 4096, 20000, 131072, 262144))
    if rand.random() < 0.4:
        at = at // 4096 * 4096
    return at, min(n, MOST - at)
for step in range(steps):
    at, n = place()
    what = rand.randrange(10)
    if what < 3:
        data = rand.randbytes(n)
        grow(at + n)
        want[at:at + n] = data
        os.pwrite(fd, data, at)
    elif what == 3:
        os.ftruncate(fd, at)
        del want[at:]
        grow(at)
    elif what == 4 and want:
        at = rand.randrange(len(want))
        with mmap.mmap(fd, len(want)) as m:
            m[at:at + 50] = want[at:at + 50] = rand.randbytes(len(want[at:at + 50]))
    elif what == 5:
        fallocate(fd, PUNCH, at, n)
        want[at:at + n] = bytes(len(want[at:at + n]))
    elif what == 6:
        keep = rand.choice((0, KEEP))
        fallocate(fd, ZERO | keep, at, n)
        if not keep:
            grow(at + n)
        want[at:at + n] = bytes(len(want[at:at + n]))
    elif what == 7:
        to = rand.randrange(MOST)
        n = min(n, MOST - to, max(0, len(want) - at))
        if n == 0 or (at < to + n and to < at + n):
            continue
        assert os.copy_file_range(fd, fd, n, at, to) == n
        grow(to + n)
        want[to:to + n] = want[at:at + n]
    elif what == 8:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    else:
        os.close(fd)
        fd = os.open(path, os.O_RDWR)
    assert os.fstat(fd).st_size == len(want), step
    if step % 20 == 0:
        assert os.pread(fd, MOST + 1, 0) == want, step
os.fsync(fd)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
assert os.pread(fd, MOST + 1, 0) == want
open(path + ".want", "wb").write(want)
END
}

# What the kernel keeps for itself.
refused()
{
    python3 - "$mnt" <<'END'
import errno, fcntl, os, struct, sys
from calls import *
os.chdir(sys.argv[1])
a, b = os.open("r1", os.O_RDWR | os.O_CREAT), os.open("r2", os.O_RDWR | os.O_CREAT)
os.pwrite(a, bytes(65536), 0)
os.pwrite(b, bytes(65536), 0)
COLLAPSE, INSERT, UNSHARE = 8, 32, 64
for mode in COLLAPSE, INSERT, UNSHARE, UNSHARE | KEEP:
    fails(errno.EOPNOTSUPP, fallocate, a, mode, 0, 4096)
fails(errno.EOPNOTSUPP, fcntl.ioctl, b, FICLONE, a)
dedupe = struct.pack("QQHHI", 0, 65536, 1, 0, 0) + struct.pack("qQQiI", b, 0, 0, 0, 0)
fails(errno.EOPNOTSUPP, fcntl.ioctl, a, FIDEDUPERANGE, dedupe)
fails(errno.EOPNOTSUPP, fcntl.ioctl, a, FIEMAP, struct.pack("QQIIII", 0, 65536, 0, 0, 0, 0))
fails(errno.ENOTTY, fcntl.ioctl, a, 0x12345678)
END
}

check 'mkfs' mkfs
check 'mount' mount_it -o allow_other
chmod 755 "$work" "$mnt"
check 'fallocate in all its modes' allocate
check 'SEEK_DATA and SEEK_HOLE over what is not written back' seek_unwritten
check 'copy_file_range' copy_range
check 'a random history' random_history
check 'and after a remount' eval 'remount -o allow_other && cmp "$mnt/random" "$mnt/random.want"'
check 'what the kernel refuses' refused
check 'umount' umount_it
check 'fsck: clean' is_clean
finish
