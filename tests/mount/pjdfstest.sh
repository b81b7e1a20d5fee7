#!/usr/bin/env bash
# The public POSIX conformance suite pjdfstest, whole, on a mount of its own. As root.
#
#   git clone https://github.com/pjd/pjdfstest && (cd pjdfstest && autoreconf -ifs && ./configure && make pjdfstest)
#   tests/mount/pjdfstest.sh pjdfstest            on a new volume: what fails, if anything, and a summary
#   tests/mount/pjdfstest.sh pjdfstest FOLDER     on any folder, to compare with; say, on ext4
#
# The suite leaves out what it believes a file system not to have, by its name, which df tells. It is told "ext4" in both cases, so that nothing
# is left out here that is asked of ext4. Not in `make check`: it takes minutes, and the suite is not ours to ship.
# shellcheck shell=bash
here=$(dirname "${BASH_SOURCE[0]}")
suite=$(realpath "${1:?where is pjdfstest?}") || exit
if [ ! -x "$suite/pjdfstest" ] || [ ! -d "$suite/tests" ]; then
    echo "$suite: not a pjdfstest that has been built" >&2
    exit 2
fi
if [ "$(id -u)" != 0 ] || ! command -v prove >/dev/null; then
    echo 'needs root, and prove (package perl)' >&2
    exit 2
fi
. "$here/lib.sh"

mkdir "$work/bin"
cat >"$work/bin/df" <<'END'
#!/bin/sh
echo 'Filesystem Type 1024-blocks Used Available Capacity Mounted'
echo 'disk ext4 1 1 1 1% /'
END
chmod +x "$work/bin/df"

# All cases, in folder $1; every failed one with what was expected.
run_suite()
{
    (cd "$1" && PATH=$work/bin:$PATH prove -r -Q --merge --failures --comments "$suite/tests")
}

if [ -n "${2:-}" ]; then
    mkdir "$2/pjdfstest.$$" && target=$(realpath "$2/pjdfstest.$$") || exit
    run_suite "$target"
    status=$?
    rm -rf --one-file-system "$target"
    exit $status
fi

check 'mkfs' mkfs
check 'mount' mount_it -o allow_other,suid,dev
chmod 755 "$mnt" && chmod 711 "$work"
run_suite "$mnt" >"$work/suite" 2>&1
status=$?
cat "$work/suite"
check 'pjdfstest: all passed' test $status = 0
check 'pjdfstest: thousands of cases' eval '[ "$(sed -n "s/.*Tests=\([0-9]*\).*/\1/p" "$work/suite")" -gt 8000 ]'
check 'umount' umount_it
check 'fsck: clean' is_clean
finish
