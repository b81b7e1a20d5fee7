#!/usr/bin/env bash
# A volume whose compaction needs far more than its disk has free (a tmpfs, which others have filled): it goes in slices, and comes back. The
# values are small, so they are in tables, of which one has them all. Without the right to mount a tmpfs nothing is tested.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

disk=$work/disk
volume=$disk/volume
settings=set=disk.reserve=1M,memtable=1M,set=compaction.level0_tables=256,set=memtable.idle_flush=1h
mkdir -p "$disk" "$mnt"
if ! mount -t tmpfs -o size=96m tmpfs "$disk" 2>/dev/null; then
    echo 'skipped: a tmpfs cannot be mounted here'
    finish
fi

# small COUNT: so many files, each with its own 1,500 bytes that do not compress.
small()
{
    python3 -c '
import os, random, sys
for i in range(int(sys.argv[2])):
    os.makedirs(f"{sys.argv[1]}/{i % 100}", exist_ok=True)
    with open(f"{sys.argv[1]}/{i % 100}/{i}", "wb") as f:
        f.write(random.Random(i).randbytes(1500))' "$mnt" "$1"
}

# half_of COUNT: every second one is gone, and the others are what they were.
half_of()
{
    python3 -c '
import os, random, sys
for i in range(int(sys.argv[2])):
    path = f"{sys.argv[1]}/{i % 100}/{i}"
    if i // 100 % 2:
        assert not os.path.exists(path), path
        continue
    with open(path, "rb") as f:
        assert f.read() == random.Random(i).randbytes(1500), path' "$mnt" "$1"
}

remove_half_of()
{
    python3 -c '
import os, sys
for i in range(int(sys.argv[2])):
    if i // 100 % 2:
        os.remove(f"{sys.argv[1]}/{i % 100}/{i}")' "$mnt" "$1"
}

disk_free()
{
    df -B1 --output=avail "$disk" | tail -n 1
}

# Leaves the disk with about so many bytes.
others_fill()
{
    local free
    free=$(disk_free)
    [ "$free" -gt "$1" ] && head -c "$((free - $1))" /dev/zero >"$disk/others"
}

came_back()
{
    echo "$(disk_free) bytes are free, $before were"
    [ "$(disk_free)" -ge $((before + (6 << 20))) ]
}

stat_is()
{
    "$varvefs" stat --json "$mnt" | python3 -c '
import json, sys
activity = json.load(sys.stdin)["activity"]
print(activity["writing"], activity["space"])
sys.exit(not eval(sys.argv[1], {**activity["writing"], **activity["space"]}))' "$1"
}

check 'mkfs' "$varvefs" mkfs "$volume"
check 'mount' "$varvefs" mount -o "$settings" "$volume" "$mnt"
check 'small files' small 12000
check 'all in one table' "$varvefs" compact "$mnt"
check 'others take the disk' others_fill $((6 << 20))
before=$(disk_free)
check 'half of the files goes' remove_half_of 12000
check 'what compaction needs is not free' stat_is 'space_compaction > 2 * disk_free'
check 'compaction' "$varvefs" compact "$mnt"
check 'it went in slices, and gave back in between' stat_is 'compaction_slices > 2 and punched > 4 << 20'
check 'the space is back' came_back
check 'every file is what it was' half_of 12000
check 'umount' "$varvefs" umount "$mnt"
check 'fsck' "$varvefs" fsck "$volume"
check 'mount anew' "$varvefs" mount -o "$settings" "$volume" "$mnt"
check 'every file is what it was' half_of 12000
check 'umount' "$varvefs" umount "$mnt"
umount "$disk"
finish
