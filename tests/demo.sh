#!/bin/bash
# demo.sh: shows what varvefs does, on a real mount, with ordinary file tools: `make demo` runs it after
# the build. The input is this source tree. Everything happens in a temporary folder, which is removed
# at the end, whatever happens. $VARVEFS is the program.
set -u
cd "$(dirname "$0")/.." || exit

varvefs=${VARVEFS:-$PWD/build/varvefs}
work=$(mktemp -d "${TMPDIR:-/tmp}/varve-demo.XXXXXX") || exit
volume=$work/volume mnt=$work/mnt original=$work/original
log=$work/log

# Daemons of this volume: nothing else has the name of this fresh folder in its arguments.
daemons()
{
    local dir
    for dir in /proc/[0-9]*; do
        ! grep -qszF -- "$volume" "$dir/cmdline" || echo "${dir#/proc/}"
    done
}

cleanup()
{
    if mountpoint -q "$mnt" 2>/dev/null; then
        timeout 60 "$varvefs" umount "$mnt" >/dev/null 2>&1 || fusermount3 -uz "$mnt" 2>/dev/null ||
            umount -l "$mnt"
    fi
    local _ pid
    for _ in {1..50}; do # a daemon ends by itself once its mount is gone; give it 5 s
        [ -n "$(daemons)" ] || break
        sleep 0.1
    done
    for pid in $(daemons); do
        kill -KILL "$pid"
    done
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# step TEXT COMMAND...: one step. Its output is kept back, unless it fails: then the demo ends with it.
step()
{
    printf '  %-62s' "$1"
    if "${@:2}" >"$log" 2>&1; then
        echo ok
    else
        echo "FAILED (exit status $?)"
        sed 's/^/    /' "$log" >&2
        printf 'demo: failed at: %s\n      the command was: %s\n' "$1" "${*:2}" >&2
        exit 1
    fi
}

title()
{
    printf '\n%s\n' "$*"
}

no_fuse()
{
    printf 'demo: %s\n' "$@" >&2
    exit 1
}

[ -x "$varvefs" ] || no_fuse "no program $varvefs: build it with 'make'"
[ -c /dev/fuse ] || no_fuse 'there is no /dev/fuse here, so nothing can be mounted.' \
    'On a machine of your own, load the module:  sudo modprobe fuse' \
    'In a container, start it with:              --device /dev/fuse --cap-add SYS_ADMIN'
(exec 3<>/dev/fuse) 2>/dev/null || no_fuse '/dev/fuse is here, but this user may not open it.' \
    'On a machine of your own, run as root, or:  sudo chmod 666 /dev/fuse' \
    'In a container, start it with:              --device /dev/fuse --cap-add SYS_ADMIN'
[ "$(id -u)" = 0 ] || command -v fusermount3 >/dev/null ||
    no_fuse 'mounting without root needs fusermount3, of the package fuse3'

# Work on real files ---------------------------------------------------------------------------------

copy_out()
{
    mkdir "$original" &&
        tar --exclude=./.git --exclude='./build*' --exclude='*__pycache__' -cf - . | tar -C "$original" -xf -
}

edit()
{
    local tree
    for tree in "$original" "$mnt/src"; do
        echo 'one more line' >>"$tree/README.md" &&
            sed -i 's/varvefs/VARVEFS/g' "$tree/Makefile" &&
            truncate -s 100 "$tree/LICENSE" &&
            printf 'in the middle' | dd of="$tree/Makefile" bs=1 seek=1000 conv=notrunc status=none || return
    done
}

search()
{
    diff <(cd "$original" && grep -rc store . | sort) <(cd "$mnt/src" && grep -rc store . | sort)
}

tar_through()
{
    mkdir "$mnt/unpacked" &&
        tar -C "$mnt/src" -czf "$mnt/src.tar.gz" . && tar -C "$mnt/unpacked" -xzf "$mnt/src.tar.gz" &&
        diff -r --no-dereference "$original" "$mnt/unpacked"
}

links()
{
    ln "$mnt/src/Makefile" "$mnt/hard" && ln -s src/Makefile "$mnt/soft" &&
        [ "$(stat -c %h "$mnt/hard")" = 2 ] && [ "$mnt/hard" -ef "$mnt/src/Makefile" ] &&
        [ "$(readlink "$mnt/soft")" = src/Makefile ] && cmp "$mnt/soft" "$mnt/hard" &&
        rm "$mnt/hard" && [ "$(stat -c %h "$mnt/src/Makefile")" = 1 ]
}

rename()
{
    mv "$mnt/unpacked" "$mnt/renamed" && [ ! -e "$mnt/unpacked" ] &&
        diff -r --no-dereference "$original" "$mnt/renamed"
}

delete()
{
    rm -r "$mnt/src/store" "$mnt/renamed" && [ ! -e "$mnt/src/store" ] && [ ! -e "$mnt/renamed" ]
}

same()
{
    diff -r --no-dereference "$original" "$1"
}

bytes()
{
    du -sb "$1" | cut -f1
}

echo "varvefs in a minute: a volume in $volume, mounted at $mnt"

title 'A volume is a folder; mounted, it is a file system'
mkdir "$mnt"
step 'varvefs mkfs VOLUME' "$varvefs" mkfs "$volume"
step 'varvefs mount VOLUME MOUNTPOINT' "$varvefs" mount "$volume" "$mnt"
step 'a file system is mounted there now' mountpoint -q "$mnt"

title 'Ordinary tools on ordinary files: this source tree'
step 'take a copy to compare with' copy_out
step 'cp -a: copy the tree in' cp -a "$original" "$mnt/src"
step 'diff -r: it is the same' same "$mnt/src"
step 'edit, append, overwrite, cut' edit
step 'diff -r: still the same' same "$mnt/src"
step 'grep -r: search' search
step 'tar: pack and unpack on the volume' tar_through
step 'mv: rename a folder' rename
step 'ln, ln -s: hard and symbolic links' links

title 'Snapshots: every file as it was'
step 'mkdir .varve/snapshots/before' mkdir "$mnt/.varve/snapshots/before"
step 'rm -r: delete half of it' delete
step 'the snapshot still has everything' same "$mnt/.varve/snapshots/before/src"
step 'cp -a: restore from it' cp -a "$mnt/.varve/snapshots/before/src/store" "$mnt/src/store"
step 'diff -r: as before' same "$mnt/src"

files_bytes=$(($(bytes "$mnt") + $(bytes "$mnt/.varve/snapshots/before")))

title 'On disk, not in memory'
step 'varvefs umount MOUNTPOINT' "$varvefs" umount "$mnt"
step 'the daemon has ended' test -z "$(daemons)"
step 'varvefs mount, once more' "$varvefs" mount "$volume" "$mnt"
step 'diff -r: all is there' same "$mnt/src"
step 'and in the snapshot' same "$mnt/.varve/snapshots/before/renamed"
step 'varvefs umount' "$varvefs" umount "$mnt"
step 'varvefs fsck VOLUME: no findings' "$varvefs" fsck "$volume"

title 'And small'
printf '  %-62s%s\n' 'bytes of the files in it, now and in the snapshot' "$files_bytes" \
    'bytes of the whole volume' "$(bytes "$volume")"

cat <<END

Now with a folder of your own:

    build/varvefs mkfs ~/vault                 a new volume
    mkdir ~/work
    build/varvefs mount ~/vault ~/work         use ~/work as any folder
    mkdir ~/work/.varve/snapshots/today        a snapshot; rmdir drops it
    build/varvefs stat ~/work                   how it is doing
    build/varvefs umount ~/work

'make check' runs the tests, 'sudo make install' installs it, 'make help' lists the rest.
END
