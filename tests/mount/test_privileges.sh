#!/bin/bash
# test_privileges.sh: set-id bits, capabilities, set-group-id and sticky folders, and who may do what with extended attributes, on a mount and on
# ext4: privileges.py tells the same of both.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

story=$(dirname "$0")/privileges.py
chmod 711 "$work"

tell()
{
    mkdir -m 755 "$1/story" && python3 "$story" "$1/story" >"$2" 2>&1 && [ "$(wc -l <"$2")" -gt 150 ]
}

# Whatever is to be compared with: a few things that must be so.
sure()
{
    local line
    while read -r line; do
        grep -qF -- "$line" "$work/told" || { echo "not told: $line"; return 1; }
    done <<'END'
user 0 write: 4777: 4777 no cap, 2777: 2777 no cap, 6777: 6777 no cap
user 0 chown: 4777: 777 no cap, 2777: 777 no cap, 6777: 777 no cap, 6767: 2767 no cap, 777: 777 no cap
user 65534 write: 4777: 777 no cap, 2777: 777 no cap, 6777: 777 no cap
user 65534 truncate: 4777: 777 no cap, 2777: 777 no cap, 6777: 777 no cap
nobody mkdir in a set-group-id folder: 666: 2666 99, 2666: 2666 99, 2677: 2677 99
unlink by nobody in a sticky folder of 0: EPERM
user 65534: trusted.x of a: set EPERM, get ENODATA
user 0: user.x of ap: set EPERM
user 65534: user.x of as: set EPERM
user 65534 lists ['security.x', 'user.x']
END
}

check 'mkfs' mkfs
check 'mount' mount_it -o allow_other
chmod 755 "$mnt"
check 'the story on the mount' tell "$mnt" "$work/told"
check 'has what must be so' sure
if plain=$(ext4_folder plain); then
    chmod 755 "$plain"
    check 'the story on ext4' tell "$plain" "$work/told.ext4"
    check 'is the same' diff "$work/told.ext4" "$work/told"
fi
check 'umount' umount_it
check 'fsck: clean' is_clean
finish
