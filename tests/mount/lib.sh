# lib.sh: what the tests on real mounts share. A test sources it, calls `check NAME COMMAND...` for each thing that has to hold, and ends
# with `finish`. It works in a folder of its own, $work, with a volume in $volume and a mount point $mnt; whatever happens, all that
# was mounted under $work is taken down at the end, the daemons are ended, and the folder is removed.
#
# Environment: VARVEFS, the program (build/varvefs); KEEP=1 keeps the folder.
# shellcheck shell=bash
set -u
shopt -s nullglob

varvefs=$(realpath "${VARVEFS:-$(dirname "${BASH_SOURCE[0]}")/../../build/varvefs}")
# A short name: it appears in messages, and some tests bind sockets under it.
work=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/varve-mount.XXXXXX")") || exit
volume=$work/volume mnt=$work/mnt log=$work/log
passed=0 failed=0

if [ ! -x "$varvefs" ]; then
    echo "FAILED  there is no program $varvefs: build it with 'make'"
    echo '0 passed, 1 failed'
    exit 1
fi

# Mount points under $work, innermost first.
mounts()
{
    # Bytes that would not fit a line are written as \\ooo there.
    LC_ALL=C awk -v work="$work/" 'index($5, work) == 1 { print $5 }' /proc/self/mountinfo | tac | while IFS= read -r dir; do printf '%b\n' "$dir"; done
}

# Processes of varvefs with a path under $work in their arguments; zombies have none.
daemons()
{
    local dir
    for dir in /proc/[0-9]*; do
        ! { grep -qszF -- "$work/" "$dir/cmdline" && [ "$(readlink "$dir/exe")" = "$varvefs" ]; } || echo "${dir#/proc/}"
    done
}

cleanup()
{
    local dir pid _
    cd /
    for pid in $(jobs -p); do
        kill -KILL "$pid" 2>/dev/null
    done
    for dir in $(mounts); do
        timeout 60 "$varvefs" umount "$dir" >/dev/null 2>&1 || umount -l "$dir" 2>/dev/null
    done
    for _ in {1..50}; do
        [ -n "$(daemons)" ] || break
        sleep 0.1
    done
    for pid in $(daemons); do
        kill -KILL "$pid"
    done
    [ -n "${KEEP:-}" ] || rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# check NAME COMMAND...: one test. What the command prints is shown if it fails.
check()
{
    local status
    if "${@:2}" >"$log" 2>&1; then
        passed=$((passed + 1)) && echo "ok      $1"
    else
        status=$?
        failed=$((failed + 1)) && echo "FAILED  $1 (exit status $status: ${*:2})"
        sed -n '1,40s/^/        | /p' "$log"
    fi
}

finish()
{
    echo "$passed passed, $failed failed"
    [ $failed = 0 ]
    exit
}

# refuses STATUS PATTERN COMMAND...: the command fails with that exit status and says one line, on standard error, that begins with
# "varvefs: " and contains the pattern (of grep -E).
refuses()
{
    local out=$work/refused.out err=$work/refused.err status
    "${@:3}" >"$out" 2>"$err" </dev/null
    status=$?
    cat "$out" "$err"
    [ $status = "$1" ] || { echo "exit status $status, expected $1"; return 1; }
    [ ! -s "$out" ] || { echo 'printed to standard output'; return 1; }
    [ "$(wc -l <"$err")" = 1 ] || { echo 'not one line'; return 1; }
    grep -q '^varvefs: ' "$err" || { echo 'does not begin with "varvefs: "'; return 1; }
    grep -qE -- "$2" "$err" || { echo "does not say '$2'"; return 1; }
}

# fails ERROR COMMAND...: the command fails and its message has the error's text.
fails()
{
    local err=$work/failed.err
    if LC_ALL=C "${@:2}" >/dev/null 2>"$err" </dev/null; then
        echo "succeeded: ${*:2}"
        return 1
    fi
    cat "$err"
    grep -qF -- "$1" "$err" || { echo "does not say '$1'"; return 1; }
}

mkfs()
{
    mkdir -p "$mnt" && "$varvefs" mkfs "$volume" "$@"
}

mount_it()
{
    "$varvefs" mount "$@" "$volume" "$mnt"
}

umount_it()
{
    "$varvefs" umount "$mnt"
}

remount()
{
    umount_it && mount_it "$@"
}

is_mounted()
{
    mountpoint -q "$mnt"
}

is_clean()
{
    "$varvefs" fsck "$volume"
}

# ext4_folder NAME: makes a folder on an ext4 file system, to compare with, and prints its path: under $work, or on an image there. Fails where there
# is none to be had.
ext4_folder()
{
    local dir=$work/$1 image=$work/$1.image
    mkdir "$dir" || return
    if [ "$(stat -f -c %T "$dir")" != ext2/ext3 ]; then
        truncate -s 256M "$image" && mkfs.ext4 -q "$image" && mount -o loop "$image" "$dir" || return
    fi >/dev/null 2>&1
    echo "$dir"
}

# same A B: two trees have the same names, contents, and everything that stat shows of them: type, mode, owner, links, size, times to the
# nanosecond (but not of folders' sizes, and change times), targets of links, extended attributes, which are hard links of which.
same()
{
    diff <(inventory "$1") <(inventory "$2")
}

inventory()
{
    (
        cd "$1" || exit
        find . -mindepth 1 \( -type d -printf '%P %y %m %U %G %n %T+\n' \
            -o -type l -printf '%P %y %m %U %G %n %s %T+ %l\n' \
            -o -printf '%P %y %m %U %G %n %s %T+\n' \) | sort
        find . -type f -print0 | sort -z | xargs -0r sha256sum
        find . -mindepth 1 \( -type b -o -type c \) -exec stat -c '%n %t %T' {} + | sort
        find . -mindepth 1 -type f -links +1 -printf '%i %P\n' | sort -k2 |
            awk '{ if (!($1 in first)) first[$1] = $2; print $2, "is", first[$1] }'
        if command -v getfattr >/dev/null; then
            find . -mindepth 1 -print0 | sort -z | xargs -0r getfattr -hd -m - -e hex 2>/dev/null
        fi
    )
}
