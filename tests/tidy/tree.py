"""The rules of the source tree that can be read off its text.

Each rule is a function of a Tree that returns its findings, one line each; none is good. Together they
prove that dependencies run one way: mount/ -> fs/fs.h -> store/store.h -> store/env.h -> the system.
"""

import os
import re
import subprocess

LAYERS = ("store", "fs", "mount")
SOURCE_DIRS = LAYERS + ("tests",)

# What each layer may include of the others.
DOORS = {"store": set(), "fs": {"store/store.h"}, "mount": {"fs/fs.h"}}

TOP_LEVEL = {
    ".ci", ".clang-format", ".gitattributes", ".github", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md",
    "LICENSE", "Makefile", "README.md", "SECURITY.md", "docs", "fs", "mount", "store", "tests",
}

# The yardsticks came as they are, one file each, and stay comparable with where they came from.
WHOLE = {"tests/bench/kvbench.c"}

LINES_MAX = {".c": 800, ".h": 800, ".py": 800, ".sh": 800, "Makefile": 300}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)
NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def call_of(*names):
    """Matches a call of one of the functions, but not of a member or of a longer name."""
    return re.compile(r"(?<![\w.])(?<!->)(" + "|".join(names) + r")\s*\(")


OUTSIDE = call_of(
    # files and folders
    "open", "openat", "creat", "close", "read", "write", "readv", "writev", "pread", "pwrite", "preadv",
    "pwritev", "lseek", "fsync", "fdatasync", "syncfs", "sync", "sync_file_range", "truncate", "ftruncate",
    "fallocate", "posix_fallocate", "posix_fadvise", "readahead", "copy_file_range", "sendfile", "mmap",
    "unlink", "unlinkat", "remove", "rename", "renameat", "renameat2", "link", "symlink", "readlink",
    "mkdir", "mkdirat", "rmdir", "opendir", "fdopendir", "readdir", "closedir", "scandir", "stat", "lstat",
    "fstat", "fstatat", "statx", "access", "statvfs", "fstatvfs", "statfs", "fstatfs", "flock", "fcntl",
    "ioctl", "fopen", "fdopen", "fclose", "fread", "fgets", "getline", "fflush", "mkstemp", "mkdtemp",
    # messages
    "printf", "vprintf", "fprintf", "vfprintf", "dprintf", "puts", "fputs", "putchar", "fputc", "fwrite",
    "perror", "syslog", "vsyslog",
    # clocks and randomness
    "clock_gettime", "gettimeofday", "time", "sleep", "usleep", "nanosleep", "clock_nanosleep",
    "getrandom", "getentropy", "rand", "srand", "random", "srandom", "drand48", "RAND_bytes",
    # processes, threads, surroundings
    "fork", "vfork", "execve?", "execvp", "system", "popen", "pthread_create", "pthread_join",
    "pthread_detach", "thrd_create", "sysconf", "getenv", "secure_getenv", "setenv", "syscall", "socket",
)

MEMORY = call_of(
    "malloc", "calloc", "realloc", "reallocarray", "aligned_alloc", "posix_memalign", "memalign", "strdup",
    "strndup", "asprintf", "vasprintf",
)

UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")


class Tree:
    """The files under `root`, and the order of modules that its tests/tidy/layers.txt asks for."""

    def __init__(self, root):
        self.root = root
        self.files = sorted(self._list())
        self.sources = [f for f in self.files if f.split("/")[0] in SOURCE_DIRS and f.endswith((".c", ".h"))]
        self._texts = {}
        self.order = self._read_order()

    def _list(self):
        """Paths relative to the root: what git would keep, or everything where there is no git."""
        if os.path.exists(os.path.join(self.root, ".git")):
            listing = subprocess.run(
                ["git", "-c", "safe.directory=*", "-C", self.root, "ls-files", "-coz", "--exclude-standard"],
                stdout=subprocess.PIPE, check=False)
            if listing.returncode == 0:
                names = [os.fsdecode(n) for n in listing.stdout.split(b"\0") if n]
                return [n for n in names if os.path.isfile(os.path.join(self.root, n))]
        names = []
        for folder, folders, files in os.walk(self.root):
            if folder == self.root:
                folders[:] = [f for f in folders if f != ".git" and not f.startswith("build")]
            folders[:] = [f for f in folders if f != "__pycache__"]
            names += [os.path.relpath(os.path.join(folder, f), self.root) for f in files]
        return [n for n in names if n != "compile_commands.json"]

    def text(self, name):
        if name not in self._texts:
            with open(os.path.join(self.root, name), encoding="utf-8", errors="replace") as f:
                self._texts[name] = f.read()
        return self._texts[name]

    def code(self, name):
        """The text with comments and literals blanked; lines stay where they are."""
        return NOT_CODE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), self.text(name))

    def includes(self, name):
        """(line, '<' or '"', path) of each include."""
        text = self.text(name)
        return [(text.count("\n", 0, m.start()) + 1, m[1], m[2]) for m in INCLUDE.finditer(text)]

    def layer_files(self, *layers):
        return [f for f in self.sources if f.split("/")[0] in (layers or LAYERS)]

    def _read_order(self):
        order, section = {}, []
        for line in self.text("tests/tidy/layers.txt").splitlines():
            line = line.split("#")[0].strip()
            if line.endswith(":"):
                section = order.setdefault(line[:-1], [])
            else:
                section += line.split() if line else []
        return order


def module(name):
    return os.path.splitext(os.path.basename(name))[0]


def calls(tree, files, pattern, allowed, why):
    found = []
    for name in files:
        if os.path.splitext(name)[0] in allowed:
            continue
        code = tree.code(name)
        for m in pattern.finditer(code):
            found.append(f"{name}:{code.count(chr(10), 0, m.start()) + 1}: {m[1]}(): {why}")
    return found


def doors(tree):
    """No layer looks past the door of the one below it, and nothing looks upwards."""
    found = []
    for name in tree.layer_files():
        layer = name.split("/")[0]
        for line, kind, path in tree.includes(name):
            top = path.split("/")[0]
            if kind == "<":
                if "fuse" in path and layer != "mount" and not path.startswith("linux/"):
                    found.append(f"{name}:{line}: <{path}>: only mount/ knows of FUSE")
            elif top == "tests":
                found.append(f'{name}:{line}: "{path}": the program does not include its tests')
            elif top in LAYERS and top != layer and path not in DOORS[layer]:
                allowed = ", ".join(DOORS[layer]) or "nothing"
                found.append(f'{name}:{line}: "{path}": {layer}/ may include {allowed} of the other layers')
    return found


def full_paths(tree):
    """Quoted includes are paths from the root of the tree, so that each says which layer it enters."""
    return [f'{name}:{line}: "{path}": no such file; write the path from the root of the tree'
            for name in tree.sources for line, kind, path in tree.includes(name)
            if kind == '"' and path not in tree.sources]


def cycles(tree):
    """No header includes itself, over however many others."""
    found, state = [], {}

    def visit(name, trail):
        state[name] = "open"
        for _, kind, path in tree.includes(name):
            if kind != '"' or path not in tree.sources:
                continue
            if state.get(path) == "open":
                loop = trail[trail.index(path):] if path in trail else trail
                found.append("include cycle: " + " -> ".join(loop + [path]))
            elif path not in state:
                visit(path, trail + [path])
        state[name] = "done"

    for name in tree.sources:
        if name not in state:
            visit(name, [name])
    return found


def order(tree):
    """Within a layer, a file includes only modules that stand before its own in layers.txt."""
    found = []

    def place(name):
        """Where `name` stands in its layer: under its full name, as a module, or as NAME_PART of NAME."""
        modules = tree.order.get(name.split("/")[0], [])
        names = [os.path.basename(name), module(name)]
        while "_" in names[-1]:
            names.append(names[-1].rpartition("_")[0])
        return next((modules.index(n) for n in names if n in modules), None)

    for name in tree.layer_files():
        if place(name) is None:
            found.append(f"{name}: not in tests/tidy/layers.txt: add '{module(name)}' to its layer, after "
                         "the last module that it includes and before the first that includes it")
            continue
        for line, kind, path in tree.includes(name):
            same_layer = kind == '"' and path.split("/")[0] == name.split("/")[0]
            if same_layer and (place(path) or 0) > place(name):
                found.append(f'{name}:{line}: "{path}" stands after {name} in tests/tidy/layers.txt')
    return found


def guards(tree):
    """A header is guarded by VARVE_DIR_FILE_H; under tests/, TESTS_ may be left out."""
    found = []
    for name in (f for f in tree.sources if f.endswith(".h")):
        guard = "VARVE_" + re.sub(r"\W", "_", name).upper()
        code = tree.code(name).split()
        wanted = {guard, guard.replace("VARVE_TESTS_", "VARVE_")}
        if not (len(code) > 4 and code[0] == "#ifndef" and code[2] == "#define" and code[1] == code[3]
                and code[1] in wanted and code[-1] == "#endif"):
            found.append(f"{name}: not guarded by #ifndef {guard}, #define {guard}, #endif")
    return found


def outside(tree):
    """Below mount/, only what layers.txt names reaches outside the process; the rest goes through env.h."""
    return calls(tree, tree.layer_files("store", "fs"), OUTSIDE, tree.order.get("outside", []),
                 "reaches outside the process: that is for store/env.h (see tests/tidy/layers.txt)")


def memory(tree):
    """Raw allocation stays behind mem_alloc() and its like."""
    return calls(tree, tree.layer_files(), MEMORY, tree.order.get("memory", []),
                 "allocates: use mem_alloc() and its like of store/bytes.h")


def assertions(tree):
    """Assertions stay on: nothing defines NDEBUG."""
    return [f"{name}: mentions NDEBUG; assertions stay on" for name in tree.sources + ["Makefile"]
            if name in tree.files and re.search(r"-DNDEBUG(?!\.)|define\s+NDEBUG", tree.text(name))]


def length(tree):
    """A file can be read in one sitting."""
    found = []
    for name in tree.files:
        most = LINES_MAX.get(os.path.splitext(name)[1] or name)
        lines = tree.text(name).count("\n") if most else 0
        if most and lines > most and name not in WHOLE:
            found.append(f"{name}: {lines} lines, and {most} is the most")
    return found


def finished(tree):
    """Nothing is left for later in the text of the tree."""
    found = []
    for name in tree.files:
        if name.endswith((".c", ".h", ".py", ".sh", ".md", ".txt")) or "." not in name:
            text = tree.text(name)
            found += [f"{name}:{text.count(chr(10), 0, m.start()) + 1}: {m[1]}: do it or drop it"
                      for m in UNFINISHED.finditer(text)]
    return found


def top_level(tree):
    """The top level has only what it is meant to have."""
    tops = sorted({f.split("/")[0] for f in tree.files})
    return [f"{top}: does not belong at the top level (see TOP_LEVEL in tests/tidy/tree.py)"
            for top in tops if top not in TOP_LEVEL]


def test_names(tree):
    """Every test is picked up by the Makefile: a name that it does not look for would never run."""
    patterns = {
        "tests/unit": (r"(store|fs|mount)_\w+\.c|\w+\.h", "store_*.c, fs_*.c or mount_*.c"),
        "tests/fuzz": (r"fuzz_\w+\.c|\w+\.h", "fuzz_*.c"),
    }
    return [f"{name}: name it {patterns[os.path.dirname(name)][1]}, or `make check` does not know it"
            for name in tree.files
            if os.path.dirname(name) in patterns and name.endswith((".c", ".h"))
            and not re.fullmatch(patterns[os.path.dirname(name)][0], os.path.basename(name))]


def executable_tests(tree):
    """Test scripts can be run as they are."""
    return [f"{name}: not executable; chmod +x" for name in tree.files
            if re.fullmatch(r"tests/(tidy|mount)/test_\w+\.(sh|py)", name)
            and not os.access(os.path.join(tree.root, name), os.X_OK)]


RULES = (doors, full_paths, cycles, order, guards, outside, memory, assertions, length, finished, top_level,
         test_names, executable_tests)
