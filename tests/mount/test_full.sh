#!/usr/bin/env bash
# A volume on a small disk of its own (a tmpfs): it is filled until writes fail with ENOSPC, and can always be emptied again: by rm, by
# truncation, and after it was mounted anew while full. Without the right to mount a tmpfs nothing is tested.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

disk=$work/disk
volume=$disk/volume
mkdir -p "$disk" "$mnt"
if ! mount -t tmpfs -o size=192m tmpfs "$disk" 2>/dev/null; then
    echo 'skipped: a tmpfs cannot be mounted here'
    finish
fi

# Writes files of 4 MiB that do not compress until that fails; leaves `files`.
fill()
{
    files=0
    mkdir -p "$mnt/full"
    while dd if=/dev/urandom of="$mnt/full/$files" bs=1M count=4 conv=fsync status=none 2>"$work/err"; do
        files=$((files + 1))
        [ "$files" -lt 100 ] || return 1
    done
    grep -q 'No space left on device' "$work/err" && [ "$files" -ge 4 ]
}

# usable_above MIB: so much is there for writes.
usable_above()
{
    "$varvefs" stat --json "$mnt" | python3 -c '
import json, sys
space = json.load(sys.stdin)["activity"]["space"]
print(space)
sys.exit(space["disk_usable"] <= int(sys.argv[1]) << 20 or space["space_state"] not in ("healthy", "tight", "full"))' "$1"
}

# Within a minute the space is back: deletes only mark it, compaction frees it.
comes_back()
{
    local i
    for ((i = 0; i < 60; i++)); do
        ! usable_above 100 || return 0
        sleep 1
    done
    usable_above 100
}

check 'mkfs' "$varvefs" mkfs "$volume"
check 'mount' "$varvefs" mount -o set=disk.reserve=16M,memtable=4M "$volume" "$mnt"
check 'most of it is for writes' usable_above 100
check 'it fills up, and says so' fill
check 'little is for writes' bash -c "! '$varvefs' stat --json '$mnt' | grep -qE '\"disk_usable\": *[0-9]{8}'"
check 'small writes fail, too' bash -c "! dd if=/dev/urandom of='$mnt/more' bs=1M count=64 conv=fsync status=none"
check 'what is there can be read' bash -c "cat '$mnt'/full/0 '$mnt'/full/1 | wc -c | grep -qx 8388608"
check 'truncation works' truncate -s 0 "$mnt/full/0"
check 'rm works' rm -r "$mnt/full" "$mnt/more"
check 'the space comes back' comes_back
first=$files
check 'it fills up again' fill
check 'about as far' [ "$files" -ge $((first * 3 / 4)) ]
check 'umount while full' "$varvefs" umount "$mnt"
check 'fsck' "$varvefs" fsck "$volume"
check 'mount while full' "$varvefs" mount -o set=disk.reserve=16M,memtable=4M "$volume" "$mnt"
check 'rm works' rm -r "$mnt/full"
check 'the space comes back' comes_back
check 'it can be written to' dd if=/dev/urandom of="$mnt/again" bs=1M count=16 conv=fsync status=none
check 'umount' "$varvefs" umount "$mnt"
check 'fsck' "$varvefs" fsck "$volume"
check 'stat tells of space' bash -c "'$varvefs' stat '$volume' | grep -q '^space  *healthy'"
umount "$disk"
finish
