#!/bin/bash
# test_history.sh: time as a path: with -o history=, .varve/at has the tree of each moment, for as long as it is asked for.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

at=$mnt/.varve/at

now()
{
    date -u +%Y-%m-%dT%H:%M:%S
}

fill()
{
    mkdir -p "$mnt/tree/deep" && local i && for i in {1..100}; do echo "$i $RANDOM" >"$mnt/tree/$i" || return; done && ln "$mnt/tree/1" "$mnt/tree/deep/link" &&
        head -c 3000000 /dev/urandom >"$mnt/tree/deep/random" && cp -a "$mnt/tree" "$work/before"
}

# The first moment is kept when it is mounted; a look before that must not be remembered.
appears()
{
    local _
    for _ in {1..100}; do
        [ -d "$at/$(now)" ] && return
        sleep 0.1
    done
    return 1
}

# A time is a second: nothing else may happen in it. No snapshot was taken, nothing of it is to be seen among them, and everything is changed.
what_was()
{
    ! ls "$at" 2>/dev/null && remount -o history=2h && appears && [ -z "$(ls "$mnt/.varve/snapshots")" ] && sleep 1.1 && time=$(now) && sleep 1.1 && echo changed >"$mnt/tree/1" &&
        rm -r "$mnt/tree/deep" && mv "$mnt/tree" "$mnt/renamed" && same "$at/$time/tree" "$work/before" && [ ! -e "$at/$time/renamed" ] &&
        [ "$(ls "$at" | wc -l)" = 1 ] && same "$at/$(ls "$at")/tree" "$work/before" && ls "$mnt/.varve" | grep -qx at
}

restored()
{
    cp -a "$at/$time/tree/deep" "$mnt/deep" && cmp "$mnt/deep/random" "$work/before/deep/random" && fails 'Read-only' touch "$at/$time/new" &&
        ! mkdir "$at/x" 2>/dev/null && [ ! "$at/$time/tree/2" -ef "$mnt/renamed/2" ]
}

no_such_time()
{
    ! [ -e "$at/2001-01-01T00:00" ] && ! [ -e "$at/2999-01-01T00:00" ] && ! [ -e "$at/noon" ] && ! [ -e "$at/${time:0:13}" ]
}

kept_and_forgotten()
{
    remount -o history=2h && same "$at/$time/tree" "$work/before" && kill -KILL "$(daemons)" && sleep 0.3 && mount_it -o history=24h@5m && same "$at/$time/tree" "$work/before" && umount_it &&
        mount_it -r && same "$at/$time/tree" "$work/before" && remount && sleep 0.5 && ! [ -e "$at" ] && ! [ -e "$at/$time" ]
}

refused()
{
    umount_it && refuses 2 "'often' is no time to keep history for; write DURATION" "$varvefs" mount -o history=often "$volume" "$mnt" &&
        refuses 2 'at most 4000' "$varvefs" mount -o history=1y@1m "$volume" "$mnt" && refuses 2 "'1h@2h' is no time" "$varvefs" mount -o history=1h@2h "$volume" "$mnt"
}

time=
check 'mkfs, mount, fill' eval 'mkfs && mount_it && fill'
check 'what was, without a snapshot' what_was
check 'is read and copied, and cannot be changed' restored
check 'times that there are none of' no_such_time
check 'it stays while it is asked for' kept_and_forgotten
check 'what is refused' refused
check 'fsck: clean' is_clean
finish
