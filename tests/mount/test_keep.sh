#!/bin/bash
# test_keep.sh: snapshots that the daemon takes by itself, by a rule that is given at mounting or while it is mounted. (Which are to be there,
# and when they go, is tests/unit/mount_retention.c's.)
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

shots=$mnt/.varve/snapshots

# The names of automatic snapshots, once there are some.
appears()
{
    local _ names
    for _ in {1..100}; do
        names=$(ls "$shots" | grep -E '^auto-20[0-9-]+T[0-9]{2}:[0-9]{2}$') && return
        sleep 0.1
    done
    return 1
}

taken()
{
    mount_it -o keep=24h@1h,7d@1d && appears && "$varvefs" snapshot list --no-space "$mnt" | grep -q auto-20 && getfattr -n user.varve.keep --only-values "$shots" | grep -qx '24h@1h,7d@1d'
}

# Not a second one of that hour (unless the hour has just ended), and nobody's own are touched.
not_again()
{
    mkdir "$shots/own" "$shots/auto-mine" && remount -o keep=24h@1h && sleep 1 && [ "$(ls "$shots" | grep -c '^auto-20')" -le 2 ] && [ -d "$shots/own" ] && [ -d "$shots/auto-mine" ]
}

while_mounted()
{
    rmdir "$shots"/auto-20* && remount && sleep 0.5 && [ "$(ls "$shots" | grep -c '^auto-20')" = 0 ] && [ ! -e "$shots/auto-$(date -u +%Y-%m-%dT%H:%M)" ] &&
        echo content >"$mnt/file" && setfattr -n user.varve.keep -v 1h@1h "$shots" && appears && [ "$(cat "$shots"/auto-20*/file)" = content ] &&
        ! setfattr -n user.varve.keep -v nonsense "$shots" && getfattr -n user.varve.keep --only-values "$shots" | grep -qx 1h@1h && setfattr -n user.varve.keep -v '' "$shots" &&
        [ -z "$(getfattr -n user.varve.keep --only-values "$shots")" ]
}

# What a program wrote is refused while it is fetched for the snapshot: its writer is told, and the snapshot is taken all the same.
while_full()
{
    rmdir "$shots"/auto-20* && mkdir "$mnt/small" && setfattr -n user.varve.quota -v 1M "$mnt/small" && python3 - "$mnt/small/file" "$shots" <<'PY' && appears
import errno, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(fd, b"x" * (4 << 20))
os.setxattr(sys.argv[2], "user.varve.keep", b"1h@1h")
deadline = time.time() + 10
while not any(n.startswith("auto-20") for n in os.listdir(sys.argv[2])):
    if time.time() > deadline:
        sys.exit("no snapshot was taken")
    time.sleep(0.1)
try:
    os.fsync(fd)
    sys.exit("the writer is not told")
except OSError as e:
    if e.errno != errno.EDQUOT:
        raise
PY
}

refused()
{
    umount_it && refuses 2 "'often' is no rule for snapshots; write SPAN@EVERY" "$varvefs" mount -o keep=often "$volume" "$mnt" &&
        refuses 2 "'24h@1h,7d@9d' is no rule" "$varvefs" mount -o keep=24h@1h,7d@9d "$volume" "$mnt" && refuses 2 'at most 10000' "$varvefs" mount -o keep=1y@1m "$volume" "$mnt" &&
        refuses 2 "unknown mount option '7d@1d'" "$varvefs" mount -o 7d@1d "$volume" "$mnt" && refuses 2 "'keep' needs a value" "$varvefs" mount -o keep= "$volume" "$mnt"
}

read_only()
{
    mount_it -r -o keep=1h@1h && ! setfattr -n user.varve.keep -v 1h@1h "$shots" && umount_it
}

check 'mkfs' mkfs
check 'one is taken at once' taken
check 'and not again' not_again
check 'the rule changes while mounted' while_mounted
check 'one is taken while a write is refused' while_full
check 'bad rules' refused
check 'read-only, nothing is taken' read_only
check 'fsck: clean' is_clean
finish
