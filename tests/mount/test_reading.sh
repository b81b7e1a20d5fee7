#!/bin/bash
# test_reading.sh: commands that read the snapshots of a mounted volume: what one that was killed leaves behind is removed by the next, or by the next
# mount, and nothing of one that goes on.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

folders()
{
    find "$work" -mindepth 1 -maxdepth 1 -name '.varvefs-reading-*' -type d
}

left()
{
    find "$work" -mindepth 1 -maxdepth 1 -name '.varvefs-*'
}

# begin NAME: a send that stops half way, since nobody reads its pipe; its process is $pid, its folder $folder.
begin()
{
    local before _
    before=$(folders)
    mkfifo "$work/$1" && exec {hold}<>"$work/$1" || return
    "$varvefs" send "$mnt@s" >"$work/$1" 2>"$work/$1.err" {hold}<&- &
    pid=$!
    for _ in {1..200}; do
        folder=$(comm -13 <(sort <<<"$before") <(folders | sort))
        [ -n "$folder" ] && [ -e "$folder/CURRENT" ] && [ ! -e "$folder/INCOMPLETE" ] && return
        sleep 0.05
    done
    cat "$work/$1.err"
    return 1
}

filled()
{
    mkfs && mount_it && head -c 3000000 /dev/urandom >"$mnt/data" && "$varvefs" snapshot create "$mnt" s && "$varvefs" send "$mnt@s" >"$work/whole" &&
        [ -z "$(left)" ]
}

killed_one()
{
    begin "$1" && kill -KILL "$pid" && { wait "$pid" || true; } && [ -d "$folder" ] && [ -e "$folder.lock" ]
}

next_removes()
{
    local lives
    begin one && lives=$folder && lives_pid=$pid && killed_one two && "$varvefs" diff "$mnt@s" && [ ! -e "$folder" ] && [ ! -e "$folder.lock" ] &&
        [ -d "$lives" ] && [ "$(folders)" = "$lives" ]
}

# The one that went on meanwhile sends all of it.
goes_on()
{
    head -c "$(stat -c %s "$work/whole")" <"$work/one" >"$work/sent" && wait "$lives_pid" && cmp "$work/whole" "$work/sent" && [ -z "$(left)" ]
}

mount_removes()
{
    killed_one three && umount_it && [ -n "$(left)" ] && mount_it -r && [ -n "$(left)" ] && remount && [ -z "$(left)" ]
}

check 'mkfs, mount, a snapshot, sent' filled
check 'the next command removes what one left that was killed' next_removes
check 'and nothing of one that goes on' goes_on
check 'so does the next mount, if it may write' mount_removes
check 'umount' umount_it
check 'fsck: clean' is_clean
finish
