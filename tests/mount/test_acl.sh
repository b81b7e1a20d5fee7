#!/bin/bash
# test_acl.sh: access control lists on a mount do what they do on ext4: the same story is told in a folder of the mount and, where the file
# system of the temporary folder has them, in a folder there; both have to end as written below.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

as='setpriv --reuid 65534 --regid 65534 --clear-groups'

# Who is told, one line for each file: mode, then the lists.
show()
{
    local f
    for f in "$@"; do
        echo "$f $(stat -c %a "$f") $(getfacl -nsc "$f" 2>&1 | tr -s '\n\t ' ' ')"
    done
}

# may COMMAND...: what nobody may.
may()
{
    if $as "$@" >/dev/null 2>&1 </dev/null; then echo "may: $*"; else echo "may not: $*"; fi
}

story()
(
    cd "$1" && umask 022 && exec 2>&1 || exit
    echo text >f && chmod 640 f && may cat f && setfacl -m u:65534:rw,g:88:r f && show f && may cat f && may tee f
    chmod 600 f && show f && may cat f && chmod 660 f && show f && may cat f
    setfacl -x u:65534 f && show f && may cat f && setfacl -b f && show f
    setfacl -m u::rwx,g::-,o::x f && show f && echo "attributes: $(getfattr -hd -m system f)"
    mkdir d && setfacl -d -m u:65534:rwx,g:88:rx,o::- d && show d
    (umask 077 && touch d/file && mkdir d/sub && mkfifo d/fifo && ln -s x d/link) && show d/file d/sub d/fifo
    mkdir -m 700 d/closed && show d/closed && may touch d/sub/theirs && touch d/sub/deep && show d/sub/deep
    setfacl -k d && show d && touch d/plain && show d/plain
    mkdir e && setfacl -d -m u::rwx,g::rx,o::- e && (umask 0 && touch e/f && mkdir e/d) && show e/f e/d
    fails 'not permitted' $as setfacl -m u:1:r f && setfacl -d -m u:1:r f
    touch g && chown 65534:88 g && chmod 2755 g && show g && $as setfacl -m u:1:r g && show g
    touch h && chown 65534:65534 h && chmod 2755 h && $as setfacl -m u:1:r h && show h
    ln -s f s && python3 -c "
import os
for name, value in (('f', b''), ('f', b'x'), ('f', b'\1\0\0\0'), ('f', b'\2\0\0\0' + b'\1\0\7\0' + b'\377' * 4),
                    ('f', b'\2\0\0\0'), ('f', b'\2\0\0\0' + b'\100\0\7\0' + b'\377' * 4)):
    try:
        os.setxattr(name, 'system.posix_acl_access', value)
        print('set', value)
    except OSError as e:
        print(e.strerror, value)
for flags in (os.XATTR_CREATE, os.XATTR_REPLACE):
    os.setxattr('f', 'system.posix_acl_access', os.getxattr('h', 'system.posix_acl_access'), flags)
os.removexattr('f', 'system.posix_acl_access')
for name, which in (('f', 'access'), ('f', 'default'), ('s', 'access')):
    try:
        os.removexattr(name, 'system.posix_acl_' + which, follow_symlinks=False)
        print('removed', name, which)
    except OSError as e:
        print(e.strerror, name, which)
"
)

expected()
{
    cat <<'END'
may not: cat f
f 660 user::rw- user:65534:rw- group::r-- group:88:r-- mask::rw- other::---
may: cat f
may: tee f
f 600 user::rw- user:65534:rw- #effective:--- group::r-- #effective:--- group:88:r-- #effective:--- mask::--- other::---
may not: cat f
f 660 user::rw- user:65534:rw- group::r-- group:88:r-- mask::rw- other::---
may: cat f
f 640 user::rw- group::r-- group:88:r-- mask::r-- other::---
may not: cat f
f 640
f 701
attributes:
d 755 user::rwx group::r-x other::r-x default:user::rwx default:user:65534:rwx default:group::r-x default:group:88:r-x default:mask::rwx default:other::---
d/file 660 user::rw- user:65534:rwx #effective:rw- group::r-x #effective:r-- group:88:r-x #effective:r-- mask::rw- other::---
d/sub 770 user::rwx user:65534:rwx group::r-x group:88:r-x mask::rwx other::--- default:user::rwx default:user:65534:rwx default:group::r-x default:group:88:r-x default:mask::rwx default:other::---
d/fifo 660 user::rw- user:65534:rwx #effective:rw- group::r-x #effective:r-- group:88:r-x #effective:r-- mask::rw- other::---
d/closed 700 user::rwx user:65534:rwx #effective:--- group::r-x #effective:--- group:88:r-x #effective:--- mask::--- other::--- default:user::rwx default:user:65534:rwx default:group::r-x default:group:88:r-x default:mask::rwx default:other::---
may: touch d/sub/theirs
d/sub/deep 660 user::rw- user:65534:rwx #effective:rw- group::r-x #effective:r-- group:88:r-x #effective:r-- mask::rw- other::---
d 755
d/plain 644
e/f 640
e/d 750 user::rwx group::r-x other::--- default:user::rwx default:group::r-x default:other::---
setfacl: f: Operation not permitted
setfacl: f: Only directories can have default ACLs
g 2755
g 755 user::rwx user:1:r-- group::r-x mask::r-x other::r-x
h 2755 user::rwx user:1:r-- group::r-x mask::r-x other::r-x
set b''
Invalid argument b'x'
Operation not supported b'\x01\x00\x00\x00'
Invalid argument b'\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff'
set b'\x02\x00\x00\x00'
Invalid argument b'\x02\x00\x00\x00@\x00\x07\x00\xff\xff\xff\xff'
removed f access
removed f default
Operation not supported s access
END
}

# tell FOLDER: the story as it happens there.
tell()
{
    mkdir -m 755 "$1/story" && story "$1/story" | sed 's/ *$//' >"$1/told" && diff <(expected) "$1/told"
}

# Lists of a tree, by relative names.
lists()
{
    (cd "$1" && find . -mindepth 1 ! -type l -print0 | sort -z | xargs -0r getfacl -n)
}

keeps()
{
    lists "$mnt/story" >"$work/lists" && [ "$(grep -c '^default:mask' "$work/lists")" -ge 2 ] && diff "$work/lists" <(lists "$1")
}

copies()
{
    mkdir "$mnt/copies" "$mnt/copies/tar" && cp -a "$mnt/story" "$mnt/copies/cp" && keeps "$mnt/copies/cp" &&
        (cd "$mnt/story" && tar --acls -cf "$work/acl.tar" .) && tar --acls -C "$mnt/copies/tar" -xpf "$work/acl.tar" &&
        keeps "$mnt/copies/tar" && rsync -aHAX "$mnt/story/" "$mnt/copies/rsync" && keeps "$mnt/copies/rsync" &&
        [ -z "$(rsync -aHAXni "$mnt/story/" "$mnt/copies/rsync")" ]
}

in_snapshot()
{
    mkdir "$mnt/.varve/snapshots/s" && lists "$mnt/story" >"$work/before" && setfacl -R -b "$mnt/story" &&
        diff "$work/before" <(lists "$mnt/.varve/snapshots/s/story") &&
        fails 'Read-only' setfacl -m u:2:r "$mnt/.varve/snapshots/s/story/h" &&
        [ "$(getfacl -R "$mnt/story" | grep -c '^mask')" = 0 ]
}

# A folder whose file system has lists, if there is one.
plain=$work/plain && mkdir -m 711 "$plain"
chmod 711 "$work"
if setfacl -m u:1:r "$plain" 2>/dev/null && setfacl -b "$plain"; then
    check 'the story on the file system of the temporary folder' tell "$plain"
fi
check 'mkfs' mkfs
check 'mount' mount_it -o allow_other
chmod 755 "$mnt"
check 'the story on the mount' tell "$mnt"
check 'cp -a, tar --acls, rsync -aHAX keep lists' copies
check 'so does a remount' eval 'remount -o allow_other && keeps "$mnt/copies/cp"'
check 'so does a snapshot' in_snapshot
check 'umount' umount_it
check 'fsck: clean' is_clean
finish
