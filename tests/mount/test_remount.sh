#!/bin/bash
# test_remount.sh: everything is there after each way in which a mount can end.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

round=0
# Adds to the tree on the mount and to its copy beside it, and removes a little from both.
work_on()
{
    local i new=$work/copy/round$((++round)) old=round$((round - 2))
    mkdir "$new" && for i in {1..30}; do
        head -c $((RANDOM * 3)) /dev/urandom >"$new/$i" || return
    done
    echo $round >>"$work/copy/log" && cp -a "$new" "$mnt/" && cp -p "$work/copy/log" "$mnt/log" &&
        { [ $round -lt 3 ] || for i in {1..20}; do rm "$work/copy/$old/$i" "$mnt/$old/$i" || return; done; } &&
        { [ $round -lt 3 ] || touch -d 2001-01-01 "$work/copy/$old" "$mnt/$old"; }
}

unmounted()
{
    local _
    for _ in {1..200}; do
        [ -n "$(daemons)" ] || ! is_mounted && [ -z "$(daemons)" ] && return
        sleep 0.05
    done
    echo 'the daemon has not ended'
    return 1
}

again()
{
    mount_it && same "$mnt" "$work/copy"
}

signal()
{
    kill -"$1" "$(daemons)" && unmounted && ! is_mounted
}

by_fusermount()
{
    fusermount3 -u "$mnt" && unmounted
}

by_umount()
{
    umount "$mnt" && unmounted
}

# A program still holds a file open that it has written to: all that it wrote before the signal is there.
busy()
{
    local status
    exec 8>>"$mnt/log" && echo busy >&8 && echo busy >>"$work/copy/log" && touch -r "$mnt/log" "$work/copy/log" && signal TERM
    status=$?
    ! echo more >&8
    exec 8>&- 2>/dev/null
    return $status
}

lazily()
{
    local status
    exec 8>>"$mnt/log" && fusermount3 -uz "$mnt" && ! is_mounted && [ -n "$(daemons)" ] && echo lazy >&8 && echo lazy >>"$work/copy/log" &&
        touch -r "$work/copy/log" /proc/self/fd/8
    status=$?
    exec 8>&-
    [ $status = 0 ] && unmounted
}

killed()
{
    kill -KILL "$(daemons)" && unmounted_dead && "$varvefs" umount "$mnt"
}

unmounted_dead()
{
    local _
    for _ in {1..100}; do [ -n "$(daemons)" ] || return 0; sleep 0.05; done
    return 1
}

# A volume moved elsewhere and copied is the same volume.
moved()
{
    umount_it && mv "$volume" "$work/elsewhere" && cp -a "$work/elsewhere" "$volume" && rm -r "$work/elsewhere" && again
}

two_at_once()
{
    mkdir "$work/mnt2" && "$varvefs" mkfs "$work/volume2" && "$varvefs" mount "$work/volume2" "$work/mnt2" && cp -a "$mnt"/. "$work/mnt2" &&
        same "$mnt" "$work/mnt2" && "$varvefs" umount "$work/mnt2" && same "$mnt" "$work/copy" && "$varvefs" fsck "$work/volume2"
}

# Mounting inside of a mount.
nested()
{
    mkdir "$mnt/inner" && "$varvefs" mkfs "$mnt/inner.volume" && "$varvefs" mount "$mnt/inner.volume" "$mnt/inner" && cp -a "$work/copy" "$mnt/inner/copy" &&
        "$varvefs" umount "$mnt/inner" && "$varvefs" mount "$mnt/inner.volume" "$mnt/inner" && same "$mnt/inner/copy" "$work/copy" &&
        "$varvefs" umount "$mnt/inner" && rmdir "$mnt/inner" && "$varvefs" fsck "$mnt/inner.volume" && rm -r "$mnt/inner.volume"
}

# In a namespace of mounts that has a copy of ours, an unmount elsewhere does not end the daemon, a signal does.
other_namespace()
{
    local pid
    unshare -m --propagation private sleep 60 &
    pid=$!
    sleep 0.3
    signal TERM
    local status=$?
    kill $pid
    return $status
}

as_user()
{
    local as='setpriv --reuid 65534 --regid 65534 --clear-groups' dir status mode
    command -v fusermount3 >/dev/null && [ -u "$(command -v fusermount3)" ] || { echo 'skipped: no fusermount3'; return 0; }
    mode=$(stat -c %a /dev/fuse)
    chmod 711 "$work" && chmod 666 /dev/fuse && mkdir "$work/user" && chown 65534 "$work/user" && dir=$work/user &&
        $as "$varvefs" mkfs "$dir/v" && $as mkdir "$dir/m" && $as "$varvefs" mount "$dir/v" "$dir/m" && $as sh -c "echo mine >'$dir/m/mine'" &&
        $as mkdir "$dir/m/.varve/snapshots/s" && [ "$($as stat -c '%u %g' "$dir/m/mine")" = '65534 65534' ] && $as "$varvefs" umount "$dir/m" &&
        $as "$varvefs" mount "$dir/v" "$dir/m" && [ "$($as cat "$dir/m/.varve/snapshots/s/mine")" = mine ] && $as "$varvefs" umount "$dir/m" &&
        refuses 1 'user_allow_other' $as "$varvefs" mount -o allow_other "$dir/v" "$dir/m" && $as "$varvefs" fsck "$dir/v"
    status=$?
    chmod "$mode" /dev/fuse
    return $status
}

mkdir "$work/copy"
check 'mkfs, mount' eval 'mkfs && mount_it'
for way in umount_it by_fusermount by_umount 'signal TERM' 'signal INT' 'signal HUP' killed; do
    check "work" work_on
    check "end it: $way" $way
    check "mount again: all is there" again
done
check 'a signal while a file is open' busy
check 'mount again: all is there' again
check 'a lazy unmount' lazily
check 'mount again: all is there' again
check 'a signal while another namespace has the mount' other_namespace
check 'mount again: all is there' again
check 'the volume moves' moved
check 'two mounts' two_at_once
check 'a mount in a mount' nested
check 'as a user who is not root' as_user
check 'umount' umount_it
check 'fsck: clean' is_clean
check 'no daemon is left' test -z "$(daemons)"
finish
