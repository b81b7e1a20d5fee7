#!/bin/bash
# test_times.sh: which operation sets which times of which files, on a mount and on ext4 (times.py tells the same of both); the mount options about
# access times.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

story=$(dirname "$0")/times.py

tell()
{
    mkdir "$1/story" && python3 "$story" "$1/story" >"$2" 2>&1 && [ "$(wc -l <"$2")" -gt 70 ]
}

# What the kernel does not tell a daemon: that a file is mapped, or copied from, whose pages it has.
told()
{
    grep -vE '^(write by mmap|copy_file_range):' "$1"
}

# Whatever is to be compared with: a few things that must be so.
sure()
{
    local line
    while read -r line; do
        grep -qxF -- "$line" "$work/told" || { echo "not told: $line"; return 1; }
    done <<'END'
read: f:a
read again: -
read with O_NOATIME: -
list: p:a
readlink: s:a
write: f:mc
write by mmap: f:mc
chmod: f:c
create: p:mc
create: one time for all: True
link: q:mc f:c
rename across: p:mc q:mc f:c
what is refused: -
write: kept: True
later, but older: False
END
}

forget_caches()
{
    sync "$mnt" && echo 3 >/proc/sys/vm/drop_caches
}

# with OPTIONS WHICH [TIME]: mounted so, reading a file, a folder and a link that were last read at TIME sets ("+") or leaves ("=") their access times.
with()
{
    remount -o "allow_other,$1" && touched_is "$2" "${3:-}"
}

touched_is()
{
    local before after got
    touch -h -a -d "${2:-2001-01-01}" "$mnt/f" "$mnt/d" "$mnt/s" && before=$(stat -c %X "$mnt/f" "$mnt/d" "$mnt/s") && forget_caches &&
        cat "$mnt/f" && ls "$mnt/d" && readlink "$mnt/s" && after=$(stat -c %X "$mnt/f" "$mnt/d" "$mnt/s") || return
    got=$(paste <(echo "$before") <(echo "$after") | awk '{ printf "%s", $1 == $2 ? "=" : "+" }')
    [ "$got" = "$1" ] || { echo "file, folder, link: $got, not $1"; return 1; }
}

# Read, and the daemon killed: what was written is there, what was read may be forgotten. Unmounted: it is not.
survives()
{
    remount -o allow_other,strictatime,lazytime && touched_is +++ && echo new >"$mnt/new" && sync "$mnt/new" || return
    local pid seen
    pid=$(daemons) && kill -KILL "$pid" && umount_it && mount_it -o allow_other,strictatime && [ "$(cat "$mnt/new")" = new ] &&
        touched_is +++ && seen=$(stat -c %x "$mnt/f") && remount -o allow_other,noatime && [ "$(stat -c %x "$mnt/f")" = "$seen" ]
}

check 'mkfs' mkfs
check 'mount' mount_it -o allow_other
check 'the story on the mount' tell "$mnt" "$work/told"
check 'has what must be so' sure
if plain=$(ext4_folder plain); then
    check 'the story on ext4' tell "$plain" "$work/told.ext4"
    check 'is the same' diff <(told "$work/told.ext4") <(told "$work/told")
fi
echo text >"$mnt/f" && mkdir "$mnt/d" && ln -s x "$mnt/s"
check 'default: relatime' with rw +++
check 'relatime: not when it was read since, today' with relatime === "$(date -d '1 minute' '+%F %T')"
check 'noatime' with noatime ===
check 'nodiratime' with nodiratime +=+
check 'strictatime' with strictatime +++ "$(date -d '1 minute' '+%F %T')"
check 'strictatime,nodiratime' with strictatime,nodiratime +=+
touch -a -d '2001-01-01 UTC' "$mnt/f"
check 'read-only' eval 'remount -o ro && cat "$mnt/f" && [ "$(stat -c %X "$mnt/f")" = 978307200 ]'
check 'after kill -9, after umount' survives
check 'umount' umount_it
check 'fsck: clean' is_clean
finish
