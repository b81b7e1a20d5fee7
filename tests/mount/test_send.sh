#!/bin/bash
# test_send.sh: snapshots sent to other volumes, as a whole and what leads from one to the next; what is interrupted is gone on with, and
# what is damaged, or does not fit, changes nothing.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

copy=$work/copy second=$work/second shots=$mnt/.varve/snapshots
mkdir -p "$second"

fill()
{
    mkdir -p "$mnt/tree/deep" && local i && for i in {1..200}; do echo "$i $RANDOM" >"$mnt/tree/$i" || return; done &&
        head -c 5000000 /dev/urandom >"$mnt/tree/deep/random" && ln "$mnt/tree/1" "$mnt/tree/deep/link" && ln -s ../2 "$mnt/tree/deep/soft" &&
        setfattr -n user.x -v y "$mnt/tree/3" && chmod 600 "$mnt/tree/4" && touch -d 2001-01-01 "$mnt/tree/5" && mkfifo "$mnt/tree/pipe" &&
        truncate -s 5M "$mnt/tree/hole" && echo end >>"$mnt/tree/hole"
}

change()
{
    echo more >>"$mnt/tree/7" && mv "$mnt/tree/deep" "$mnt/tree/far" && rm "$mnt/tree/8" && head -c 2000000 /dev/urandom >"$mnt/tree/far/new" &&
        chmod 400 "$mnt/tree/9" && setfattr -n user.x -v z "$mnt/tree/3" && truncate -s 100 "$mnt/tree/far/random"
}

# equal SNAPSHOT: the copy's present, and its snapshot, are the tree of the snapshot.
equal()
{
    "$varvefs" fsck "$copy" && "$varvefs" mount -r "${@:2}" "$copy" "$second" && same "$shots/$1" "$second" && same "$shots/$1" "$second/.varve/snapshots/$1" &&
        "$varvefs" umount "$second"
}

whole()
{
    "$varvefs" send "$mnt@one" | "$varvefs" receive "$copy" && equal one && [ -z "$(find "$work" -maxdepth 1 -name '.varvefs-*' -o -name '*.receiving-*')" ]
}

# Far less than the whole.
what_changed()
{
    "$varvefs" send -q --from=one --output="$work/more" "$mnt@two" && [ "$(stat -c %s "$work/more")" -lt 2300000 ] && "$varvefs" receive --input="$work/more" "$copy" &&
        equal two && "$varvefs" receive --input="$work/more" "$copy" 2>&1 | grep -q "has it already, as snapshot 'two'"
}

# A file that programs still use, and that has no name any more, is not in it.
used_and_removed()
{
    echo used >"$mnt/used" && exec 7<"$mnt/used" && rm "$mnt/used" && "$varvefs" snapshot create "$mnt" three && exec 7<&- &&
        "$varvefs" send --from="$shots/two" "$shots/three" | "$varvefs" receive -q --name=drei "$copy" && "$varvefs" fsck "$copy" && "$varvefs" mount -o snapshot=drei "$copy" "$second" &&
        same "$shots/three" "$second" && "$varvefs" umount "$second" && "$varvefs" snapshot rename "$copy" drei three
}

interrupted_file()
{
    echo 'something else, of a length that a head of a stream has at least, which is some ninety bytes or more' >"$work/not" &&
            head -c 3000000 /dev/urandom >"$mnt/large" && mkdir "$shots/four" && "$varvefs" send -q --from=three --output="$work/four" "$mnt@four" && cp "$work/four" "$work/good" &&
        truncate -s 1500000 "$work/four" && "$varvefs" send -q --from=three --output="$work/four" "$mnt@four" && cmp "$work/four" "$work/good" &&
        "$varvefs" send --from=three --output="$work/four" "$mnt@four" 2>&1 | grep -q 'whole already' &&
        refuses 1 'not a stream that was interrupted' "$varvefs" send --from=two --output="$work/not" "$mnt@four"
}

interrupted_receiving()
{
    local token
    head -c 1200000 "$work/good" | "$varvefs" receive --partial="$work/part" "$copy" 2>"$work/told"
    [ $? = 3 ] && token=$(sed -n 's/.*--resume=\([^ ]*\) .*/\1/p' "$work/told") && [ -n "$token" ] && [ -s "$work/part" ] &&
        refuses 1 'not what goes on with' "$varvefs" receive --input="$work/more" --partial="$work/part" "$copy" &&
        "$varvefs" send --from=three --resume="$token" "$mnt@four" >"$work/rest" && [ "$(stat -c %s "$work/rest")" -lt 2500000 ] &&
        refuses 1 'receive both with --partial' "$varvefs" receive --input="$work/rest" "$copy" && "$varvefs" receive --partial="$work/part" "$copy" <"$work/rest" && [ ! -e "$work/part" ] && equal four
}

refused()
{
    local before
    before=$("$varvefs" snapshot list --no-space "$copy") && mkdir "$shots/five" && "$varvefs" send --from=four "$mnt@five" >"$work/five" &&
        head -c 200 "$work/five" >"$work/bad" && refuses 1 'is truncated' "$varvefs" receive --input="$work/bad" "$copy" &&
        head -c 1000000 "$work/all" >"$work/bad" && refuses 1 'is truncated' "$varvefs" receive --input="$work/bad" "$work/nothing" &&
        { head -c 150 "$work/five" && printf x && tail -c +152 "$work/five"; } >"$work/bad" && refuses 1 'was altered' "$varvefs" receive --input="$work/bad" "$copy" &&
        refuses 1 'not a stream' "$varvefs" receive --input=/etc/passwd "$copy" && "$varvefs" mkfs -q "$work/other" &&
        refuses 1 'of another volume' "$varvefs" receive --input="$work/five" "$work/other" && refuses 1 'not here' "$varvefs" receive --input="$work/early" "$copy" &&
        refuses 1 'needs all of it' "$varvefs" receive --input="$work/five" "$work/nothing" && [ ! -e "$work/nothing" ] &&
        refuses 1 'leads from nothing' "$varvefs" receive --input="$work/all" "$copy" && refuses 1 'take it down' "$varvefs" receive --input="$work/five" "$volume" &&
        refuses 2 "cannot be a snapshot's name" "$varvefs" receive --name=a/b --input="$work/five" "$copy" &&
        refuses 1 "another snapshot 'one'" "$varvefs" receive --name=one --input="$work/five" "$copy" &&
        refuses 1 "no snapshot 'none'" "$varvefs" send "$mnt@none" -o "$work/x" && refuses 1 'is not earlier' "$varvefs" send --from=five "$mnt@three" -o "$work/y" &&
        refuses 2 'has no snapshot' "$varvefs" send "$mnt" && [ "$before" = "$("$varvefs" snapshot list --no-space "$copy")" ] && equal four
}

changed_here()
{
    "$varvefs" mount "$copy" "$second" && echo local >"$second/local" && rm -r "$second/tree" && "$varvefs" umount "$second" &&
        refuses 1 '--force undoes' "$varvefs" receive --input="$work/five" "$copy" && "$varvefs" receive --force --input="$work/five" "$copy" && equal five
}

encrypted()
{
    echo secret >"$work/passphrase" && rm -rf "$copy" && "$varvefs" send "$mnt@two" | "$varvefs" receive --encrypt --passfile="$work/passphrase" "$copy" &&
        "$varvefs" send --from=two "$mnt@three" | "$varvefs" receive --passfile="$work/passphrase" "$copy" && "$varvefs" fsck --passfile="$work/passphrase" "$copy" &&
        "$varvefs" mount -o passfile="$work/passphrase" "$copy" "$second" && same "$shots/three" "$second" && "$varvefs" umount "$second" &&
        "$varvefs" send --passfile="$work/passphrase" "$copy@three" | "$varvefs" receive "$work/plain" && "$varvefs" mount -r "$work/plain" "$second" &&
        same "$shots/three" "$second" && "$varvefs" umount "$second"
}

check 'mkfs, mount, fill' eval 'mkfs && mount_it && fill'
check 'a snapshot' mkdir "$shots/one"
check 'is sent and received' whole
check 'changes, and another snapshot' eval 'change && mkdir "$shots/two"'
check 'what has changed is sent and received' what_changed
check 'without files that are used and have no name' used_and_removed
check 'writing a file is gone on with' interrupted_file
check 'receiving is gone on with' interrupted_receiving
"$varvefs" send --from=one "$mnt@three" >"$work/unused" && rm "$work/unused"
"$varvefs" snapshot create "$mnt" between && "$varvefs" snapshot create "$mnt" end && "$varvefs" send --from=between "$mnt@end" >"$work/early" && "$varvefs" send "$mnt@end" >"$work/all"
check 'what is truncated, altered or does not fit' refused
check 'what was changed in the copy' changed_here
check 'to an encrypted volume, and back' encrypted
check 'umount, fsck' eval 'umount_it && is_clean'
check 'of a volume that is not mounted' eval 'rm -rf "$copy" && "$varvefs" send -o "$work/offline" "$volume@five" && "$varvefs" receive --input="$work/offline" "$copy" && "$varvefs" fsck "$copy"'
finish
