#!/bin/bash
# test_quota.sh: limits of folders, with the tools that people use: setfattr, df, dd, mv, ln, rm.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

limit()
{
    setfattr -n user.varve.quota -v "$2" "$1"
}

attribute()
{
    getfattr --only-values -n "user.varve.$1" "$2" 2>/dev/null
}

# df_says FIELD PATH NUMBER: in KiB, or a count of inodes.
df_says()
{
    local got
    got=$(df -k --output="$1" "$2" | tail -n 1 | tr -d ' ')
    [ "$got" = "$3" ] || { echo "df says $got, not $3, as $1 of $2"; return 1; }
}

fill()
{
    dd if=/dev/zero of="$1" bs=64k count="$2" conv=fsync status=none
}

set_and_told()
{
    mkdir "$mnt/d" && limit "$mnt/d" 4M && [ "$(attribute quota "$mnt/d")" = 4194304 ] && [ "$(attribute quota.used "$mnt/d")" = 0 ] &&
        df_says size "$mnt/d" 4096 && df_says avail "$mnt/d" 4096 && mkdir "$mnt/d/sub" && df_says size "$mnt/d/sub" 4096 && df_says iused "$mnt/d" 2 &&
        [ "$(df -k --output=size "$mnt" | tail -n 1)" -gt 4096 ] && ! getfattr -d "$mnt/d" | grep quota && [ -z "$(attribute quota "$mnt/d/sub")" ]
}

# Piece by piece, as the cache would write large ones of which none fits any more.
held()
{
    fill "$mnt/d/sub/a" 32 && df_says used "$mnt/d" 2048 && [ "$(attribute quota.used "$mnt/d")" = 2097152 ] && fails 'Disk quota exceeded' dd if=/dev/zero of="$mnt/d/b" bs=64K count=40 oflag=direct &&
        df_says avail "$mnt/d" 0 && fails 'Disk quota exceeded' ln -s target "$mnt/d/link" && touch "$mnt/d/empty" || return
    fill "$mnt/elsewhere" 80 && rm "$mnt/d/b" && df_says used "$mnt/d" 2048 && fill "$mnt/d/b" 30 && truncate -s 0 "$mnt/d/b" "$mnt/d/sub/a" && df_says used "$mnt/d" 0
}

moved()
{
    seq 1 10000 >"$mnt/numbers" && mkdir "$mnt/tree" && seq 1 100 >"$mnt/tree/file" && ls "$mnt" >/dev/null || return
    mv "$mnt/numbers" "$mnt/d/" && [ "$(attribute quota.used "$mnt/d")" = "$(stat -c %s "$mnt/d/numbers")" ] && fails 'Disk quota exceeded' mv "$mnt/elsewhere" "$mnt/d/" || return
    [ "$(stat -c %s "$mnt/elsewhere")" = 5242880 ] && [ ! -e "$mnt/d/elsewhere" ] || return
    fails 'Invalid cross-device link' python3 -c 'import os, sys; os.rename(sys.argv[1], sys.argv[2])' "$mnt/tree" "$mnt/d/tree" || return
    mv "$mnt/tree" "$mnt/d/" && [ ! -e "$mnt/tree" ] && [ "$(wc -l <"$mnt/d/tree/file")" = 100 ] && fails 'Invalid cross-device link' ln "$mnt/elsewhere" "$mnt/d/second" &&
        mv "$mnt/d" "$mnt/e" && mv "$mnt/e" "$mnt/d" && df_says size "$mnt/d" 4096
}

# Of a folder with contents, and while files are being written into it.
taken_over()
{
    local pid
    sync -f "$mnt" 2>/dev/null # tells once what could not be written before
    cp -r /usr/include/linux "$mnt/full" && sync -f "$mnt" || return
    while [ ! -e "$mnt/stop" ]; do cp /etc/passwd "$mnt/full/new.$RANDOM" || break; done &
    pid=$!
    limit "$mnt/full" 1G && touch "$mnt/stop" && wait $pid && sync -f "$mnt" || return
    [ "$(attribute quota.used "$mnt/full")" = "$(find "$mnt/full" -type f -printf '%s\n' | awk '{ s += $1 } END { print s }')" ] &&
        df_says iused "$mnt/full" "$(find "$mnt/full" | wc -l)" && limit "$mnt/full" 1M && df_says avail "$mnt/full" 0 && fails 'Disk quota exceeded' fill "$mnt/full/more" 1 &&
        rm "$mnt/full/more" && rm -r "$mnt/full"
}

refused()
{
    local bad
    for bad in 10Q x '' -5 1.5G; do fails 'Invalid argument' limit "$mnt/d" "$bad" || return; done
    fails 'Numerical result out of range' limit "$mnt/d" 99999999999999T && fails 'Not a directory' limit "$mnt/elsewhere" 1M &&
        fails 'Operation not permitted' setfattr -n user.varve.quota.used -v 5 "$mnt/d" && fails 'No such attribute' setfattr -x user.varve.quota "$mnt/d/sub" &&
        fails 'Operation not permitted' limit "$mnt/.varve" 1M && [ "$(attribute quota "$mnt/d")" = 4194304 ] && mkdir "$mnt/.varve/snapshots/s" &&
        fails 'Read-only file system' limit "$mnt/.varve/snapshots/s/d" 1M && [ "$(df -k --output=size "$mnt/.varve/snapshots/s/d" | tail -n 1)" -gt 4096 ] &&
        rmdir "$mnt/.varve/snapshots/s"
}

taken_away()
{
    setfattr -x user.varve.quota "$mnt/d" && [ -z "$(attribute quota "$mnt/d")" ] && fill "$mnt/d/big" 100 && [ "$(attribute quota.used "$mnt/d")" -gt 6553600 ] &&
        limit "$mnt/d" 1M && limit "$mnt/d" none && [ -z "$(attribute quota "$mnt/d")" ] && limit "$mnt/d" 7M && rm "$mnt/d/big"
}

# Whoever owns the folder may not raise its limit.
whose()
{
    local as='setpriv --reuid 65534 --regid 65534 --clear-groups'
    umount_it && mount_it -o allow_other && chmod 711 "$work" && chown 65534 "$mnt/d" && fails 'Operation not permitted' $as setfattr -n user.varve.quota -v 1T "$mnt/d" &&
        fails 'Operation not permitted' $as setfattr -x user.varve.quota "$mnt/d" && [ "$($as getfattr --only-values -n user.varve.quota "$mnt/d" 2>/dev/null)" = 7340032 ]
}

lasts()
{
    local used pid
    used=$(attribute quota.used "$mnt/d") && remount && [ "$(attribute quota "$mnt/d")" = 7340032 ] && [ "$(attribute quota.used "$mnt/d")" = "$used" ] &&
        fill "$mnt/d/c" 20 && pid=$(daemons) && kill -9 "$pid" && "$varvefs" umount "$mnt" 2>/dev/null && mount_it &&
        [ "$(attribute quota.used "$mnt/d")" = $((used + 20 * 65536)) ] && umount_it && is_clean && mount_it && rm -r "$mnt/d" && umount_it && is_clean
}

check 'a volume is made and mounted' eval 'mkfs -q && mount_it'
check 'a limit is set, and df tells it' set_and_told
check 'it holds, and deleting makes room' held
check 'mv and ln, in and out' moved
check 'a folder with contents, in use, gets one' taken_over
check 'what makes no sense is refused' refused
check 'it is changed and taken away' taken_away
check 'only the owner of the mounted folder and root' whose
check 'it lasts, and is exact after a kill' lasts
# The volume as a whole: what it takes on disk.
size_of_the_volume()
{
    rm -rf "$volume" && mkfs -q && mount_it -o size=200M,memtable=4M,set=disk.reserve=16M && df_says size "$mnt" 204800 || return
    fails 'No space left on device' dd if=/dev/urandom of="$mnt/big" bs=1M count=300 conv=fsync status=none
    [ "$(du -sm "$volume" | cut -f1)" -le 205 ] && [ "$(stat -c %s "$mnt/big")" -gt 100000000 ] && rm "$mnt/big" && "$varvefs" compact "$mnt" &&
        dd if=/dev/urandom of="$mnt/again" bs=1M count=100 conv=fsync status=none && "$varvefs" config "$mnt" disk.limit=400M && df_says size "$mnt" 409600 &&
        dd if=/dev/urandom of="$mnt/more" bs=1M count=150 conv=fsync status=none && umount_it && is_clean && mount_it -o size=100M,set=disk.reserve=16M &&
        [ "$(sha256sum <"$mnt/more" | wc -c)" -gt 60 ] && df_says avail "$mnt" 0 && rm "$mnt/more" "$mnt/again" && "$varvefs" compact "$mnt" && echo x >"$mnt/x" && sync &&
        umount_it && refuses 2 "'x' is not a size" "$varvefs" mount -o size=x "$volume" "$mnt"
}

check 'a size for the volume' size_of_the_volume
check 'no daemon is left' test -z "$(daemons)"
finish
