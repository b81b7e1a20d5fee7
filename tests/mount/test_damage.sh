#!/bin/bash
# test_damage.sh: scrub and salvage as people use them, on a volume and on a mount, and recovery modes at mount.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

# flip FILE OFFSET: one byte becomes another.
flip()
{
    python3 - "$1" "$2" <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]))
    byte = f.read(1)
    f.seek(int(sys.argv[2]))
    f.write(bytes([byte[0] ^ 0x40]))
PY
}

# status STATUS COMMAND...: the command ends with that exit status.
status()
{
    local got=0
    "${@:2}" || got=$?
    [ $got = "$1" ] || { echo "exit status $got instead of $1"; return 1; }
}

json()
{
    "$varvefs" "$@" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$field"
}

new_volume()
{
    rm -rf "$volume"
    "$varvefs" mkfs "$volume" && mkdir -p "$mnt" && "$varvefs" mount "$volume" "$mnt" &&
        head -c 3000000 /dev/urandom >"$mnt/random" && seq 1 100000 >"$mnt/numbers" && mkdir "$mnt/many" &&
        (cd "$mnt/many" && seq 1 500 | split -l 1) &&
        (cd "$mnt" && find . -type f -exec sha256sum {} + | sort) >"$work/sums" && "$varvefs" umount "$mnt"
}

contents_are_right()
{
    "$varvefs" mount "$volume" "$mnt" && (cd "$mnt" && find . -type f -exec sha256sum {} + | sort) | diff - "$work/sums"
    local result=$?
    "$varvefs" umount "$mnt" && return $result
}

scrub_volume()
{
    status 0 "$varvefs" scrub "$volume" && [ "$(field=damaged json scrub "$volume")" = 0 ] &&
        [ "$(field=passes json scrub --status "$volume")" = 2 ] && "$varvefs" scrub --status "$volume" | grep -q 'scrubbed on'
}

scrub_finds_damage()
{
    local blob
    blob=$(ls -S "$volume"/*.blob | head -1)
    cp "$blob" "$work/kept"
    "$varvefs" scrub "$volume" && # ends the pass that was stopped
        flip "$blob" 100000 && status 4 "$varvefs" scrub "$volume" >"$work/out" && grep -q "^E137 .*blob at" "$work/out"
    local result=$?
    cp "$work/kept" "$blob"
    return $result
}

scrub_mount()
{
    "$varvefs" mount "$volume" "$mnt" || return
    status 0 "$varvefs" scrub "$mnt" && [ "$(field=running json scrub --status "$mnt")" = False ] &&
        [ "$(field=damaged json scrub "$mnt/many")" = 0 ] && "$varvefs" scrub --no-wait "$mnt" && "$varvefs" scrub --stop "$mnt" &&
        ! setfattr -n user.varve.scrub -v nonsense "$mnt" 2>/dev/null
    local result=$?
    "$varvefs" umount "$mnt" && return $result
}

scrub_refuses()
{
    status 16 "$varvefs" scrub && status 16 "$varvefs" scrub --rate=x "$volume" && status 8 "$varvefs" scrub "$work/none" &&
        status 8 "$varvefs" scrub --stop "$volume"
}

salvage_nothing()
{
    status 0 "$varvefs" salvage -y "$volume" && contents_are_right
}

salvage_asks()
{
    status 32 "$varvefs" salvage "$volume" </dev/null && status 16 "$varvefs" salvage && status 8 "$varvefs" salvage -y "$work"
}

salvage_current()
{
    rm "$volume/CURRENT" && status 1 "$varvefs" salvage -y "$volume" && status 0 "$varvefs" fsck "$volume" && contents_are_right
}

salvage_manifest()
{
    echo mine >"$volume/notes.txt"
    rm "$volume"/*.manifest
    status 8 "$varvefs" fsck "$volume" >/dev/null 2>&1 || status 4 "$varvefs" fsck "$volume" >/dev/null 2>&1 || return
    status 4 "$varvefs" salvage -y "$volume" && status 0 "$varvefs" fsck "$volume" && contents_are_right &&
        [ "$(cat "$volume/notes.txt")" = mine ]
}

recovery_modes()
{
    local mode
    for mode in tail strict point; do
        "$varvefs" mount -o recovery=$mode "$volume" "$mnt" && "$varvefs" umount "$mnt" || return
    done
    ! "$varvefs" mount -o recovery=sometimes "$volume" "$mnt" 2>"$work/err" && grep -q 'tail, strict or point' "$work/err"
}

check 'a volume with something in it' new_volume
check 'scrub of a volume' scrub_volume
check 'scrub of a mount, by its daemon' scrub_mount
check 'scrub names the damaged file and exits with 4' scrub_finds_damage
check 'scrub refuses what makes no sense' scrub_refuses
check 'salvage of a sound volume does nothing' salvage_nothing
check 'salvage wants to be agreed to' salvage_asks
check 'salvage finds the manifest when CURRENT is lost' salvage_current
check 'salvage without a manifest: every file is there' salvage_manifest
check 'recovery modes at mount' recovery_modes
finish
