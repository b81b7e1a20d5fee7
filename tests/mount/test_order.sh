#!/bin/bash
# test_order.sh: what kill -9 of the daemon leaves, directly after it: of files that were replaced by renaming, closed or not, and of times that wait in
# memory; and that what was written is brought to the disk though nobody asks.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

# killed OPTIONS COMMAND...: mounted so, the command kills the daemon, $daemon, as its last step; then it is mounted again.
killed()
{
    mount_it -o "$1" && daemon=$(daemons) && "${@:2}" && ! is_mounted && umount_it && mount_it
}

# replace HOW: files are replaced in each way that programs have, and then the daemon is killed by the same process, before the kernel writes anything
# back by itself. HOW: "closed", or "open".
replace()
{
    python3 - "$mnt" "$daemon" "$1" <<'PY'
import ctypes, mmap, os, signal, sys, time
mnt, daemon, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
libc = ctypes.CDLL(None, use_errno=True)

def new(name, data):
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(fd, data)
    if how == "closed":
        os.close(fd)
    return fd

def exchange(a, b):
    if libc.renameat2(-100, a.encode(), -100, b.encode(), 2) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")

os.chdir(mnt)
os.replace((new("small.tmp", b"new small"), "small.tmp")[1], "small")
os.replace((new("large.tmp", b"L" * 3000000), "large.tmp")[1], "large")
os.replace((new("sub/x", b"new across"), "sub/x")[1], "across")
exchange((new("ex.tmp", b"new exchanged"), "ex.tmp")[1], "exchanged")
if how == "open":
    # Exchanged the other way round, while both are open: each is the other's replacement.
    a, b = new("left.tmp", b"left"), new("right.tmp", b"right")
    exchange("left.tmp", "right.tmp")
    # Written by a mapping.
    fd = new("mapped.tmp", b"")
    os.ftruncate(fd, 8192)
    m = mmap.mmap(fd, 8192)
    m[:] = b"m" * 8192
    os.replace("mapped.tmp", "mapped")
    # Written after it was renamed as well: the same descriptor goes on, and what it wrote is read.
    fd = new("more.tmp", b"first ")
    os.replace("more.tmp", "more")
    assert os.pread(fd, 100, 0) == b"first ", "read back"
    os.write(fd, b"second")
    assert os.pread(fd, 100, 0) == b"first second", "read back"
os.kill(daemon, signal.SIGKILL)
for _ in range(1000):
    if not os.path.exists(f"/proc/{daemon}") or open(f"/proc/{daemon}/stat").read().rsplit(")", 1)[1].split()[0] == "Z":
        break
    time.sleep(0.01)
PY
}

# has NAME TEXT
has()
{
    [ "$(cat "$mnt/$1")" = "$2" ] || { echo "$1: $(wc -c <"$mnt/$1") bytes: $(head -c 40 "$mnt/$1")"; return 1; }
}

# old_files: what is to be replaced.
old_files()
{
    local name
    rm -rf "$mnt"/* && mkdir "$mnt/sub" || return
    for name in small large across exchanged mapped more; do
        echo "old $name" >"$mnt/$name" || return
    done
}

# The new contents: the renaming was acknowledged, and a killed daemon loses nothing of that.
replaced()
{
    has small 'new small' && [ "$(tr -d L <"$mnt/large" | wc -c)" = 0 ] && [ "$(wc -c <"$mnt/large")" = 3000000 ] && has across 'new across' &&
        has exchanged 'new exchanged' && has ex.tmp 'old exchanged' && [ "$(ls "$mnt/sub")" = '' ]
}

replaced_open()
{
    replaced && has left.tmp right && has right.tmp left && [ "$(tr -d m <"$mnt/mapped" | wc -c)" = 0 ] && [ "$(wc -c <"$mnt/mapped")" = 8192 ] &&
        [ "$(head -c 6 "$mnt/more")" = 'first ' ]
}

# story OPTIONS HOW CHECK
story()
{
    { ! is_mounted || umount_it; } && mount_it && old_files && umount_it && killed "$1" replace "$2" && "$3" && umount_it
}

# Renaming to a free name, and of what is not open, asks the kernel for nothing; one that replaces a closed file drops none of its pages.
# The kernel tells of a close a little later than it returns.
closed()
{
    local i
    for i in $(seq 100); do
        [ "$(grep -c 'opcode: RELEASE ' "$work/debug")" -ge "$1" ] && return
        sleep 0.05
    done
    return 1
}

pages_stay()
{
    mount_it -o "debug,log=$work/debug" || return
    echo old >"$mnt/name" && head -c 100000 /dev/zero >"$mnt/name.tmp" && closed 2 && : >"$work/debug" && mv "$mnt/name.tmp" "$mnt/name" && cat "$mnt/name" >"$work/read" &&
        [ "$(wc -c <"$work/read")" = 100000 ] && grep -q 'RENAME' "$work/debug" && ! grep -q 'opcode: READ ' "$work/debug" && umount_it
}

# Many at once, each with its file open, in the same folder and across: all are answered.
many_at_once()
{
    mount_it || return
    python3 - "$mnt" <<'PY' && umount_it
import os, sys, threading
mnt, wrong = sys.argv[1], []
os.makedirs(mnt + "/many/other")
def work(k):
    try:
        for i in range(60):
            name = f"{mnt}/many/{k}"
            where = f"{mnt}/many/other/{k}.{i}" if i % 2 else f"{name}.tmp"
            fd = os.open(where, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            os.write(fd, f"{k} {i} ".encode() * (i * 50 + 1))
            os.rename(where, name)
            with open(name, "rb") as f:
                if f.read() != f"{k} {i} ".encode() * (i * 50 + 1):
                    wrong.append((k, i))
            os.close(fd)
    except OSError as e:
        wrong.append((k, e))
threads = [threading.Thread(target=work, args=(k,)) for k in range(12)]
for t in threads: t.start()
for t in threads: t.join()
assert not wrong, wrong[:5]
PY
}

# ---- commit= ----

syncs()
{
    sleep 0.2 # texts are shared for a tenth of a second
    sed -n 's/^varvefs_syncs_total //p' "$mnt/.varve/metrics"
}

interval()
{
    sed -n 's/^commit.interval=//p' "$mnt/.varve/config"
}

commit_is_taken()
{
    mount_it && [ "$(interval)" = 5s ] && umount_it && mount_it -o commit=60 && [ "$(interval)" = 1m ] && grep -q '^ *syncs' "$mnt/.varve/stats" &&
        echo commit.interval=7s >"$mnt/.varve/config" && [ "$(interval)" = 7s ] && remount -o commit=0 && [ "$(interval)" = 0ns ] && umount_it &&
        refuses 2 "0ns to 1h" "$varvefs" mount -o commit=3601 "$volume" "$mnt" && refuses 2 'no number of seconds' "$varvefs" mount -o commit=5m "$volume" "$mnt" &&
        refuses 2 'no number of seconds' "$varvefs" mount -o commit=-1 "$volume" "$mnt"
}

# What was written is synced by itself, once; and nothing while nothing is written.
commits_by_itself()
{
    local before _
    mount_it -o commit=1,noatime && before=$(syncs) && echo text >"$mnt/written" || return
    for _ in {1..100}; do
        [ "$(syncs)" -gt "$before" ] && break
    done
    before=$(syncs) && sleep 2.5 && [ "$(syncs)" = "$before" ] && [ "$before" -gt 0 ] && remount -o commit=0,noatime && before=$(syncs) && echo text >"$mnt/written" &&
        sleep 2 && [ "$(syncs)" = "$before" ] && remount -o ro,commit=1 && sleep 1.5 && [ "$(syncs)" = 0 ] && umount_it
}

# ---- lazytime ----

times_of()
{
    stat -c '%n %y %z %s' "$mnt/read" "$mnt/kept" "$mnt/written" "$mnt/touched"
}

# Reading sets times that wait; kill -9 loses those, and nothing else: no other time, and no time that was set by hand.
lazy_times()
{
    mount_it -o strictatime,lazytime || return
    local name old=2001-02-03 read_at
    for name in read kept written touched; do
        echo "$name" >"$mnt/$name" && touch -a -d "$old" "$mnt/$name" || return
    done
    forget && cat "$mnt/kept" && read_at=$(stat -c %x "$mnt/kept") && [ "$(stat -c %X "$mnt/kept")" != "$(date -d "$old" +%s)" ] && all_durable && forget &&
        cat "$mnt/read" && [ "$(stat -c %X "$mnt/read")" != "$(date -d "$old" +%s)" ] && echo more >>"$mnt/written" && touch -d 2005-05-05 "$mnt/touched" &&
        times_of >"$work/times" || return
    daemon=$(daemons) && kill -KILL "$daemon" && umount_it && mount_it -o noatime && times_of | diff "$work/times" - && has written $'written\nmore' &&
        [ "$(stat -c %X "$mnt/read")" = "$(date -d "$old" +%s)" ] && [ "$(stat -c %x "$mnt/kept")" = "$read_at" ] &&
        [ "$(stat -c %X "$mnt/touched")" = "$(date -d 2005-05-05 +%s)" ] && umount_it
}

forget()
{
    sync -f "$mnt" && echo 3 >/proc/sys/vm/drop_caches
}

all_durable()
{
    python3 -c 'import fcntl, os, sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x56a0)' "$mnt"
}

check 'mkfs' mkfs
check 'replaced, closed before: the new contents after kill -9' story rw closed replaced
check 'replaced while open: the new contents after kill -9' story rw open replaced_open
check 'the same where the kernel opens without asking' story open=quick open replaced_open
check 'closed before, and not asked' story open=quick closed replaced
check 'replacing what is closed drops no pages' pages_stay
check 'many at once' many_at_once
check 'commit=: taken, changed, refused' commit_is_taken
check 'commit=: synced by itself, and not while idle' commits_by_itself
check 'lazytime: what kill -9 loses, and what it does not' lazy_times
check 'fsck: clean' is_clean
finish
