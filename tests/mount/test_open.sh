#!/bin/bash
# test_open.sh: files are opened with and without the daemon being asked: which messages the kernel sends, that opening means the same
# in both cases, and when what may not be written is refused.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
export PYTHONPATH=${BASH_SOURCE[0]%/*} PYTHONDONTWRITEBYTECODE=1

# Mounts with every message logged.
mount_logged()
{
    "$varvefs" mount -f -o "debug,allow_other,$1" "$volume" "$mnt" >"$work/messages" 2>&1 &
    for _ in {1..100}; do ! is_mounted || break; sleep 0.1; done
    stat "$mnt/." && sleep 0.2
}

# sent OPCODE: how many came while the command ran that is behind it.
sent()
{
    local before
    before=$(grep -c "opcode: $1 " "$work/messages")
    "${@:2}" >&2
    echo $(($(grep -c "opcode: $1 " "$work/messages") - before))
}

use_files()
{
    local i
    for i in {1..50}; do
        echo "$1 $i" >"$mnt/$1$i" || return
    done
    for i in {1..50}; do
        [ "$(cat "$mnt/$1$i")" = "$1 $i" ] && echo more >>"$mnt/$1$i" && ls "$mnt" | grep -q "^$1$i$" || return
    done
}

# The kernel asks once, if at all, and then not again; nobody tells that a file was closed.
quick_sends_nothing()
{
    [ "$(sent OPEN use_files q)" = 0 ] && [ "$(sent RELEASE use_files r)" = 0 ] && [ "$(sent FLUSH use_files s)" -le 1 ] &&
        [ "$(sent OPENDIR use_files t)" -le 1 ] && [ "$(grep -c 'opcode: OPEN ' "$work/messages")" = 1 ]
}

checked_asks()
{
    [ "$(sent OPEN use_files c)" -ge 100 ] && [ "$(sent RELEASE use_files d)" -ge 100 ]
}

# Pages and listings stay with the kernel from one opening to the next.
kept()
{
    head -c 100000 /dev/zero >"$mnt/kept" && cat "$mnt/kept" >/dev/null && ls "$mnt" >/dev/null &&
        [ "$(sent READ cat "$mnt/kept" "$mnt/kept")" = 0 ] && [ "$(sent READDIR ls "$mnt")" = 0 ]
}

# What open(2)'s flags mean.
flags()
{
    python3 - "$mnt" <<'END'
import errno, mmap, os, sys
from calls import *
os.chdir(sys.argv[1])
def text(name="o"):
    with open(name, "rb") as f:
        return f.read()
def put(how, data, name="o"):
    fd = os.open(name, how | os.O_WRONLY, 0o644)
    os.write(fd, data)
    os.close(fd)
put(os.O_CREAT | os.O_TRUNC, b"0123456789")
put(0, b"ab")
assert text() == b"ab23456789"
put(os.O_TRUNC, b"xyz")
assert text() == b"xyz" and os.stat("o").st_size == 3
os.close(os.open("o", os.O_RDONLY | os.O_TRUNC))
assert text() == b""
fails(errno.EEXIST, os.open, "o", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
# Two that append take turns, and meet a third that has made it longer.
a, b = (os.open("o", os.O_WRONLY | os.O_APPEND) for _ in "ab")
for i in range(100):
    os.write(a if i % 2 else b, b"%03d," % i)
os.truncate("o", 500)
os.write(a, b"end")
assert text() == b"".join(b"%03d," % i for i in range(100)).ljust(500, b"\0") + b"end"
# Past the cache and through it see the same.
size = 1 << 20
block = mmap.mmap(-1, size)
block.write(os.urandom(size))
put(os.O_CREAT, bytes(size), "direct")
d = os.open("direct", os.O_RDWR | os.O_DIRECT)
assert os.pwritev(d, [block], 0) == size
assert text("direct") == block[:]
put(0, b"through the cache", "direct")
back = mmap.mmap(-1, 4096)
assert os.preadv(d, [back], 0) == 4096 and back[:] == b"through the cache" + block[17:4096]
put(os.O_SYNC, b"synced", "direct")
assert text("direct")[:10] == b"syncedh th"
# Removed, replaced, and made executable while they are open.
os.unlink("direct")
assert os.preadv(d, [back], 0) == 4096 and back[:6] == b"synced"
put(os.O_CREAT, b"another", "direct")
assert text("direct") == b"another" and os.fstat(d).st_nlink == 0
fails(errno.EISDIR, os.open, ".", os.O_WRONLY)
fails(errno.ENOTDIR, os.open, "o", os.O_DIRECTORY)
os.symlink("o", "l")
fails(errno.ELOOP, os.open, "l", os.O_NOFOLLOW)
os.unlink("l")
END
}

snapshot_with_file()
{
    head -c 6000 /dev/zero | tr '\0' s >"$mnt/shot" && echo fixed >"$mnt/fixed" && mkdir "$mnt/.varve/snapshots/s" && chattr +i "$mnt/fixed"
}

# Asked, the daemon refuses at once.
checked_refuses()
{
    python3 - "$mnt" <<'END'
import errno, os, sys
from calls import *
shot, fixed = sys.argv[1] + "/.varve/snapshots/s/shot", sys.argv[1] + "/fixed"
for how in os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_TRUNC:
    fails(errno.EROFS, os.open, shot, how)
    fails(errno.EPERM, os.open, fixed, how)
END
}

# Not asked, it refuses what is written in place when it is written back; then the kernel forgets it. All else is refused at once.
quick_refuses()
{
    python3 - "$mnt" <<'END'
import errno, os, sys, time
from calls import *
shot, fixed = sys.argv[1] + "/.varve/snapshots/s/shot", sys.argv[1] + "/fixed"
for name, code, before in (shot, errno.EROFS, b"s" * 6000), (fixed, errno.EPERM, b"fixed\n"):
    fails(code, os.open, name, os.O_WRONLY | os.O_TRUNC)
    fails(code, os.truncate, name, 1)
    fd = os.open(name, os.O_WRONLY)
    os.write(fd, b"other")
    fails(code, os.fsync, fd)
    fd2 = os.open(name, os.O_WRONLY)
    os.write(fd2, b"other")
    fails(errno.EIO, os.close, fd2)
    for _ in range(100):
        if open(name, "rb").read() == before:
            break
        time.sleep(0.05)
    assert open(name, "rb").read() == before
END
}

# Settings are taken, and refused, also where the kernel caches what is written.
settings()
{
    local config=$mnt/.varve/config
    echo 'compression.level=9' >"$config" && grep -q '^compression.level=9' "$config" && echo 'scrub.rate=1M' >>"$config" &&
        grep -q '^scrub.rate=1' "$config" && cp "$config" "$work/config" && sed -i 's/^workers=.*/workers=3/' "$work/config" &&
        cp "$work/config" "$config" && grep -q '^workers=3' "$config" && "$varvefs" config "$mnt" workers=2 cache.bytes=16M &&
        grep -q '^workers=2' "$config" && refuses 1 '^varvefs: workers: ' "$varvefs" config "$mnt" workers=0 &&
        fails 'Invalid argument' dd if=<(echo 'no.such=1') of="$config" conv=fsync status=none && grep -q '^# last error: line 1: ' "$config"
}

both()
{
    check "$1: open(2) and its flags" flags
    check "$1: pages and listings are kept" kept
    check "$1: settings" settings
}

check 'mkfs' mkfs
check 'quick: mount' mount_logged open=quick
check 'quick: no messages' quick_sends_nothing
both quick
check 'a snapshot, an immutable file' snapshot_with_file
check 'quick: refused when it is written back' quick_refuses
check 'umount' umount_it
check 'checked: mount' mount_logged open=checked
check 'checked: the kernel asks' checked_asks
both checked
check 'checked: refused at once' checked_refuses
check 'umount' umount_it
check 'by itself: asks' eval 'mount_logged rw && checked_asks && checked_refuses && umount_it'
check 'by itself, read-only: does not' eval 'mount_logged ro && [ "$(sent OPEN cmp "$mnt/shot" "$mnt/.varve/snapshots/s/shot")" = 0 ] &&
    fails "Read-only" dd if=/dev/zero of="$mnt/shot" conv=notrunc status=none && umount_it'
check 'no way to open' refuses 2 "no way to open" "$varvefs" mount -o open=never "$volume" "$mnt"
check 'fsck: clean' is_clean
finish
