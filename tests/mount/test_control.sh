#!/bin/bash
# test_control.sh: the files of .varve, with the tools that people use: stats, metrics, config; and varvefs config.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
here=$(dirname "$0")

listed()
{
    [ "$(ls "$mnt/.varve" | tr '\n' ' ')" = 'config metrics snapshots stats ' ] && ls -la "$mnt/.varve" && [ ! -e "$mnt/.varve/state" ] &&
        [ "$(stat -c '%A %U' "$mnt/.varve/config")" = "-rw-r--r-- $(stat -c %U "$mnt")" ] && [ "$(stat -c %A "$mnt/.varve/stats")" = -r--r--r-- ] &&
        [ "$(find "$mnt/.varve" -maxdepth 1 -type f | wc -l)" = 3 ]
}

# The size that stat tells is the size of what is read, for every tool that asks first.
read_by_tools()
{
    local file
    for file in stats metrics config; do
        cat "$mnt/.varve/$file" >"$work/a" && [ -s "$work/a" ] && cp "$mnt/.varve/$file" "$work/b" && [ -s "$work/b" ] &&
            tail -n 1 "$mnt/.varve/$file" >"$work/c" && [ "$(wc -l <"$work/c")" = 1 ] && tail -c 10 "$mnt/.varve/$file" >"$work/c" &&
            [ "$(wc -c <"$work/c")" = 10 ] && head -n 1 "$mnt/.varve/$file" | grep -q . && grep -c . "$mnt/.varve/$file" || return
        python3 - "$mnt/.varve/$file" <<'PY' || return
import mmap, os, sys
with open(sys.argv[1], "rb") as f:
    size = os.fstat(f.fileno()).st_size
    text = f.read()
    assert size == len(text) > 0, (size, len(text))
    with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
        assert m[:] == text
    assert os.fstat(f.fileno()).st_size == size
PY
    done
    ! command -v curl >/dev/null || [ "$(curl -s "file://$mnt/.varve/metrics" | head -c 7)" = '# HELP ' ]
}

# The parts are no more than the whole, which is what the system says; what is read twice is in the cache then. Under a sanitizer blocks are malloc's.
memory()
{
    dd if=/dev/urandom of="$mnt/some" bs=1M count=20 status=none && umount_it && mount_it && "$varvefs" stat --json "$mnt" >"$work/before" || return
    cat "$mnt/some" >/dev/null && dd if="$mnt/some" iflag=nocache count=0 status=none && cat "$mnt/some" >/dev/null &&
        "$varvefs" stat --json "$mnt" >"$work/stat" && grep -qE '^ *all else +[0-9.]+ MiB$' "$mnt/.varve/stats" && rm "$mnt/some" || return
    python3 - "$work/before" "$work/stat" "$(daemons)" "${SANITIZE:-}" <<'END'
import json, re, sys
before, m = (json.load(open(p))["activity"]["memory"] for p in sys.argv[1:3])
rss = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{sys.argv[3]}/status").read())[1]) << 10
print(before, m, rss)
assert abs(m["resident"] - rss) < 8 << 20 and m["resident_peak"] >= m["resident"]
assert sys.argv[4] or (m["blocks"] >= before["blocks"] + (10 << 20) and m["resident"] > m["blocks"])
END
}

figures()
{
    local before after
    echo hello >"$mnt/a" && echo world >"$mnt/b" && grep -qE '^ *inodes in use +3$' "$mnt/.varve/stats" || return
    sleep 0.2 # texts are shared for a tenth of a second
    before=$(grep '^varvefs_batches_total' "$mnt/.varve/metrics" | cut -d' ' -f2) && echo more >"$mnt/c" && sleep 0.2 &&
        after=$(grep '^varvefs_batches_total' "$mnt/.varve/metrics" | cut -d' ' -f2) && [ "$after" -gt "$before" ] &&
        grep -q '^varvefs_inodes 4$' "$mnt/.varve/metrics"
}

prometheus()
{
    cp "$mnt/.varve/metrics" "$work/metrics" && python3 "$here/promcheck.py" "$work/metrics" &&
        { ! command -v promtool >/dev/null || promtool check metrics <"$work/metrics"; } || return
    # The check itself finds things.
    sed 's/_total/_totals/' "$work/metrics" >"$work/bad" && ! python3 "$here/promcheck.py" "$work/bad" >/dev/null &&
        sed '/^# HELP varvefs_inodes/d' "$work/metrics" >"$work/bad" && ! python3 "$here/promcheck.py" "$work/bad" >/dev/null &&
        sed 's/^varvefs_inodes .*/&x/' "$work/metrics" >"$work/bad" && ! python3 "$here/promcheck.py" "$work/bad" >/dev/null &&
        sed 's/stall_seconds_total/stall_ms_total/' "$work/metrics" >"$work/bad" && ! python3 "$here/promcheck.py" "$work/bad" >/dev/null
}

value()
{
    grep "^$1=" "$mnt/.varve/config" | cut -d= -f2
}

written()
{
    echo 'compression.level=9' >"$mnt/.varve/config" && [ "$(value compression.level)" = 9 ] &&
        echo 'scrub.rate = 1M' >>"$mnt/.varve/config" && [ "$(value scrub.rate)" = 1048576 ] &&
        printf 'compression.level=3\ncache.bytes=16M' >"$mnt/.varve/config" && [ "$(value compression.level)" = 3 ] && [ "$(value cache.bytes)" = 16777216 ] &&
        grep -q 'compression.level *3' <("$varvefs" stat --settings "$mnt") || return
    # An editor reads all and writes all.
    cp "$mnt/.varve/config" "$work/config" && sed -i 's/^workers=.*/workers=3/' "$work/config" && cp "$work/config" "$mnt/.varve/config" &&
        [ "$(value workers)" = 3 ] && [ "$(value compression.level)" = 3 ] && touch "$mnt/.varve/config"
}

# refused_write ERROR TEXT: write(2) itself fails.
refused_write()
{
    python3 - "$mnt/.varve/config" "$@" <<'PY'
import errno, os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
try:
    os.write(fd, sys.argv[3].encode())
    sys.exit("it was taken")
except OSError as e:
    assert errno.errorcode[e.errno] == sys.argv[2], e
PY
}

refused()
{
    refused_write EINVAL 'no.such=1' && refused_write ERANGE 'compression.level=99' && refused_write EINVAL 'hello' &&
        grep -q '^# last error: line 1: this is not NAME=VALUE$' "$mnt/.varve/config" && refused_write EINVAL $'compression.level=5\nworkers=many' &&
        [ "$(value compression.level)" = 3 ] && grep -q '^# last error: line 2: workers: ' "$mnt/.varve/config" && echo workers=2 >"$mnt/.varve/config" &&
        ! grep -q '^# last error' "$mnt/.varve/config" || return
    fails 'Permission denied' python3 -c 'import os, sys; os.seteuid(65534); open(sys.argv[1], "w")' "$mnt/.varve/stats" || return
    fails 'Operation not permitted' rm "$mnt/.varve/stats" && fails 'Operation not permitted' mv "$mnt/.varve/stats" "$mnt/stats" &&
        fails 'Operation not permitted' touch "$mnt/.varve/other" && fails 'Operation not permitted' chmod 666 "$mnt/.varve/config" &&
        fails 'Operation not permitted' setfattr -n user.x -v y "$mnt/.varve/config" && [ -z "$(getfattr -m - "$mnt/.varve/config")" ]
}

command_line()
{
    [ "$("$varvefs" config "$mnt" compression.level)" = 3 ] && "$varvefs" config "$mnt" compression.level=4 cache.bytes=32M &&
        [ "$("$varvefs" config "$mnt" cache.bytes)" = 33554432 ] && "$varvefs" config "$mnt" | grep -qE '^compression.level +4 .*default 1' &&
        "$varvefs" config --json "$mnt" | python3 -c 'import json, sys; assert any(s["name"] == "workers" for s in json.load(sys.stdin))' || return
    refuses 1 '^varvefs: workers: ' "$varvefs" config "$mnt" compression.level=6 workers=0 && [ "$(value compression.level)" = 4 ] &&
        refuses 1 'no.such: there is no such setting' "$varvefs" config "$mnt" no.such=1 && refuses 1 'no.such: there is no such setting' "$varvefs" config "$mnt" no.such &&
        refuses 2 'either --json, or one NAME' "$varvefs" config "$mnt" workers cache.bytes && refuses 2 'an operand is missing' "$varvefs" config &&
        refuses 2 "unknown option '--frob'" "$varvefs" config --frob "$mnt" && refuses 1 'no such folder' "$varvefs" config "$work/none"
}

# Settings are those of the mount: the next one begins anew.
until_unmounted()
{
    remount && [ "$(value compression.level)" = 1 ] && remount -o set=compression.level=8 && [ "$(value compression.level)" = 8 ] && umount_it &&
        refuses 1 'it is not mounted' "$varvefs" config "$volume" && mount_it -o ro && refuses 1 'mounted read-only' "$varvefs" config "$mnt" workers=1 &&
        [ "$("$varvefs" config "$mnt" workers)" = 2 ] && umount_it || return
    for _ in {1..200}; do [ -n "$(daemons)" ] || return 0; sleep 0.05; done # its daemon may end a moment later
}

other_users()
{
    local as='setpriv --reuid 65534 --regid 65534 --clear-groups'
    mount_it -o allow_other && chmod 711 "$work" && chmod 777 "$mnt" && $as cat "$mnt/.varve/stats" "$mnt/.varve/metrics" "$mnt/.varve/config" >/dev/null &&
        fails 'Permission denied' $as tee "$mnt/.varve/config" && refuses 1 'only the owner of the mounted folder and root' $as "$varvefs" config "$mnt" workers=1 || return
    chown 65534 "$mnt" && [ "$(stat -c %u "$mnt/.varve/config")" = 65534 ] && $as "$varvefs" config "$mnt" workers=1 && [ "$(value workers)" = 1 ] && umount_it
}

# Many readers and a writer at once; what each reads is of one piece.
at_once()
{
    mount_it || return
    python3 - "$mnt/.varve" <<'PY' && umount_it && is_clean
import os, sys, threading
wrong = []
def reader(name):
    for _ in range(200):
        with open(os.path.join(sys.argv[1], name), "rb") as f:
            size, text = os.fstat(f.fileno()).st_size, f.read()
        if len(text) != size or not text.endswith(b"\n"):
            wrong.append((name, size, len(text)))
def writer():
    for i in range(300):
        with open(os.path.join(sys.argv[1], "config"), "w") as f:
            f.write(f"compression.level={i % 9 + 1}\n")
threads = [threading.Thread(target=reader, args=(n,)) for n in ("stats", "metrics", "config") * 2] + [threading.Thread(target=writer)]
for t in threads: t.start()
for t in threads: t.join()
assert not wrong, wrong[:5]
PY
}

check 'a volume is made and mounted' eval 'mkfs -q && mount_it'
check 'the files are listed, with owner and mode' listed
check 'read by cat, cp, head, tail, grep, mmap and curl: all of it' read_by_tools
check 'stats tell what memory is made of' memory
check 'stats and metrics follow what is done' figures
check 'metrics are what Prometheus wants' prometheus
check 'config: written by echo, printf, cp, an editor' written
check 'what is wrong is refused by write(2), whole, and told' refused
check 'varvefs config' command_line
check 'settings last until it is unmounted' until_unmounted
check 'other users read, and the owner writes' other_users
check 'readers and a writer at once' at_once
check 'no daemon is left' test -z "$(daemons)"
finish
