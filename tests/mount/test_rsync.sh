#!/bin/bash
# test_rsync.sh: rsync -aHAX into a mount and out of it keeps everything, also when it is done again after changes.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

tree=$work/tree

# One of everything that -aHAX is about.
make_tree()
{
    local i
    mkdir -p "$tree/deep/er" "$tree/empty" && head -c 500000 /dev/urandom >"$tree/random" && ln "$tree/random" "$tree/deep/hard" &&
        ln "$tree/random" "$tree/deep/er/harder" && ln -s ../random "$tree/deep/soft" && ln -s /nowhere "$tree/dangling" &&
        ln -P "$tree/dangling" "$tree/deep/dangling" && mkfifo "$tree/fifo" && ln "$tree/fifo" "$tree/deep/fifo" && mknod "$tree/null" c 1 3 &&
        for i in {1..60}; do seq "$i" >"$tree/deep/er/$i" || return; done &&
        truncate -s 5M "$tree/sparse" && printf end >>"$tree/sparse" && echo odd >"$tree/$(printf 'tab\tnew\nline \377')" &&
        chmod 6755 "$tree/random" && chmod 3770 "$tree/deep" && chown 1234:5678 "$tree/deep/er" "$tree/deep/er/7" && chown -h 99 "$tree/dangling" &&
        setfattr -n user.colour -v blue "$tree/deep/er/8" && setfattr -n user.of.folder -v x "$tree/empty" &&
        setfattr -n trusted.blob -v "0x$(printf '%0400d' 7)" "$tree/deep" &&
        setfacl -m u:1:rw,g:2:r "$tree/deep/er/9" && setfacl -m u:1:rwx "$tree/deep" && setfacl -d -m u:3:rx,g::- "$tree/deep/er" &&
        touch -d '2001-02-03 04:05:06.123456789' "$tree/random" "$tree/deep/er/10" && touch -h -d '1969-12-31 23:59:58.5' "$tree/dangling" &&
        touch -d '2040-01-01' "$tree/deep"
}

change_tree()
{
    rm "$tree/deep/er/harder" && mv "$tree/deep/er" "$tree/moved" && echo more >>"$tree/moved/11" && setfacl -b "$tree/moved/9" &&
        setfacl -m u:4:r "$tree/moved/12" && setfattr -x user.colour "$tree/moved/8" && setfattr -n user.new -v y "$tree/moved/13" &&
        chmod 600 "$tree/moved/14" && printf patch | dd of="$tree/random" bs=1 seek=100000 conv=notrunc status=none &&
        rm "$tree/fifo" && ln -sf elsewhere "$tree/dangling" && truncate -s 1M "$tree/sparse" && touch -d '2002-02-02' "$tree/empty"
}

# By default it takes times of one second for the same.
exact=--modify-window=-1

# copy FROM TO: and nothing is left to do, and both are the same.
copy()
{
    rsync -aHAXS $exact --delete "$1/" "$2/" && [ -z "$(rsync -aHAXni $exact --delete --checksum "$1/" "$2/")" ] && same "$1" "$2"
}

round()
{
    copy "$tree" "$mnt/in" && copy "$mnt/in" "$mnt/within" && copy "$mnt/within" "$work/out" && same "$tree" "$work/out"
}

check 'a tree' make_tree
if ! setfacl -m u:1:r "$tree/random" 2>/dev/null; then
    echo 'the file system of the temporary folder has no access control lists'
    finish
fi
check 'mkfs' mkfs
check 'mount' mount_it
check 'in, within, and out' round
check 'and again after changes' eval 'change_tree && round'
check 'in place' eval 'echo x >>"$mnt/in/random" && rsync -aHAX $exact --inplace --no-whole-file "$tree/" "$mnt/in/" && same "$tree" "$mnt/in"'
check 'and after a remount' eval 'remount && same "$tree" "$mnt/in" && [ -z "$(rsync -aHAXni $exact --checksum "$tree/" "$mnt/within/")" ]'
check 'out of a snapshot' eval 'mkdir "$mnt/.varve/snapshots/s" && rm -r "$mnt/in" && copy "$mnt/.varve/snapshots/s/in" "$work/back"'
check 'umount' umount_it
check 'fsck: clean' is_clean
finish
