#!/bin/bash
# test_rings.sh: requests by io_uring: that they come that way, that a request which is answered late keeps no others from coming, and that mounts
# end as they do without. Where the kernel does not have it, that is said.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

switch=/sys/module/fuse/parameters/enable_uring
before=$(cat $switch 2>/dev/null)

# cleanup() of lib.sh, and the kernel's switch as it was.
restore()
{
    [ -z "$before" ] || echo "$before" >$switch
    cleanup
}
trap restore EXIT

# requests WAY: how many came that way since the volume was mounted.
requests()
{
    getfattr -n user.varve.activity.json --only-values "$mnt/.varve" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["requests"][sys.argv[1]])' "$1"
}

by_rings()
{
    local device rings
    device=$(requests by_device) rings=$(requests by_io_uring)
    for i in {1..100}; do
        echo "$i" >"$mnt/f$i" && [ "$(cat "$mnt/f$i")" = "$i" ] && mv "$mnt/f$i" "$mnt/g$i" && rm "$mnt/g$i" || return
    done
    echo "before: $device, $rings; after: $(requests by_device), $(requests by_io_uring)"
    [ "$(requests by_io_uring)" -ge $((rings + 400)) ] && [ "$(requests by_device)" -le $((device + 250)) ]
}

by_device()
{
    echo hello >"$mnt/f" && [ "$(cat "$mnt/f")" = hello ] && rm "$mnt/f" && [ "$(requests by_io_uring)" = 0 ]
}

# Long requests and answers, in all sizes about a page's, and more than fits one message.
sizes()
{
    python3 - "$mnt" <<'END'
import os, sys
os.chdir(sys.argv[1])
for size in 0, 1, 4095, 4096, 4097, 65536, 1 << 20, (1 << 20) + 1, (5 << 20) + 7:
    data = os.urandom(size)
    with open("s", "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    fd = os.open("s", os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    got = b"".join(iter(lambda: os.read(fd, 3 << 20), b""))
    os.close(fd)
    assert got == data, size
os.setxattr("s", "user.large", b"x" * 60000)
assert os.getxattr("s", "user.large") == b"x" * 60000
names = sorted("n%0200d" % i for i in range(2000))
os.mkdir("d")
for n in names:
    os.close(os.open("d/" + n, os.O_CREAT))
assert sorted(os.listdir("d")) == names
END
}

# Many more files than there are threads are renamed while they are open and have contents that the kernel has not written: each of these waits
# for requests that come meanwhile. All processes, and the daemon, are bound to one processor, whose queue then has all requests.
wait_for_others()
{
    bound_to_one python3 - "$mnt" <<'END'
import os, sys
os.chdir(sys.argv[1])
children = []
for i in range(64):
    pid = os.fork()
    if pid == 0:
        os.mkdir("own%d" % i)  # folders are locked meanwhile
        for turn in range(20):
            with open("own%d/new" % i, "wb", buffering=0) as f:
                f.write(b"%d %d" % (i, turn) * 3000)
                os.rename("own%d/new" % i, "own%d/file" % i)
        os._exit(0)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
for i in range(64):
    assert open("own%d/file" % i, "rb").read() == b"%d 19" % i * 3000
END
}

# Snapshots wait for all that the kernel has.
snapshots_at_once()
{
    local i pids=()
    for i in {1..30}; do
        { head -c 300000 /dev/urandom >"$mnt/now$i" && taskset -c "$((i % $(nproc)))" mkdir "$mnt/.varve/snapshots/s$i" &&
            cmp "$mnt/now$i" "$mnt/.varve/snapshots/s$i/now$i"; } &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i" || return; done
}

# Threads that a request starts are not bound to the processor that it came from.
not_bound()
{
    local pid=$1 task all
    all=$(grep Cpus_allowed_list "/proc/$pid/status")
    "$varvefs" config "$mnt" workers=1 && "$varvefs" config "$mnt" workers=7 && grep -q '^varve-store$' "/proc/$pid/task/"*/comm || return
    for task in "/proc/$pid/task/"*; do
        [ "$(grep Cpus_allowed_list "$task/status")" = "$all" ] || [ "$(cat "$task/comm")" = varve-ring ] ||
            { echo "$task: $(cat "$task/comm")" "$(grep Cpus_allowed_list "$task/status")" && return 1; }
    done
}

# The daemon is killed while requests are under way.
killed()
{
    local i pid
    pid=$(daemons) && [ -n "$pid" ] || return
    for i in {1..8}; do
        while echo "$i" >"$mnt/k$i"; do :; done 2>/dev/null &
    done
    sleep 0.5
    kill -KILL "$pid" && sleep 0.5 && ! stat "$mnt/." 2>/dev/null
    wait
    "$varvefs" umount "$mnt" && is_clean
}

# A signal ends it although a file is open, and what was written is there.
ended_by_signal()
{
    local pid
    pid=$(daemons) && exec 9>"$mnt/open" && echo written >&9 && kill -TERM "$pid" || return
    for _ in {1..100}; do
        [ -d "/proc/$pid" ] || break
        sleep 0.1
    done
    exec 9>&-
    [ ! -d "/proc/$pid" ] && { ! is_mounted || "$varvefs" umount "$mnt"; } && mount_it && [ "$(cat "$mnt/open")" = written ]
}

bound_to_one()
{
    umount_it && taskset -c 0 "$varvefs" mount -o io_uring=on "$volume" "$mnt" && timeout 60 taskset -c 0 "$@"
}

mount_on()
{
    mount_it -o io_uring=on
}

both_ends()
{
    umount_it && mount_on && by_rings && ended_by_signal && umount_it
}

check 'mkfs' mkfs
check 'no such way' refuses 2 "io_uring cannot be 'yes'" "$varvefs" mount -o io_uring=yes "$volume" "$mnt"
if [ -z "$before" ] || [ "$(id -u)" != 0 ]; then
    check 'it cannot be had here, and that is said' refuses 1 'io_uring=on' "$varvefs" mount -o io_uring=on "$volume" "$mnt"
    check 'off' eval 'mount_it -o io_uring=off && by_device && umount_it'
    finish
fi
echo N >$switch
check 'the kernel does not offer it: by itself it does without' eval 'mount_it && by_device && umount_it && [ "$(cat $switch)" = N ]'
check 'on: root switches it on' eval 'mount_on && [ "$(cat $switch)" = Y ]'
check 'requests come by io_uring' by_rings
check 'requests and answers of all sizes' sizes
check 'snapshots that wait for other requests' snapshots_at_once
check 'threads are not bound to a processor' not_bound "$(daemons)"
check 'real work' eval 'cp -a /usr/include/linux "$mnt/copy" && diff -r /usr/include/linux "$mnt/copy" && remount && diff -r /usr/include/linux "$mnt/copy"'
check 'by itself where the kernel offers it' by_rings
check 'renames that wait for other requests' wait_for_others
check 'killed' killed
check 'mount again, ended by a signal' eval 'mount_on && ended_by_signal'
check 'off' eval 'umount_it && mount_it -o io_uring=off && by_device'
check 'umount, mount, umount' both_ends
check 'fsck: clean' is_clean
finish
