"""System calls that Python has no name for, for the tests on real mounts. Each raises OSError."""

import ctypes
import errno
import fcntl
import os
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
AT_SYMLINK_FOLLOW = 0x400

KEEP, PUNCH, ZERO = 1, 3, 16  # modes of fallocate; a hole is punched with the size kept
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4  # flags of renameat2

IMMUTABLE, APPEND, NODUMP = 0x10, 0x20, 0x40
GETFLAGS, SETFLAGS, GETVERSION = 0x80086601, 0x40086602, 0x80087601
FSGETXATTR, FSSETXATTR = 0x801C581F, 0x401C5820
FITRIM, FICLONE, FIDEDUPERANGE, FIEMAP = 0xC0185879, 0x40049409, 0xC0189436, 0xC020660B
VARVE_SYNC = 0x56A0


def _call(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def fallocate(fd, mode, offset, length):
    LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    _call(LIBC.fallocate(fd, mode, offset, length))


def renameat2(old, new, flags):
    _call(LIBC.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags))


def link_open(fd, path):
    """Gives an open file a name."""
    _call(LIBC.linkat(AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, os.fsencode(path), AT_SYMLINK_FOLLOW))


def get_flags(fd):
    return struct.unpack("I", fcntl.ioctl(fd, GETFLAGS, bytes(4)))[0]


def set_flags(fd, flags):
    fcntl.ioctl(fd, SETFLAGS, struct.pack("I", flags))


def get_xflags(fd):
    """xflags, extsize, nextents, projid, cowextsize."""
    return struct.unpack("5I8x", fcntl.ioctl(fd, FSGETXATTR, bytes(28)))


def set_xflags(fd, xflags, projid=0):
    fcntl.ioctl(fd, FSSETXATTR, struct.pack("5I8x", xflags, 0, 0, projid, 0))


def trim(fd):
    """How many bytes were given back."""
    return struct.unpack("3Q", fcntl.ioctl(fd, FITRIM, struct.pack("3Q", 0, 2**64 - 1, 0)))[1]


def name_to_handle(path):
    room = 128
    handle, mount = ctypes.create_string_buffer(8 + room), ctypes.c_int()
    struct.pack_into("Ii", handle, 0, room, 0)
    _call(LIBC.name_to_handle_at(AT_FDCWD, os.fsencode(path), handle, ctypes.byref(mount), 0))
    return handle.raw[: 8 + struct.unpack_from("I", handle, 0)[0]]


def open_by_handle(mount, handle, flags=os.O_RDONLY):
    where = os.open(mount, os.O_RDONLY)
    try:
        return _call(LIBC.open_by_handle_at(where, handle, flags))
    finally:
        os.close(where)


def fails(code, call, *args):
    """Asserts that the call fails with that errno."""
    try:
        call(*args)
    except OSError as e:
        assert e.errno == code, f"{call.__name__}: {errno.errorcode[e.errno]} instead of {errno.errorcode[code]}"
    else:
        raise AssertionError(f"{call.__name__}{args} succeeded, instead of {errno.errorcode[code]}")
