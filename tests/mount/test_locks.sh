#!/bin/bash
# test_locks.sh: locks of all kinds, and memory that processes share by mapping a file of the mount.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

whole_file_locks()
{
    : >"$mnt/flock" && flock -s "$mnt/flock" flock -sn "$mnt/flock" true && ! flock "$mnt/flock" flock -n "$mnt/flock" true &&
        ! flock -s "$mnt/flock" flock -n "$mnt/flock" true && flock -n "$mnt/flock" true
}

# Locks of ranges, of processes (fcntl) and of open files: who is in whose way, and who says so.
range_locks()
{
    python3 - "$mnt/ranges" <<'END'
import errno, fcntl, os, struct, sys
GETLK, SETLK, OFD_GETLK, OFD_SETLK = 5, 6, 36, 37
def lock(fd, kind, start, length, how=SETLK):
    return struct.unpack("hhqqi4x", fcntl.fcntl(fd, how, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)))
def refused(*args):
    try:
        lock(*args)
    except OSError as e:
        assert e.errno in (errno.EAGAIN, errno.EACCES)
        return True
def in_child(call):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if call() else 1)
    return os.waitpid(pid, 0)[1] == 0
path = sys.argv[1]
a = os.open(path, os.O_RDWR | os.O_CREAT)
lock(a, fcntl.F_WRLCK, 0, 100)
other = lambda: os.open(path, os.O_RDWR)
assert in_child(lambda: refused(other(), fcntl.F_RDLCK, 50, 10))
assert in_child(lambda: not refused(other(), fcntl.F_WRLCK, 100, 10))
assert in_child(lambda: lock(other(), fcntl.F_WRLCK, 0, 0, GETLK)[4] == os.getppid())
lock(a, fcntl.F_RDLCK, 0, 50)
assert in_child(lambda: not refused(other(), fcntl.F_RDLCK, 0, 50) and refused(other(), fcntl.F_RDLCK, 50, 1))
os.close(other())  # closing any descriptor of the process ends its locks: POSIX
assert in_child(lambda: not refused(other(), fcntl.F_WRLCK, 0, 0))
# Of open files: another one of the same process is in the way, a close of it is not.
b = other()
lock(a, fcntl.F_WRLCK, 0, 10, OFD_SETLK)
assert refused(b, fcntl.F_WRLCK, 5, 10, OFD_SETLK) and not refused(b, fcntl.F_WRLCK, 10, 10, OFD_SETLK)
assert lock(b, fcntl.F_WRLCK, 0, 5, OFD_GETLK)[4] == -1
os.close(b)
assert in_child(lambda: refused(other(), fcntl.F_WRLCK, 0, 1))  # against a lock of the process, too
os.close(a)
assert in_child(lambda: not refused(other(), fcntl.F_WRLCK, 0, 0))
END
}

# Who waits for a lock gets it when it is free, or when its holder is killed.
waiting()
{
    local holder
    : >"$mnt/wait" && rm -f "$work/held" && {
        (exec 9>"$mnt/wait" && flock 9 && touch "$work/held" && exec sleep 100) &
        holder=$!
    }
    while [ ! -e "$work/held" ]; do sleep 0.05; done
    ! flock -n "$mnt/wait" true && {
        flock "$mnt/wait" touch "$work/got" &
        sleep 0.3
        [ ! -e "$work/got" ] && kill -KILL $holder
        wait
    }
    [ -e "$work/got" ]
}

# Two processes see each other's writes at once; write(2), read(2) and truncation agree with the mappings; all of it is in the file.
shared_memory()
{
    python3 - "$mnt/shared" <<'END'
import mmap, os, sys
path, SIZE = sys.argv[1], 300000
fd = os.open(path, os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, SIZE)
up, down = os.pipe(), os.pipe()
m = mmap.mmap(fd, SIZE)
if os.fork() == 0:
    n = mmap.mmap(os.open(path, os.O_RDWR), SIZE)
    assert os.read(up[0], 1) == b"1" and n[5000:5005] == b"hello"
    n[250000:250005] = b"world"
    os.write(down[1], b"2")
    assert os.read(up[0], 1) == b"3" and n[100:104] == b"file" and n[299000:] == bytes(1000)
    n[0:1000] = bytes(range(250)) * 4
    os._exit(0)
m[5000:5005] = b"hello"
os.write(up[1], b"1")
assert os.read(down[0], 1) == b"2" and m[250000:250005] == b"world"
assert os.pread(fd, 5, 250000) == b"world"
os.pwrite(fd, b"file", 100)
os.ftruncate(fd, 299000)
os.ftruncate(fd, SIZE)
os.write(up[1], b"3")
assert os.wait()[1] == 0
m.flush()
want = bytearray(SIZE)
want[:1000], want[5000:5005], want[250000:250005] = bytes(range(250)) * 4, b"hello", b"world"
assert open(path, "rb").read() == want
os.close(fd)  # a mapping outlives the descriptor
m[200000:200004] = b"late"
m.close()
want[200000:200004] = b"late"
open(path + ".want", "wb").write(want)
END
}

private_mapping()
{
    python3 - "$mnt/shared" <<'END'
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
before = os.pread(fd, 1 << 20, 0)
m = mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
m[0:3] = b"own"
assert os.pread(fd, 1 << 20, 0) == before
END
}

check 'mkfs' mkfs
check 'mount' mount_it
check 'flock' whole_file_locks
check 'locks of ranges: of processes, of open files' range_locks
check 'who waits gets it' waiting
check 'shared memory' shared_memory
check 'a private mapping' private_mapping
check 'all of it after a remount' eval 'remount && cmp "$mnt/shared" "$mnt/shared.want"'
check 'a program that runs from the mount' eval 'cp /bin/true "$mnt/true" && "$mnt/true"'
check 'umount' umount_it
check 'fsck: clean' is_clean
finish
