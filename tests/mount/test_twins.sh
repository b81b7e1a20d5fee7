#!/bin/bash
# test_twins.sh: random file operations on a mount and on another file system of this machine do the same: OPS=n of them (twins.py), SEED=n.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

twins=$(dirname "$0")/twins.py

play()
{
    mkdir "$mnt/twin" "$plain/twin" && python3 "$twins" "$mnt/twin" "$plain/twin" | tee "$work/said" && grep -q ' operations, ' "$work/said"
}

compare()
{
    python3 "$twins" --compare "$mnt/twin" "$plain/twin"
}

if ! plain=$(ext4_folder plain); then
    echo 'no ext4 to compare with'
    finish
fi
chmod 711 "$work"
check 'mkfs' mkfs
check 'mount' mount_it -o allow_other,suid,dev
check 'the same in both folders' play
sed -n 's/^/        /p' "$work/said"
check 'and after a remount' eval 'remount -o allow_other,suid,dev && compare'
check 'umount' umount_it
check 'fsck: clean' is_clean
finish
