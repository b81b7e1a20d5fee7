#!/bin/bash
# test_rollback.sh: what has changed since a snapshot, mounting one, and going back to one, with the state before and without.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

second=$work/second
mkdir -p "$second"

fill()
{
    mkdir -p "$mnt/tree/deep" && local i && for i in {1..200}; do echo "$i $RANDOM" >"$mnt/tree/$i" || return; done &&
        head -c 5000000 /dev/urandom >"$mnt/tree/deep/random" && ln "$mnt/tree/1" "$mnt/tree/deep/link" && ln -s ../2 "$mnt/tree/deep/soft" &&
        setfattr -n user.x -v y "$mnt/tree/3" && chmod 600 "$mnt/tree/4" && touch -d 2001-01-01 "$mnt/tree/5" &&
        cp -a "$mnt/tree" "$work/before"
}

change()
{
    echo more >>"$mnt/tree/7" && mv "$mnt/tree/deep" "$mnt/tree/far" && rm "$mnt/tree/8" && echo new >"$mnt/tree/far/new" && chmod 400 "$mnt/tree/9" &&
        setfattr -n user.x -v z "$mnt/tree/3" && mv "$mnt/tree/10" "$mnt/tree/far/ten"
}

lists()
{
    "${@:2}" | LC_ALL=C sort >"$work/told" && diff "$work/told" <(printf '%s' "$1${1:+
}")
}

changes='+ /tree/far/new
- /tree/8
M /tree/3
M /tree/7
M /tree/9
R /tree/10 -> /tree/far/ten
R /tree/deep -> /tree/far'

backwards='+ /tree/8
- /tree/far/new
M /tree/3
M /tree/7
M /tree/9
R /tree/far -> /tree/deep
R /tree/far/ten -> /tree/10'

diff_of_mount()
{
    lists "$changes" "$varvefs" diff "$mnt@one" && lists "$changes" "$varvefs" diff "$mnt/tree@one" "$mnt" && "$varvefs" snapshot create "$mnt" two &&
        lists "$changes" "$varvefs" diff "$mnt@one" @two && lists "$backwards" "$varvefs" diff "$mnt/.varve/snapshots/two" "$mnt/.varve/snapshots/one/" &&
        lists "$changes" "$varvefs" diff "$volume@one" && [ -z "$(find "$work" -maxdepth 1 -name '.varvefs-*')" ]
}

diff_json()
{
    "$varvefs" diff --json "$mnt@one" @two | python3 -c '
import json, sys
text, decoder, found = sys.stdin.read(), json.JSONDecoder(), []
while text.strip():
    value, at = decoder.raw_decode(text.strip())
    text = text.strip()[at:]
    found.append(value)
assert len(found) == 7
assert {"change": "renamed", "path": "/tree/far", "from": "/tree/deep", "type": "folder"} in found
assert {"change": "changed", "path": "/tree/3", "type": "file", "data": False, "attributes": False, "xattrs": True} in found, found
'
}

diff_refusals()
{
    refuses 1 "no snapshot 'none'" "$varvefs" diff "$mnt@none" && refuses 2 'has no snapshot' "$varvefs" diff "$mnt" && refuses 1 'not of one volume' "$varvefs" diff "$mnt@one" "$work/other@x"
}

mount_snapshot()
{
    umount_it && mount_it -o snapshot=one && same "$mnt/tree" "$work/before" && fails 'Read-only' touch "$mnt/x" && fails 'Read-only' rmdir "$mnt/.varve/snapshots/one" &&
        [ "$(stat -c %i "$mnt/tree/1")" = "$inode" ] && umount_it && refuses 1 "no snapshot 'none'" "$varvefs" mount -o snapshot=none "$volume" "$mnt" &&
        refuses 2 "cannot be a snapshot's name" "$varvefs" mount -o snapshot=a/b "$volume" "$mnt" && mount_it -o snapshot=two,rw && [ -e "$mnt/tree/far/new" ] &&
        fails 'Read-only' touch "$mnt/x" && umount_it
}

rollback_keeping()
{
    "$varvefs" rollback --keep=kept "$volume" one && is_clean && mount_it && same "$mnt/tree" "$work/before" &&
        [ "$(ls "$mnt/.varve/snapshots" | sort | tr '\n' ' ')" = 'kept one two ' ] && [ -e "$mnt/.varve/snapshots/kept/tree/far/new" ] &&
        lists '' "$varvefs" diff "$mnt@one" && lists "$backwards" "$varvefs" diff "$mnt@kept" && umount_it
}

rollback_default_name()
{
    "$varvefs" rollback "$volume" kept && mount_it && [ -e "$mnt/tree/far/new" ] && [ "$(ls "$mnt/.varve/snapshots" | grep -c '^before-rollback-20')" = 1 ] && umount_it
}

rollback_for_good()
{
    "$varvefs" rollback --json --discard "$volume" one | grep -q '"snapshot": "one"' && is_clean && mount_it && same "$mnt/tree" "$work/before" &&
        [ "$(ls "$mnt/.varve/snapshots")" = one ] && echo on >"$mnt/on" && rm "$mnt/on" && umount_it && is_clean
}

rollback_refusals()
{
    mount_it && refuses 1 'take it down first' "$varvefs" rollback "$volume" one && umount_it && refuses 1 "no snapshot 'none'" "$varvefs" rollback "$volume" none &&
        refuses 1 "no snapshot 'none'" "$varvefs" rollback --discard "$volume" none && refuses 1 "'one' exists already" "$varvefs" rollback --keep=one "$volume" one &&
        refuses 2 "cannot be a snapshot's name" "$varvefs" rollback --keep=a/b "$volume" one && refuses 2 'exclude each other' "$varvefs" rollback --keep=a --discard "$volume" one &&
        [ "$("$varvefs" snapshot list --no-space "$volume" | wc -l)" = 1 ]
}

check 'a volume' mkfs
check 'another' "$varvefs" mkfs "$work/other"
check 'is mounted and filled' eval 'mount_it && fill'
check 'a snapshot' mkdir "$mnt/.varve/snapshots/one"
inode=$(stat -c %i "$mnt/tree/1")
check 'changes' change
check 'what has changed, of a mount' diff_of_mount
check 'the same as JSON' diff_json
check 'what cannot be compared' diff_refusals
check 'a snapshot is mounted' mount_snapshot
check 'what has changed, of a volume' lists "$changes" "$varvefs" diff "$volume@one" "$volume"
check 'going back, the state before is kept' rollback_keeping
check 'and forth again' rollback_default_name
check 'going back for good' rollback_for_good
check 'what is refused' rollback_refusals
check 'the snapshot is what it was' eval 'mount_it && same "$mnt/.varve/snapshots/one/tree" "$work/before" && umount_it'
finish
