#!/bin/bash
# test_snapshot.sh: snapshots by file tools and by the command: what was there stays, is read-only, and goes when it is dropped.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

shots=$mnt/.varve/snapshots

fill()
{
    mkdir -p "$mnt/tree/deep" && local i && for i in {1..300}; do echo "$i $RANDOM" >"$mnt/tree/$i" || return; done &&
        head -c 5000000 /dev/urandom >"$mnt/tree/deep/random" && ln "$mnt/tree/1" "$mnt/tree/deep/link" && ln -s ../2 "$mnt/tree/deep/soft" &&
        setfattr -n user.x -v y "$mnt/tree/3" && chmod 600 "$mnt/tree/4" && touch -d 2001-01-01 "$mnt/tree/5" &&
        cp -a "$mnt/tree" "$work/before"
}

hidden()
{
    ! ls -A "$mnt" | grep -q varve && [ -d "$mnt/.varve" ] && [ "$(ls "$mnt/.varve" | tr '\n' ' ')" = 'config metrics snapshots stats ' ] && [ -z "$(ls "$shots")" ] &&
        ! find "$mnt" -name .varve | grep .
}

change_everything()
{
    echo changed >"$mnt/tree/1" && truncate -s 10 "$mnt/tree/deep/random" && mv "$mnt/tree/2" "$mnt/tree/renamed" && chmod 777 "$mnt/tree/4" &&
        rm "$mnt/tree/3" && setfattr -n user.z -v w "$mnt/tree/5" && echo new >"$mnt/tree/new" && same "$shots/one/tree" "$work/before" &&
        rm -r "$mnt/tree" && same "$shots/one/tree" "$work/before"
}

# Nothing below a snapshot can be changed, and each attempt says so at once.
read_only()
{
    local f=$shots/one/tree
    fails 'Read-only' touch "$f/new" && fails 'Read-only' rm "$f/1" && fails 'Read-only' mkdir "$f/d" && fails 'Read-only' mv "$f/1" "$f/2" &&
        fails 'Read-only' chmod 777 "$f/1" && fails 'Read-only' chown 1 "$f/1" && fails 'Read-only' truncate -s 0 "$f/1" &&
        fails 'Read-only' sh -c "echo x >>'$f/1'" && fails 'Read-only' sh -c "echo x 1<>'$f/1'" && fails 'Read-only' touch -d 2001-01-01 "$f/1" &&
        fails 'Read-only' ln "$f/1" "$f/l" && fails 'Read-only' ln -s x "$f/l" && fails 'Read-only' setfattr -n user.a -v b "$f/1" &&
        fails 'Read-only' mkfifo "$f/p" && fails 'Read-only' rmdir "$f/deep" && fails 'Read-only' dd if=/dev/zero of="$f/1" count=1 conv=notrunc status=none &&
        ! mv "$f/1" "$mnt/stolen" 2>/dev/null && ! ln "$f/1" "$mnt/stolen" 2>/dev/null && same "$f" "$work/before"
}

control_folder()
{
    ! touch "$mnt/.varve/x" 2>/dev/null && ! mkdir "$mnt/.varve/x" 2>/dev/null && ! touch "$shots/x" 2>/dev/null && ! rmdir "$shots" 2>/dev/null &&
        ! mv "$mnt/.varve" "$mnt/v" 2>/dev/null && ! rm -rf "$mnt/.varve" 2>/dev/null && ! mkdir "$mnt/.varve" 2>/dev/null && [ -d "$shots" ]
}

different_inodes()
{
    mkdir "$mnt/again" && cp -a "$shots/one/tree" "$mnt/again/" && same "$mnt/again/tree" "$work/before" &&
        [ "$(stat -c %i "$shots/one")" != "$(stat -c %i "$mnt")" ] && [ ! "$shots/one/again" -ef "$mnt/again" ] && mkdir "$shots/two" &&
        [ ! "$shots/two/again/tree/1" -ef "$mnt/again/tree/1" ] && [ ! "$shots/two/again/tree/1" -ef "$shots/one/tree/1" ] &&
        [ "$shots/two/again/tree/1" -ef "$shots/two/again/tree/deep/link" ]
}

rename_and_remove()
{
    fails 'File exists' mkdir "$shots/one" && mv "$shots/two" "$shots/three" && [ ! -e "$shots/two" ] && [ "$(ls "$shots" | sort | tr '\n' ' ')" = 'one three ' ] &&
        same "$shots/three/again/tree" "$work/before" && rmdir "$shots/three" && [ "$(ls "$shots")" = one ] && [ ! -e "$shots/three" ] &&
        fails 'No such file' rmdir "$shots/three"
}

# The data of a file that is still being written, of which no program has asked for a sync, is in the snapshot.
unwritten_data()
{
    head -c 100M /dev/urandom >"$work/big" && exec 8>"$mnt/big" && dd if="$work/big" bs=1M status=none >&8 && mkdir "$shots/busy" &&
        exec 8>&- && rm "$mnt/big" && cmp "$work/big" "$shots/busy/big" && rmdir "$shots/busy"
}

# The same with a mapping.
unwritten_mapping()
{
    python3 - "$mnt" <<'END'
import mmap, os, sys
root = sys.argv[1]
fd = os.open(root + "/mapped", os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 1 << 20)
m = mmap.mmap(fd, 1 << 20)
for i in range(0, 1 << 20, 4096):
    m[i:i + 4] = i.to_bytes(4, "little")
os.mkdir(root + "/.varve/snapshots/mapped")
for i in range(0, 1 << 20, 4096):
    m[i:i + 4] = b"....";
data = open(root + "/.varve/snapshots/mapped/mapped", "rb").read()
assert len(data) == 1 << 20
assert all(data[i:i + 4] == i.to_bytes(4, "little") for i in range(0, 1 << 20, 4096))
os.rmdir(root + "/.varve/snapshots/mapped")
END
}

# While others write without end: each snapshot has, of each writer, all that had been written when it was asked for. What is
# written meanwhile is there or not, page by page, as the kernel writes it back: a page that is on its way is not sent again
# before the next one. It is never anything else than what was written, or zeros where a page is missing.
under_load()
{
    local i pids=() status=0
    mkdir "$mnt/load" || return
    for i in 1 2 3 4; do
        (
            n=0
            while :; do echo $((n++)); done >"$mnt/load/$i"
        ) &
        pids+=($!)
    done
    for i in {1..10}; do
        sleep 0.1
        stat -c %s "$mnt"/load/[1-4] >"$work/before$i"
        mkdir "$shots/load$i" || status=1
    done
    kill -KILL "${pids[@]}"
    wait "${pids[@]}" 2>/dev/null
    for i in {1..10}; do
        python3 - "$shots/load$i/load" "$work/before$i" <<'END' || status=1
import sys
before = [int(line) for line in open(sys.argv[2])]
for n in range(1, 5):
    name = f"{sys.argv[1]}/{n}"
    data, least = open(name, "rb").read(), before[n - 1]
    assert len(data) >= least, f"{name}: {len(data)} bytes, {least} had been written"
    lines, length = [], 0
    while length < len(data):
        lines.append(b"%d\n" % len(lines))
        length += len(lines[-1])
    written = b"".join(lines)
    assert data[:least] == written[:least], name
    assert all(a == b or a == 0 for a, b in zip(data[least:], written[least:])), name
END
        rmdir "$shots/load$i" || status=1
    done
    rm -r "$mnt/load"
    return $status
}

many()
{
    local i
    for i in {1..100}; do echo "$i" >"$mnt/counter" && mkdir "$shots/n$i" || return; done
    for i in {1..100}; do [ "$(cat "$shots/n$i/counter")" = "$i" ] || return; done
    [ "$(ls "$shots" | grep -c '^n')" = 100 ] && rmdir "$shots"/n* && [ "$(ls "$shots")" = one ]
}

command_on_mount()
{
    "$varvefs" snapshot create "$mnt" a b && [ -d "$shots/a" ] && "$varvefs" snapshot create "$volume" c && mkdir -p "$mnt/again/sub" &&
        (cd "$mnt/again/sub" && "$varvefs" snapshot rename . c d) && "$varvefs" snapshot list "$mnt" && "$varvefs" snapshot list "$mnt" >"$work/list" &&
        [ "$(sed 's/.* //' "$work/list" | tr '\n' ' ')" = 'one a b d ' ] && grep -qE "^$(date +%Y)-[0-9-]+ [0-9:]+ +[0-9.]+ (bytes|[KMG]iB)  a$" "$work/list" &&
        "$varvefs" snapshot list --no-space "$mnt" | grep -qE "^$(date +%Y)-[0-9-]+ [0-9:]+  a$" &&
        "$varvefs" snapshot list --json "$mnt" | python3 -c 'import json, sys; assert [s["name"] for s in json.load(sys.stdin)] == ["one", "a", "b", "d"]' &&
        refuses 1 "snapshot 'a' exists already" "$varvefs" snapshot create "$mnt" a && refuses 1 "there is no snapshot 'x'" "$varvefs" snapshot delete "$mnt" x &&
        refuses 1 "there is no snapshot 'x'" "$varvefs" snapshot rename "$mnt" x y && refuses 1 "snapshot 'b' exists already" "$varvefs" snapshot rename "$mnt" a b &&
        refuses 2 "'x/y' cannot be a snapshot's name" "$varvefs" snapshot create "$mnt" x/y &&
        refuses 2 "'..' cannot be a snapshot's name" "$varvefs" snapshot delete "$mnt" .. &&
        refuses 1 'at most 255 bytes' "$varvefs" snapshot create "$mnt" "$(printf 'n%.0s' {1..256})" &&
        "$varvefs" snapshot create "$mnt" "$(printf 'n%.0s' {1..255})" && "$varvefs" snapshot delete "$mnt" "$(printf 'n%.0s' {1..255})" &&
        "$varvefs" snapshot delete "$mnt" a b && [ "$(ls "$shots" | tr '\n' ' ')" = 'd one ' ] && refuses 1 'not a varvefs volume' "$varvefs" snapshot list "$work"
}

command_on_volume()
{
    umount_it && "$varvefs" snapshot create "$volume" e && "$varvefs" snapshot rename "$volume" d f && refuses 1 'exists already' "$varvefs" snapshot create "$volume" e &&
        refuses 1 "there is no snapshot 'd'" "$varvefs" snapshot delete "$volume" d && refuses 1 "exists already" "$varvefs" snapshot rename "$volume" e f &&
        [ "$("$varvefs" snapshot list "$volume" | sed 's/.* //' | tr '\n' ' ')" = 'one f e ' ] && "$varvefs" snapshot delete "$volume" e f && is_clean && mount_it &&
        same "$shots/one/tree" "$work/before" && [ "$(ls "$shots")" = one ]
}

# A file, and a tree with all that it has, come back as they were.
restore()
{
    mkdir "$mnt/restored" && cp -a "$shots/one/tree" "$mnt/restored/" && same "$mnt/restored/tree" "$work/before" &&
        truncate -s 10M "$mnt/holes" && echo end >>"$mnt/holes" && cp -p "$mnt/holes" "$work/holes" && mkdir "$shots/holes" && rm "$mnt/holes" &&
        cp -a "$shots/holes/holes" "$mnt/" && cmp "$mnt/holes" "$work/holes" && [ "$(stat -c %b "$mnt/holes")" -lt 2000 ] && rmdir "$shots/holes" &&
        rm -r "$mnt/restored" "$mnt/holes"
}

# What only a snapshot has, is counted as what it frees; what two have is not.
frees()
{
    head -c 20M /dev/urandom >"$mnt/large" && mkdir "$shots/s1" && rm "$mnt/large" && "$varvefs" snapshot list --json "$mnt" >"$work/json" &&
        python3 - "$work/json" <<'END' && "$varvefs" snapshot create "$mnt" s2 && rmdir "$shots/s1" "$shots/s2"
import json, sys
frees = {s["name"]: s["frees_bytes"] for s in json.load(open(sys.argv[1]))}
assert 20 << 20 <= frees["s1"] <= 21 << 20, frees
END
}

permissions()
{
    local as='setpriv --reuid 65534 --regid 65534 --clear-groups'
    chmod 711 "$work" && remount -o allow_other && fails 'Permission denied' $as mkdir "$shots/mine" && fails 'Permission denied' $as rmdir "$shots/one" &&
        $as cat "$shots/one/tree/1" && fails 'Permission denied' $as cat "$shots/one/tree/4"
}

creation_time()
{
    local before after created
    before=$(date +%s) && mkdir "$shots/timed" && after=$(date +%s) && created=$(getfattr --only-values --absolute-names -n user.varve.created "$shots/timed") &&
        created=${created%.*} && [ "$created" -ge "$before" ] && [ "$created" -le "$after" ] && ! getfattr -d "$shots/timed" | grep varve && rmdir "$shots/timed"
}

# Under a mount that is mounted over, the daemon cannot fetch what the kernel holds: no snapshot is better than a wrong one.
shadowed()
{
    exec 6<"$mnt" && mount -t tmpfs none "$mnt" && ! mkdir /proc/self/fd/6/.varve/snapshots/wrong
    local status=$?
    exec 6<&-
    umount "$mnt" && [ $status = 0 ] && [ ! -e "$shots/wrong" ] && mkdir "$shots/right" && rmdir "$shots/right"
}

space_returns()
{
    local full after _
    head -c 60M /dev/urandom >"$mnt/large" && mkdir "$shots/large" && rm "$mnt/large" && umount_it && mount_it && full=$(du -sm "$volume" | cut -f1) &&
        [ "$full" -ge 60 ] && rmdir "$shots/large" && for _ in {1..100}; do
        after=$(du -sm "$volume" | cut -f1)
        [ "$after" -gt $((full - 55)) ] || return 0
        sleep 0.2
    done
    echo "$full MB before, $after MB after the snapshot was dropped"
    return 1
}

check 'mkfs, mount' eval 'mkfs && mount_it'
check 'fill' fill
check '.varve is found and not shown' hidden
check 'mkdir takes a snapshot' mkdir "$shots/one"
check 'it is the tree' same "$shots/one/tree" "$work/before"
check 'change and delete everything' change_everything
check 'it is read-only' read_only
check 'the control folder cannot be changed' control_folder
check 'inodes of a snapshot are not those of the present' different_inodes
check 'mv and rmdir' rename_and_remove
check 'data that is not written back yet' unwritten_data
check 'a mapping that is not written back yet' unwritten_mapping
check 'while others write' under_load
check 'a hundred' many
check 'varvefs snapshot on a mount' command_on_mount
check 'varvefs snapshot on a volume' command_on_volume
check 'when it was taken' creation_time
check 'what it frees' frees
check 'restoring' restore
check 'only the owner takes and drops them' permissions
check 'not through a mount that is covered' shadowed
check 'after a remount' eval 'remount && same "$shots/one/tree" "$work/before"'
check 'after a kill' eval 'kill -KILL $(daemons); sleep 0.3; mount_it && same "$shots/one/tree" "$work/before"'
check 'the space comes back' space_returns
check 'umount' umount_it
check 'fsck: clean' is_clean
finish
