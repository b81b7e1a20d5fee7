#!/bin/bash
# test_basic.sh: ordinary file tools on a mount do what they do on any file system.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

original=$work/original

# A small tree with one of everything, next to the mount, to compare with.
make_original()
{
    local i
    mkdir -p "$original/deep/er/still" "$original/empty" "$original/private" &&
        head -c 1000000 /dev/urandom >"$original/random" &&
        yes 'the same line again' | head -c 3000000 >"$original/lines" &&
        : >"$original/nothing" && printf x >"$original/one" &&
        for i in {1..200}; do echo "file number $i" >"$original/deep/$i" || return; done &&
        echo 'with a space' >"$original/a name with spaces" &&
        echo 'strange' >"$original/$(printf 'tab\tnewline\nquote"backslash\\')" &&
        echo 'latin' >"$original/$(printf 'caf\351')" &&
        printf 'end' >"$original/$(printf 'n%.0s' {1..255})" &&
        ln "$original/random" "$original/deep/hard" && ln -s ../random "$original/deep/soft" &&
        ln -s "$(printf 'x%.0s' {1..4000})" "$original/long-link" && ln -s missing "$original/dangling" &&
        mkfifo "$original/fifo" && mknod "$original/null" c 1 3 && mknod "$original/block" b 7 99 &&
        python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('$original/socket')" &&
        truncate -s 10M "$original/sparse" && printf tail >>"$original/sparse" &&
        chmod 0750 "$original/private" && chmod 4711 "$original/one" && chmod 1777 "$original/empty" &&
        chown 1234:5678 "$original/lines" && chown -h 4321 "$original/dangling" &&
        setfattr -n user.colour -v blue "$original/one" && setfattr -n user.empty "$original/one" &&
        setfattr -n trusted.blob -v "0x$(printf '%04000d' 7)" "$original/private" &&
        touch -d '2001-02-03 04:05:06.123456789' "$original/one" "$original/deep/er" &&
        touch -h -d '1969-12-31 23:59:58.5' "$original/dangling" && touch -d '2262-01-01' "$original/nothing"
}

tar_both_ways()
{
    mkdir "$mnt/out" "$work/back" && tar -C "$original" --xattrs --exclude socket -cf "$mnt/all.tar" . &&
        tar -C "$mnt/out" --xattrs --xattrs-include='*' -xpf "$mnt/all.tar" &&
        tar -C "$mnt/out" --xattrs -cf - . | tar -C "$work/back" --xattrs --xattrs-include='*' -xpf - &&
        rm -f "$original/socket" && same "$original" "$mnt/out" && same "$original" "$work/back"
}

moves()
{
    mkdir "$mnt/m" && echo a >"$mnt/m/a" && echo b >"$mnt/m/b" &&
        mv "$mnt/m/a" "$mnt/m/c" && [ ! -e "$mnt/m/a" ] && [ "$(cat "$mnt/m/c")" = a ] &&
        mv "$mnt/m/c" "$mnt/m/b" && [ "$(cat "$mnt/m/b")" = a ] && [ "$(ls "$mnt/m")" = b ] &&
        mkdir "$mnt/m/d" "$mnt/m/e" && mv "$mnt/m/b" "$mnt/m/d/" && mv "$mnt/m/d" "$mnt/m/e/" &&
        [ "$(cat "$mnt/m/e/d/b")" = a ] && [ "$(stat -c %h "$mnt/m")" = 3 ] &&
        fails 'subdirectory of itself' mv "$mnt/m/e" "$mnt/m/e/d/" &&
        mkdir "$mnt/m/d" && fails 'not empty' mv -T "$mnt/m/d" "$mnt/m/e" &&
        mv -T "$mnt/m/e/d" "$mnt/m/d" && [ "$(find "$mnt/m" | wc -l)" = 4 ]
}

# RENAME_NOREPLACE and RENAME_EXCHANGE, by the system call.
rename_flags()
{
    mkdir "$mnt/f" && echo a >"$mnt/f/a" && echo b >"$mnt/f/b" && mkdir "$mnt/f/d" && python3 - "$mnt/f" <<'END'
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
os.chdir(sys.argv[1])
def rename(a, b, flags):
    if libc.renameat2(-100, a, -100, b, flags):
        return ctypes.get_errno()
    return 0
assert rename(b"a", b"b", 1) == errno.EEXIST
assert rename(b"a", b"c", 1) == 0 and not os.path.exists("a")
assert rename(b"c", b"b", 2) == 0
assert open("c").read() == "b\n" and open("b").read() == "a\n"
assert rename(b"c", b"d", 2) == 0 and os.path.isdir("c") and os.path.isfile("d")
assert rename(b"c", b"missing", 2) == errno.ENOENT
assert rename(b"b", b"new", 8) == errno.EINVAL
END
}

links()
{
    echo text >"$mnt/l1" && ln "$mnt/l1" "$mnt/l2" && [ "$(stat -c %h "$mnt/l1")" = 2 ] &&
        [ "$mnt/l1" -ef "$mnt/l2" ] && echo more >>"$mnt/l2" && [ "$(wc -l <"$mnt/l1")" = 2 ] && rm "$mnt/l1" &&
        [ "$(stat -c %h "$mnt/l2")" = 1 ] && [ "$(wc -l <"$mnt/l2")" = 2 ] &&
        fails 'not allowed for directory' ln "$mnt" "$mnt/x" && ln -s l2 "$mnt/l3" && [ "$(wc -l <"$mnt/l3")" = 2 ]
}

attributes()
{
    local f=$mnt/attributes
    touch "$f" && chmod 6751 "$f" && chown 77:88 "$f" && [ "$(stat -c '%a %u %g' "$f")" = '751 77 88' ] &&
        chmod 4755 "$f" && [ "$(stat -c %a "$f")" = 4755 ] &&
        touch -a -d '2010-01-02 03:04:05.000000001 UTC' "$f" && touch -m -d '1903-01-02 03:04:05.999999999 UTC' "$f" &&
        [ "$(TZ=UTC stat -c '%x %y' "$f")" = \
            '2010-01-02 03:04:05.000000001 +0000 1903-01-02 03:04:05.999999999 +0000' ]
}

# Times that the kernel keeps while it caches writes are the file's own.
write_times()
{
    local before after
    echo x >"$mnt/t" && touch -d 2000-01-01 "$mnt/t" && before=$(date +%s) && echo y >>"$mnt/t" &&
        after=$(stat -c %Y "$mnt/t") && [ "$after" -ge "$before" ] && mkdir "$mnt/td" &&
        touch -d 2000-01-01 "$mnt/td" && : >"$mnt/td/new" && [ "$(stat -c %Y "$mnt/td")" -ge "$before" ]
}

# Who may not, may not; and a write by someone else takes set-id bits away.
permissions()
{
    local as='setpriv --reuid 65534 --regid 65534 --clear-groups'
    chmod 711 "$work" && chmod 755 "$mnt" && mkdir -m 755 "$mnt/p" && echo secret >"$mnt/p/secret" && chmod 600 "$mnt/p/secret" &&
        fails 'Permission denied' $as cat "$mnt/p/secret" && fails 'Permission denied' $as touch "$mnt/p/new" &&
        mkdir -m 1777 "$mnt/p/tmp" && $as touch "$mnt/p/tmp/mine" && [ "$(stat -c '%u %g' "$mnt/p/tmp/mine")" = '65534 65534' ] &&
        touch "$mnt/p/tmp/roots" && fails 'not permitted' $as rm "$mnt/p/tmp/roots" &&
        echo x >"$mnt/p/suid" && chmod 6777 "$mnt/p/suid" && $as sh -c "echo y >>'$mnt/p/suid'" &&
        [ "$(stat -c %a "$mnt/p/suid")" = 777 ] &&
        chmod 6777 "$mnt/p/suid" && $as truncate -s 1 "$mnt/p/suid" && [ "$(stat -c %a "$mnt/p/suid")" = 777 ] &&
        mkdir "$mnt/p/group" && chgrp 99 "$mnt/p/group" && chmod 2777 "$mnt/p/group" && $as mkdir "$mnt/p/group/d" &&
        [ "$(stat -c '%g %a' "$mnt/p/group/d")" = '99 2755' ]
}

open_but_deleted()
{
    echo kept >"$mnt/gone" && exec 7<>"$mnt/gone" && rm "$mnt/gone" && [ ! -e "$mnt/gone" ] &&
        [ "$(cat <&7)" = kept ] && echo more >&7 && [ "$(stat -L -c '%h %s' /proc/self/fd/7)" = '0 10' ]
    local status=$?
    exec 7>&-
    return $status
}

overwrite()
{
    head -c 700000 /dev/urandom >"$work/o" && cp "$work/o" "$mnt/o" && local i at
    for i in {1..100}; do
        at=$((RANDOM * 25))
        head -c $((RANDOM % 5000)) /dev/urandom >"$work/piece"
        dd if="$work/piece" of="$work/o" bs=4K seek=$at oflag=seek_bytes conv=notrunc status=none
        dd if="$work/piece" of="$mnt/o" bs=4K seek=$at oflag=seek_bytes conv=notrunc status=none
        [ $((i % 10)) != 0 ] || { truncate -s $((RANDOM * 30)) "$work/o" && truncate -s "$(stat -c %s "$work/o")" "$mnt/o"; }
    done
    cmp "$work/o" "$mnt/o" && echo 3 >/proc/sys/vm/drop_caches && cmp "$work/o" "$mnt/o"
}

sparse_costs_nothing()
{
    local before after
    before=$(du -s "$volume" | cut -f1)
    truncate -s 4G "$mnt/big" && [ "$(stat -c '%s %b' "$mnt/big")" = '4294967296 0' ] &&
        printf middle | dd of="$mnt/big" bs=1 seek=2G conv=notrunc status=none &&
        [ "$(stat -c %b "$mnt/big")" -le 2048 ] && [ "$(tail -c +2147483649 "$mnt/big" | head -c 6)" = middle ] &&
        after=$(du -s "$volume" | cut -f1) && [ $((after - before)) -lt 1024 ] && rm "$mnt/big"
}

# SEEK_DATA and SEEK_HOLE, also where the data is still in the kernel's cache only.
seek_holes()
{
    truncate -s 1G "$mnt/holes" && python3 - "$mnt/holes" <<'END'
import errno, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
end = 1 << 30
assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
os.pwrite(fd, b"data", 300 << 20)
found = os.lseek(fd, 0, os.SEEK_DATA)
assert (300 << 20) - (1 << 20) <= found <= 300 << 20, found
hole = os.lseek(fd, found, os.SEEK_HOLE)
assert 300 << 20 < hole <= 301 << 20, hole
other = os.open(sys.argv[1] + ".new", os.O_RDWR | os.O_CREAT)
os.write(other, b"new" * 10)
assert os.lseek(other, 0, os.SEEK_DATA) == 0
assert os.lseek(other, 0, os.SEEK_HOLE) == 30
try:
    os.lseek(fd, hole, os.SEEK_DATA)
    assert False
except OSError as e:
    assert e.errno == errno.ENXIO
END
    [ $? = 0 ] && cp --sparse=auto "$mnt/holes" "$mnt/holes.copy" && [ "$(stat -c %b "$mnt/holes.copy")" -le 4096 ] &&
        cmp -n 400M "$mnt/holes" "$mnt/holes.copy"
}

mapped()
{
    python3 - "$mnt/mapped" <<'END'
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 300000)
with mmap.mmap(fd, 300000) as m:
    m[100:105] = b"hello"
    m[299990:299995] = b"world"
    m.flush()
os.close(fd)
data = open(sys.argv[1], "rb").read()
assert len(data) == 300000 and data[100:105] == b"hello" and data[299990:299995] == b"world" and data.count(0) == 299990
END
}

locks()
{
    : >"$mnt/lock" && flock "$mnt/lock" flock -n "$mnt/lock" true
    [ $? = 1 ] && flock -n "$mnt/lock" true
}

# What the kernel does not pass on fails with the standard error.
not_offered()
{
    echo x >"$mnt/n" && fails 'Operation not supported' fallocate -c -l 4096 "$mnt/n" &&
        fails 'not supported' cp --reflink=always "$mnt/n" "$mnt/n2"
}

odd_names()
{
    local long
    long=$(printf 'n%.0s' {1..256})
    fails 'File name too long' touch "$mnt/$long" && fails 'File name too long' mkdir "$mnt/$long" &&
        fails 'File name too long' ln -s x "$mnt/$long" && fails 'File name too long' cat "$mnt/$long" &&
        fails 'No such file' cat "$mnt/missing" && fails 'Is a directory' dd if=/dev/null of="$mnt/copy" status=none
}

many_entries()
{
    mkdir "$mnt/many" && (cd "$mnt/many" && seq 3000 | xargs touch) && [ "$(find "$mnt/many" -type f | wc -l)" = 3000 ] &&
        [ "$(ls -l "$mnt/many" | grep -c ^-)" = 3000 ] && [ "$(ls -U "$mnt/many" | sort -un | wc -l)" = 3000 ] && rm -r "$mnt/many"
}

disk_free()
{
    df "$mnt" | grep -q "^$volume " && df -i "$mnt" && [ "$(df --output=size "$mnt" | tail -1)" -gt 0 ]
}

check 'mkfs' mkfs
check 'mount' mount_it -o allow_other
check 'is mounted' is_mounted
check 'the root folder is ours and empty' test "$(stat -c '%u %a %h' "$mnt") $(ls -A "$mnt")" = '0 755 2 '
check 'make a tree to compare with' make_original
check 'cp -a keeps everything' eval 'cp -a "$original" "$mnt/copy" && same "$original" "$mnt/copy"'
check 'and after a remount' eval 'remount -o allow_other && same "$original" "$mnt/copy"'
check 'cp -a back' eval 'cp -a "$mnt/copy" "$work/restored" && same "$original" "$work/restored"'
check 'tar in, tar out' tar_both_ways
check 'mv' moves
check 'renameat2: no replace, exchange' rename_flags
check 'ln' links
check 'chmod, chown, touch with nanoseconds' attributes
check 'writing sets times' write_times
check 'permissions, sticky and set-id bits' permissions
check 'an open file lives on after rm' open_but_deleted
check 'overwrite and truncate at random places' overwrite
check 'a sparse file costs nothing' sparse_costs_nothing
check 'SEEK_DATA and SEEK_HOLE' seek_holes
check 'mmap' mapped
check 'flock' locks
check 'what is not offered' not_offered
check 'names that are too long, missing, of the wrong kind' odd_names
check '3000 entries' many_entries
check 'df' disk_free
check 'rm -r' eval 'rm -r "$mnt"/* && [ -z "$(ls -A "$mnt")" ]'
check 'umount' umount_it
check 'no daemon is left' test -z "$(daemons)"
check 'fsck: clean' is_clean
finish
