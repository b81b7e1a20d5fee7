#!/bin/bash
# test_inodes.sh: what a mount does with files beyond names and data: files without a name, flags, times of birth, whiteouts, handles
# that outlive the mount, and the ioctls.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
export PYTHONPATH=${BASH_SOURCE[0]%/*} PYTHONDONTWRITEBYTECODE=1

unnamed()
{
    python3 - "$mnt" <<'END'
import errno, os, sys
from calls import *
os.chdir(sys.argv[1])
os.mkdir("t")
os.umask(0o027)
fd = os.open("t", os.O_TMPFILE | os.O_RDWR, 0o666)
os.write(fd, b"text" * 100000)
st = os.fstat(fd)
assert (st.st_nlink, st.st_mode, st.st_size) == (0, 0o100640, 400000)
assert os.listdir("t") == []
link_open(fd, "t/named")
assert os.fstat(fd).st_nlink == 1 and os.stat("t/named").st_ino == st.st_ino
fails(errno.EEXIST, link_open, fd, "t/named")
link_open(fd, "t/second")
os.close(fd)
assert open("t/second", "rb").read() == b"text" * 100000
alone = os.open("t", os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
fails(errno.ENOENT, link_open, alone, "t/x")
os.unlink("t/named")
fd = os.open("t/second", os.O_RDWR)
os.unlink("t/second")
fails(errno.ENOENT, link_open, fd, "t/x")  # it had its name
fails(errno.EISDIR, os.open, "t", os.O_RDWR)
fails(errno.EROFS, os.open, ".varve/snapshots/" + os.listdir(".varve/snapshots")[0], os.O_TMPFILE | os.O_RDWR)
# One is left open when the daemon ends.
left = os.open("t", os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(left, b"lost" * 1000)
END
}

# Inodes in use, by df.
inodes()
{
    df --output=iused "$mnt" | tail -1
}

# The kernel tells the daemon a little later that it has forgotten them.
nothing_left()
{
    local before _
    before=$(inodes) && python3 -c "import os, sys; [os.open(sys.argv[1], os.O_TMPFILE | os.O_RDWR) for i in range(100)]" "$mnt" &&
        for _ in {1..100}; do [ "$(inodes)" != "$before" ] || return 0; sleep 0.1; done
    return 1
}

flags()
{
    python3 - "$mnt" <<'END'
import errno, fcntl, os, sys
from calls import *
os.chdir(sys.argv[1])
open("f", "w").write("text")
os.mkdir("d")
open("d/in", "w").write("in")
d, f = os.open("d", os.O_RDONLY), os.open("f", os.O_RDWR)
assert get_flags(f) == 0 and get_flags(d) == 0 and get_xflags(f) == (0, 0, 0, 0, 0)
set_flags(f, NODUMP)
assert get_flags(f) == NODUMP and get_xflags(f)[0] == 0x80
set_xflags(f, 0)
assert get_flags(f) == 0
for flag in 1, 2, 4, 8, 0x80, 0x4000, 0x80000, 0x800000:
    fails(errno.EOPNOTSUPP, set_flags, f, flag)
fails(errno.EOPNOTSUPP, set_xflags, f, 0, 7)
assert fcntl.ioctl(f, GETVERSION, bytes(4)) == bytes(4)

# What was written before, and is not written back, is not refused.
os.write(f, b"TEXT and more")
set_flags(f, IMMUTABLE)
os.fsync(f)
os.close(f)
assert open("f").read() == "TEXT and more"
for how in os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_RDONLY | os.O_TRUNC:
    fails(errno.EPERM, os.open, "f", how)
for call in ((os.truncate, "f", 0), (os.chmod, "f", 0o600), (os.chown, "f", 1, 1), (os.utime, "f"), (os.unlink, "f"),
             (os.rename, "f", "g"), (os.link, "f", "g"), (os.setxattr, "f", "user.x", b"y"), (os.rename, "d/in", "f")):
    fails(errno.EPERM, *call)

f = os.open("f", os.O_RDONLY)
set_flags(f, APPEND)
fails(errno.EPERM, os.open, "f", os.O_WRONLY)
fails(errno.EPERM, os.open, "f", os.O_WRONLY | os.O_APPEND | os.O_TRUNC)
for i in range(3):
    with open("f", "a") as a:
        a.write("+")
os.utime("f")
fails(errno.EPERM, os.utime, "f", (1, 1))
fails(errno.EPERM, os.unlink, "f")
assert open("f").read() == "TEXT and more+++"
a = os.open("f", os.O_WRONLY | os.O_APPEND)
fails(errno.EPERM, fallocate, a, PUNCH, 0, 2)
fails(errno.EPERM, os.ftruncate, a, 0)

set_flags(d, IMMUTABLE)
for call in ((os.open, "d/new", os.O_CREAT | os.O_WRONLY), (os.mkdir, "d/new"), (os.unlink, "d/in"), (os.rename, "d/in", "x"),
             (os.rename, "f", "d/x"), (os.open, "d", os.O_TMPFILE | os.O_RDWR), (os.rmdir, "d"), (os.rename, "d", "e")):
    fails(errno.EPERM, *call)
open("d/in", "w").write("changed")
set_flags(d, APPEND | NODUMP)
open("d/new", "w").write("new")
assert get_flags(os.open("d/new", os.O_RDONLY)) == NODUMP
fails(errno.EPERM, os.unlink, "d/in")

# Who may.
if os.fork() == 0:
    os.setgid(65534), os.setuid(65534)
    fails(errno.EPERM, set_flags, f, 0)
    os._exit(0)
assert os.wait()[1] == 0
END
}

flags_stay()
{
    lsattr -d "$mnt/d" "$mnt/f" && lsattr -d "$mnt/d" | grep -q '^-----a-*d-* ' && lsattr "$mnt/f" | grep -q '^-----a-* ' &&
        fails 'not permitted' rm "$mnt/f" && chattr -a "$mnt/f" "$mnt/d" && rm -r "$mnt/f" "$mnt/d"
}

# The time of birth stays what it was.
birth()
{
    local before after born
    before=$(date +%s) && echo x >"$mnt/born" && mkdir "$mnt/born.d" && after=$(date +%s) && born=$(stat -c %W "$mnt/born") &&
        [ "$born" -ge "$before" ] && [ "$born" -le "$after" ] && touch -d 2001-01-01 "$mnt/born" && mv "$mnt/born" "$mnt/born2" &&
        [ "$(stat -c '%W %Y' "$mnt/born2")" = "$born $(date -d 2001-01-01 +%s)" ] && [ "$(stat -c %W "$mnt/born.d")" -ge "$before" ] &&
        stat -c '%F %s %h %a %U %b %t %T' "$mnt/born2" && remount -o allow_other && [ "$(stat -c %W "$mnt/born2")" = "$born" ] &&
        remount -o allow_root && [ "$(stat -c %W "$mnt/born2")" = "$born" ] && remount -o allow_other &&
        [ "$(stat -c '%W %F' "$mnt/.varve/snapshots")" != '0 directory' ]
}

renames()
{
    python3 - "$mnt" <<'END'
import errno, os, stat, sys
from calls import *
os.chdir(sys.argv[1])
os.mkdir("r")
os.chdir("r")
open("a", "w").write("a")
def is_whiteout(name):
    st = os.lstat(name)
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0 and st.st_nlink == 1
renameat2("a", "b", WHITEOUT)
assert is_whiteout("a") and open("b").read() == "a"
fails(errno.EEXIST, renameat2, "b", "a", WHITEOUT | NOREPLACE)
fails(errno.EINVAL, renameat2, "b", "a", WHITEOUT | EXCHANGE)
fails(errno.EINVAL, renameat2, "b", "a", NOREPLACE | EXCHANGE)
fails(errno.EINVAL, renameat2, "b", "a", 8)
renameat2("b", "a", WHITEOUT)
assert is_whiteout("b") and open("a").read() == "a"
os.mkdir("d")
renameat2("d", "e", WHITEOUT | NOREPLACE)
assert is_whiteout("d") and sorted(os.listdir(".")) == ["a", "b", "d", "e"]
for name in "bd":
    os.unlink(name)
END
}

# Handles that were taken before the daemon ended open the same files afterwards, wherever they are by then.
handles()
{
    python3 - "$mnt" "$varvefs" "$volume" <<'END'
import errno, os, subprocess, sys
from calls import *
mnt, varvefs, volume = sys.argv[1:]
os.chdir(mnt)
os.makedirs("h/deep/er")
for name in "h/deep/file", "h/gone":
    open(name, "w").write(name)
os.symlink("target", "h/link")
os.mkdir(".varve/snapshots/handles")
taken = {name: name_to_handle(name) for name in
         ("h/deep/file", "h/deep/er", "h/gone", ".", ".varve/snapshots/handles/h/deep/file")}
os.unlink("h/gone")
os.rename("h/deep", "h/moved")
os.chdir("/")
subprocess.check_call([varvefs, "umount", mnt])
subprocess.check_call([varvefs, "mount", "-o", "allow_other", volume, mnt])
def reopen(name, flags=os.O_RDONLY):
    return open_by_handle(mnt, taken[name], flags)
fd = reopen("h/deep/file", os.O_RDWR)
assert os.read(fd, 100) == b"h/deep/file"
os.pwrite(fd, b"H", 0)
os.close(fd)
assert open(mnt + "/h/moved/file").read() == "H/deep/file"
fd = reopen("h/deep/er")
assert os.readlink("/proc/self/fd/%d" % fd) == os.path.realpath(mnt) + "/h/moved/er"
assert os.path.samestat(os.fstat(fd), os.stat(mnt + "/h/moved/er"))
assert os.path.samestat(os.fstat(reopen(".")), os.stat(mnt))
fails(errno.ESTALE, reopen, "h/gone")
assert os.read(reopen(".varve/snapshots/handles/h/deep/file"), 100) == b"h/deep/file"
os.rmdir(mnt + "/.varve/snapshots/handles")
fails(errno.ESTALE, open_by_handle, mnt, taken["h/deep/file"][:8] + b"\xff" * 12)
END
}

# Space is given back on demand; others may not ask.
trims()
{
    head -c 20000000 /dev/urandom >"$mnt/much" && sync -f "$mnt/much" && rm "$mnt/much" && local before after
    before=$(du -s "$volume" | cut -f1)
    fstrim -v "$mnt" && after=$(du -s "$volume" | cut -f1) && [ $((before - after)) -ge 15000 ] &&
        fails 'not permitted' setpriv --reuid 65534 --clear-groups fstrim "$mnt"
}

# What was written before, to files that are still open, survives a kill.
sync_by_ioctl()
{
    local pid status
    exec 8>"$mnt/held" && printf 'not closed' >&8 && mkdir "$mnt/one" &&
        python3 -c 'import fcntl, os, sys; from calls import *; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), VARVE_SYNC)' "$mnt"
    status=$?
    for pid in $(daemons); do kill -KILL "$pid"; done
    exec 8>&-
    umount -l "$mnt"
    while [ -n "$(daemons)" ]; do sleep 0.1; done
    [ $status = 0 ] && mount_it -o allow_other && [ "$(cat "$mnt/held")" = 'not closed' ] && [ -d "$mnt/one" ]
}

check 'mkfs' mkfs
check 'mount' mount_it -o allow_other
chmod 755 "$work" "$mnt"
mkdir "$mnt/.varve/snapshots/first"
check 'O_TMPFILE and linkat' unnamed
check 'files without a name leave nothing behind' nothing_left
check 'and none after a remount' eval 'remount -o allow_other && nothing_left'
rmdir "$mnt/.varve/snapshots/first"
check 'flags: append-only, immutable, no-dump' flags
check 'flags after a remount, by chattr' eval 'remount -o allow_other && flags_stay'
check 'the time of birth' birth
check 'renameat2: whiteouts' renames
check 'handles after a remount' handles
check 'fstrim' trims
check 'sync by ioctl, and kill -9' sync_by_ioctl
check 'umount' umount_it
check 'fsck: clean' is_clean
finish
