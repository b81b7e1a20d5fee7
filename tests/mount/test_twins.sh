#!/bin/bash
# test_twins.sh: random file operations on a mount and on another file system of this machine do the same: OPS=n of them (twins.py), SEED=n.
# MOUNT_OPTIONS=... are for the mount; KILL=1: after each 5,000 operations, of 20,000 then, its daemon is killed, and it is mounted anew.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

twins=$(dirname "$0")/twins.py

play()
{
    mkdir "$mnt/twin" "$plain/twin" && python3 "$twins" "$mnt/twin" "$plain/twin" | tee "$work/said" && [ "${PIPESTATUS[0]}" = 0 ]
}

mount_twin()
{
    mount_it -o "allow_other,suid,dev${MOUNT_OPTIONS:+,$MOUNT_OPTIONS}"
}

kill_daemon()
{
    local pid
    pid=$(daemons)
    kill -KILL "$pid" && umount -l "$mnt" || return
    while [ -e "/proc/$pid" ]; do sleep 0.01; done
    mount_twin
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
if [ -n "${KILL:-}" ]; then
    export OPS=${OPS:-20000}
    export -f kill_daemon mount_twin mount_it daemons
    export work varvefs volume mnt MOUNT_OPTIONS="${MOUNT_OPTIONS:-}" BETWEEN=kill_daemon
fi
check 'mkfs' mkfs
check 'mount' mount_twin
check 'the same in both folders' play
sed -n 's/^/        /p' "$work/said"
check 'and after a remount' eval 'umount_it && mount_twin && compare'
check 'umount' umount_it
check 'fsck: clean' is_clean
finish
