#!/bin/bash
# test_checkpoint.sh: a second volume of a mount that is in use, and of a volume that is not mounted: it has what was written before, goes
# its own way, and a half-made one is refused.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

copy=$work/copy second=$work/second
mkdir -p "$second"

fill()
{
    mkdir -p "$mnt/tree/deep" && local i && for i in {1..200}; do echo "$i $RANDOM" >"$mnt/tree/$i" || return; done &&
        head -c 5000000 /dev/urandom >"$mnt/tree/deep/random" && cp -a "$mnt/tree" "$work/before"
}

uuid_of()
{
    "$varvefs" stat --json "$1" | sed -n 's/.*"uuid": "\([0-9a-f-]*\)".*/\1/p'
}

# Figures of what was made, and nothing copied.
make_checkpoint()
{
    "$varvefs" checkpoint --json "$@" >"$work/json" && grep -q '"copied_files": 0' "$work/json" && ! grep -q '"linked_files": 0' "$work/json"
}

# What was just written, and is in the kernel's memory still, is in it.
live()
{
    echo late >"$mnt/late" && make_checkpoint "$mnt" "$copy" && echo later >"$mnt/later" && rm -r "$mnt/tree"
}

own_uuid()
{
    local one two three
    one=$(uuid_of "$mnt") two=$(uuid_of "$copy") three=$(sed -n 's/.*"uuid": "\([0-9a-f-]*\)".*/\1/p' "$work/json")
    [ -n "$one" ] && [ -n "$two" ] && [ "$one" != "$two" ] && [ "$two" = "$three" ]
}

both_mounted()
{
    "$varvefs" mount "$copy" "$second" && [ "$(uuid_of "$second")" = "$(uuid_of_json)" ] && same "$second/tree" "$work/before" &&
        [ "$(cat "$second/late")" = late ] && [ ! -e "$second/later" ] && [ ! -e "$mnt/tree" ] && echo own >"$second/own" && [ ! -e "$mnt/own" ] &&
        "$varvefs" scrub "$second" && "$varvefs" scrub "$mnt" && "$varvefs" umount "$second"
}

uuid_of_json()
{
    sed -n 's/.*"uuid": "\([0-9a-f-]*\)".*/\1/p' "$work/json"
}

# While writers go on: what is there of each file is a beginning of it.
under_load()
{
    local i pid
    for i in {1..2000}; do echo "line $i" >>"$mnt/growing" || break; done &
    pid=$!
    for i in 1 2 3; do
        "$varvefs" checkpoint -q "$mnt" "$work/load$i" || return
    done
    wait $pid || return
    for i in 1 2 3; do
        "$varvefs" fsck "$work/load$i" && "$varvefs" mount -r "$work/load$i" "$second" || return
        [ ! -e "$second/growing" ] || cmp -n "$(stat -c %s "$second/growing")" "$second/growing" "$mnt/growing" || return
        "$varvefs" umount "$second" || return
    done
}

of_a_snapshot()
{
    "$varvefs" snapshot create "$mnt" monday && echo after >"$mnt/late" && make_checkpoint --snapshot=monday "$mnt" "$work/monday" &&
        "$varvefs" mount "$work/monday" "$second" && [ "$(cat "$second/late")" = late ] && [ "$(ls "$second/.varve/snapshots")" = monday ] &&
        "$varvefs" umount "$second" && "$varvefs" fsck "$work/monday"
}

of_a_volume()
{
    make_checkpoint "$volume" "$work/offline" && "$varvefs" fsck "$work/offline" && "$varvefs" fsck "$volume" &&
        [ "$(uuid_of "$work/offline")" != "$(uuid_of "$volume")" ]
}

half_made()
{
    touch "$copy/INCOMPLETE" && refuses 1 'not finished' "$varvefs" mount "$copy" "$second" && refuses 1 'not finished' "$varvefs" stat "$copy" &&
        refuses 8 'not finished' "$varvefs" salvage -y "$copy" && rm "$copy/INCOMPLETE" && "$varvefs" fsck "$copy"
}

# The daemon makes folders with its own rights, so others may not have it do so.
only_for_the_owner()
{
    chmod 755 "$work" && chown 65534 "$mnt" && local status=0
    setpriv --reuid=65534 --regid=65534 --clear-groups setfattr -n user.varve.checkpoint -v "$work/stolen" "$mnt/.varve/snapshots" && status=1
    chown 0 "$mnt" && [ $status = 0 ] && [ ! -e "$work/stolen" ]
}

attribute_is_not_listed()
{
    ! getfattr -d -m - "$mnt/.varve/snapshots" 2>/dev/null | grep -q checkpoint
}

check 'a volume' mkfs
check 'is mounted' mount_it -o allow_other
check 'is filled' fill
check 'a checkpoint of a mount in use' live
check 'it has a uuid of its own' own_uuid
check 'both are mounted, and go their own ways' both_mounted
check 'checkpoints while a program writes' under_load
check 'a checkpoint of a snapshot' of_a_snapshot
check 'a folder that is not empty' refuses 1 'a varvefs volume in it already' "$varvefs" checkpoint "$mnt" "$copy"
check 'a folder inside the mount' refuses 1 'within the mount' "$varvefs" checkpoint "$mnt" "$mnt/inside"
check 'a folder inside the volume' refuses 1 'within the volume' "$varvefs" checkpoint "$mnt" "$volume/inside"
check 'a folder above which there is none' refuses 1 'above it does not exist' "$varvefs" checkpoint "$mnt" "$work/none/copy"
check 'no such snapshot' refuses 1 'no snapshot' "$varvefs" checkpoint --snapshot=none "$mnt" "$work/nothing"
check 'nothing is left of that' test ! -e "$work/nothing"
check 'not for others' only_for_the_owner
check 'its attribute is not listed' attribute_is_not_listed
check 'is taken down' umount_it
check 'a checkpoint of a volume that is not mounted' of_a_volume
check 'a checkpoint that was not finished is refused' half_made
finish
