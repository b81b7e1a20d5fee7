#!/bin/bash
# test_clone.sh: a writable volume at once, of a mount, of a snapshot, of a volume that is not mounted; and what was done in one is sent to
# the other.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

clone=$work/clone second=$work/second shots=$mnt/.varve/snapshots
mkdir -p "$second"

fill()
{
    mkdir "$mnt/tree" && local i && for i in {1..100}; do echo "$i $RANDOM" >"$mnt/tree/$i" || return; done && head -c 5000000 /dev/urandom >"$mnt/tree/random"
}

of_mount()
{
    local before after
    before=$(df --output=used -k "$work" | tail -1) && "$varvefs" clone --json "$mnt" "$clone" | grep -q '"copied_files": 0' && after=$(df --output=used -k "$work" | tail -1) &&
        [ $((after - before)) -lt 4000 ] && "$varvefs" mount "$clone" "$second" && same "$mnt/tree" "$second/tree" && echo own >"$second/own" && rm "$second/tree/1" &&
        [ ! -e "$mnt/own" ] && [ -e "$mnt/tree/1" ] && "$varvefs" umount "$second" && "$varvefs" fsck "$clone"
}

of_snapshot()
{
    "$varvefs" clone -q "$shots/one" "$work/first" && "$varvefs" mount "$work/first" "$second" && same "$second/tree" "$shots/one/tree" && ! [ -e "$second/late" ] &&
        [ "$(ls "$second/.varve/snapshots")" = one ] && touch "$second/x" && "$varvefs" umount "$second" && "$varvefs" clone -q "$mnt@one" "$work/again" && "$varvefs" fsck "$work/again"
}

refused()
{
    local there=/dev/shm/varve-clone.$$ status
    refuses 1 "no snapshot 'none'" "$varvefs" clone "$mnt@none" "$work/x" && refuses 1 'volume in it already' "$varvefs" clone "$mnt" "$clone" &&
        refuses 1 'within the volume' "$varvefs" clone "$mnt" "$volume/x" && refuses 1 'above it does not exist' "$varvefs" clone "$mnt" "$work/none/x" || return
    [ "$(stat -c %d /dev/shm)" != "$(stat -c %d "$work")" ] || return 0
    refuses 1 'would be a copy' "$varvefs" clone "$mnt" "$there"
    status=$?
    [ ! -e "$there" ] && return $status
}

# What was done in the clone comes back to the first.
sent_back()
{
    umount_it && "$varvefs" clone -q "$volume@one" "$work/branch" && "$varvefs" mount "$work/branch" "$second" && echo done >"$second/tree/2" && rm "$second/tree/3" &&
        "$varvefs" snapshot create "$second" work && "$varvefs" send --from=one "$second@work" >"$work/stream" && "$varvefs" umount "$second" &&
        refuses 1 '--force undoes' "$varvefs" receive --input="$work/stream" "$volume" && "$varvefs" receive --force --input="$work/stream" "$volume" && is_clean && mount_it &&
        [ "$(cat "$mnt/tree/2")" = done ] && [ ! -e "$mnt/tree/3" ] && [ ! -e "$mnt/late" ] && [ -d "$shots/work" ]
}

check 'mkfs, mount, fill' eval 'mkfs && mount_it && fill'
check 'of a mount that is in use' of_mount
check 'of a snapshot' eval 'mkdir "$shots/one" && echo late >"$mnt/late" && of_snapshot'
check 'what is refused' refused
check 'of a volume that is not mounted, and what was done there' sent_back
check 'umount, fsck' eval 'umount_it && is_clean'
finish
