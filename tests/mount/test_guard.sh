#!/bin/bash
# test_guard.sh: what is left when the daemon is killed, or crashes, while one of its threads waits in the kernel for what its others would
# answer: nothing that hangs. And the guard that sees to it is there as long as the daemon, and no longer.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

switch=/sys/module/fuse/parameters/enable_uring connections=$work/connections
before=$(cat $switch 2>/dev/null)
export GUARD_OF=$work # by which the guards of this test are found: their command line tells nothing

# What hangs is freed, whatever happens; then cleanup() of lib.sh, and the kernel's switch as it was.
restore()
{
    free_all
    umount "$connections" 2>/dev/null
    [ -z "$before" ] || echo "$before" >"$switch" 2>/dev/null
    cleanup
}
trap restore EXIT

# The numbers of our connections.
numbers()
{
    awk -v work="$work/" '/ - fuse\./ && index($5, work) == 1 { split($3, device, ":"); print device[2] }' /proc/self/mountinfo
}

free_all()
{
    local number
    mountpoint -q "$connections" || return 0
    for number in $(numbers); do
        echo 1 >"$connections/$number/abort"
    done
}

guards()
{
    local dir
    for dir in /proc/[0-9]*; do
        [ "$(cat "$dir/comm" 2>/dev/null)" != varvefs-guard ] || ! grep -qszxF "GUARD_OF=$work" "$dir/environ" || echo "${dir#/proc/}"
    done
}

# within SECONDS COMMAND...: it holds before they are over.
within()
{
    local end=$((SECONDS + $1))
    until "${@:2}"; do
        [ $SECONDS -lt $end ] || return
        sleep 0.1
    done
}

no_guard()
{
    within 5 eval '[ -z "$(guards)" ]' || { echo "left: $(guards)" && return 1; }
}

has_ended()
{
    [ ! -d "/proc/$1" ] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

# Eight programs rename files over others while these are open and not written back. Each ends with the first error; 0 if that is one that tells
# of a daemon that is gone.
load()
{
    python3 - "$mnt" <<'END'
import errno, os, sys
os.chdir(sys.argv[1])
expected = {errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED, errno.EIO}
def work(i):
    os.makedirs("own%d" % i, exist_ok=True)
    while True:
        with open("own%d/new" % i, "wb", buffering=0) as f:
            f.write(b"x" * 300000)
            os.rename("own%d/new" % i, "own%d/file" % i)
children = []
for i in range(8):
    pid = os.fork()
    if pid == 0:
        try:
            work(i)
        except OSError as e:
            print(e, file=sys.stderr)
            os._exit(e.errno not in expected)
    children.append(pid)
sys.exit(any([os.waitpid(pid, 0)[1] != 0 for pid in children]))
END
}

# A thread that no signal reaches, in a process that is ending.
is_stuck()
{
    local task
    for task in "/proc/$1/task/"*; do
        ! grep -q '^State:[[:space:]]*D' "$task/status" 2>/dev/null || [ "$(cat "$task/wchan" 2>/dev/null)" = vfs_coredump ] || return 0
    done
    return 1
}

# hit SIGNAL PID: the daemon gets it under load. All programs end by themselves, and what is left of the mount can be taken down. Sets `stuck`.
hit()
{
    local programs=0 pid=$2
    load &
    programs=$!
    sleep 0.7
    kill "-$1" "$pid" && sleep 0.5
    ! is_stuck "$pid" || stuck=1
    within 10 has_ended $programs || { echo "programs hang; state of the daemon: $(grep State "/proc/$pid/status")" && free_all; wait $programs; return 1; }
    wait $programs && within 5 has_ended "$pid" && no_guard && umount_it && is_clean
}

# hit_often SIGNAL COMMAND...: until the daemon was seen unable to end, at most five times. The command mounts, and sets `pid`.
hit_often()
{
    local stuck=0 pid=
    ! grep -qF " $mnt " /proc/self/mountinfo || umount_it || return
    for _ in {1..5}; do
        "${@:2}" && hit "$1" "$pid" || return
        [ $stuck = 0 ] || break
    done
    echo "stuck: $stuck"
    tail -n 1 "$work/messages"
    [ $stuck = 0 ] || grep -q 'was cut$' "$work/messages"
}

# start OPTION...
start()
{
    mount_it "$@" -o "log=$work/messages" && pid=$(daemons) && [ -n "$pid" ]
}

# The daemon is the first process of a container, without whose end none there ends, and which is told of all that lose their parent.
start_contained()
{
    unshare --pid --fork "$varvefs" mount -f -o "io_uring=off,log=$work/messages" "$volume" "$mnt" &
    within 10 is_mounted && pid=$(pgrep -P $!) && [ -n "$pid" ]
}

# A guard is alone: it keeps nothing from ending.
alone()
{
    local guard file
    mount_it && guard=$(guards) && [ "$(echo "$guard" | wc -w)" = 1 ] || return
    [ "$(tr -d '\0' <"/proc/$guard/cmdline")" = varvefs-guard ] || { cat "/proc/$guard/cmdline" && return 1; }
    [ "$(readlink "/proc/$guard/cwd")" = / ] && [ "$(ps -o sid= -p "$guard" | tr -d ' ')" = "$guard" ] || return
    for file in "/proc/$guard/fd/"*; do
        case $(readlink "$file") in
        /dev/null | anon_inode:*pidfd*) ;;
        *) ls -l "/proc/$guard/fd" && return 1 ;;
        esac
    done
    grep -E '^(Rss|Private_Dirty)' "/proc/$guard/smaps_rollup"
}

# A passphrase is nowhere in its memory, in which other things are found.
no_secret()
{
    local guard
    (umask 077 && echo 'correct horse battery' >"$work/passphrase") && "$varvefs" mkfs --encrypt --passfile="$work/passphrase" "$work/vault" &&
        "$varvefs" mount --passfile="$work/passphrase" "$work/vault" "$mnt" && guard=$(guards) && [ -n "$guard" ] || return
    python3 - "$guard" "$work/vault" <<'END' && umount_it && no_guard
import sys
memory = b""
with open("/proc/%s/maps" % sys.argv[1]) as maps, open("/proc/%s/mem" % sys.argv[1], "rb", buffering=0) as mem:
    for line in maps:
        words = line.split()
        if words[1].startswith("rw"):
            begin, end = (int(n, 16) for n in words[0].split("-"))
            if end - begin < 1 << 26:  # a sanitizer's are larger, and empty
                mem.seek(begin)
                memory += mem.read(end - begin)
assert sys.argv[2].encode() in memory
assert b"correct horse" not in memory
END
}

failing_mounts()
{
    refuses 1 'no snapshot' "$varvefs" mount -o snapshot=none "$volume" "$mnt" && no_guard &&
        refuses 1 'log' "$varvefs" mount -o "log=$work/none/log" "$volume" "$mnt" && no_guard
}

ended_by_signal()
{
    local pid
    mount_it && pid=$(daemons) && [ -n "$(guards)" ] && kill -TERM "$pid" && within 10 has_ended "$pid" && no_guard && ! is_mounted
}

# In the foreground, with a pipe that somebody reads to its end.
in_foreground()
{
    local reader pid
    "$varvefs" mount -f "$volume" "$mnt" 2>&1 | cat >"$work/said" &
    reader=$!
    within 10 is_mounted && pid=$(daemons) && [ -n "$(guards)" ] || return
    kill "-$1" "$pid" && within 5 has_ended $reader && no_guard || return
    ! grep -q "$mnt" /proc/self/mountinfo || umount_it
}

# Somebody ends it: the daemon goes on, and nothing is left at its end. Of what somebody has stopped neither.
ended_by_others()
{
    local pid guard
    mount_it && pid=$(daemons) && guard=$(guards) && kill -USR1 "$guard" && sleep 1.5 && [ "$(guards)" = "$guard" ] &&
        touch "$mnt/file" && kill -TERM "$guard" && no_guard && touch "$mnt/file" && umount_it && has_ended "$guard" && has_ended "$pid" || return
    mount_it && kill -STOP "$(guards)" && umount_it && no_guard
}

check 'mkfs' mkfs
check 'a guard has nothing of its daemon' alone
check 'after umount there is none' eval 'umount_it && no_guard'
check 'nor after mounts that fail' failing_mounts
check 'nor when a signal has ended the daemon' ended_by_signal
check 'in the foreground, ended by a signal' in_foreground INT
check 'in the foreground, killed' in_foreground KILL
check 'ended by somebody else' ended_by_others
if [ "$(id -u)" != 0 ]; then
    echo 'not root: nothing could be freed if it hung, so no daemon is killed under load'
    finish
fi
check 'it has no passphrase' no_secret
mkdir "$connections" && mount -t fusectl none "$connections" || exit
check 'killed under load' hit_often KILL start -o io_uring=off
check 'crashed under load' hit_often ABRT start -o io_uring=off
check 'killed under load, the first process of a container' hit_often KILL start_contained
if [ -n "$before" ]; then
    check 'io_uring: killed under load' hit_often KILL start -o io_uring=on
    # Where that hangs, this would for good: then a request stays with a thread that waits for others (docs/decisions/0080).
    [ $failed != 0 ] || check 'io_uring: crashed under load' hit_often ABRT start -o io_uring=on
fi
finish
