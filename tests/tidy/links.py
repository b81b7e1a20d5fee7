"""The rules of the layers, read off the symbols of what was compiled: an include that slips through, or a
hand-written declaration, still leaves a name that the linker has to find."""

import re
import subprocess

# What the doors hand on of the layer's own ground: slices, buffers, integers, memory, messages, clocks.
COMMON = re.compile(r"(slice|buf|take|put|get|varint|mem|log|timed|thread)_|corrupt(_last|_forget)?$")
STORE_DOOR = re.compile(r"store_")
FS_DOOR = re.compile(r"fs_")


class Part:
    """The symbols of one layer: of an archive, or of a list of objects."""

    def __init__(self, files):
        self.defined = self._names(files, "--defined-only")
        self.undefined = set(self._names(files, "--undefined-only")) - set(self.defined)

    @staticmethod
    def _names(files, which):
        """{symbol: the file or archive member it was last seen in}"""
        names, where = {}, None
        if not files:
            return names
        listing = subprocess.run(["nm", "-P", "--extern-only", which] + files, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, check=True, text=True).stdout
        for line in listing.splitlines():
            words = line.split()
            if line.endswith(":"):
                where = line[:-1]
            elif len(words) >= 2 and words[1] not in "wWvV":
                names[words[0]] = where or files[0]
        return names


def uses(user, used, door):
    """The symbols of `used` that `user` needs although they are not in its `door`."""
    return sorted(n for n in user.undefined if n in used.defined and not door.match(n) and not COMMON.match(n))


def fs_sees_only_the_door_of_store(store, fs, mount):
    return [f"libfs.a needs {name} of {store.defined[name]}" for name in uses(fs, store, STORE_DOOR)]


def mount_sees_only_the_door_of_fs(store, fs, mount):
    return [f"mount/ needs {name} of {fs.defined[name]}" for name in uses(mount, fs, FS_DOOR)] + \
           [f"mount/ needs {name} of {store.defined[name]}" for name in uses(mount, store, COMMON)]


def nothing_calls_upwards(store, fs, mount):
    return [f"{low} needs {name} of {high.defined[name]}"
            for low, part, above in (("libstore.a", store, (fs, mount)), ("libfs.a", fs, (mount,)))
            for high in above for name in sorted(part.undefined) if name in high.defined]


def no_name_is_defined_twice(store, fs, mount):
    """The linker would silently take the first of two."""
    return [f"{name} is defined in {a.defined[name]} and in {b.defined[name]}"
            for a, b in ((store, fs), (store, mount), (fs, mount))
            for name in sorted(a.defined) if name in b.defined]


RULES = (fs_sees_only_the_door_of_store, mount_sees_only_the_door_of_fs, nothing_calls_upwards,
         no_name_is_defined_twice)
