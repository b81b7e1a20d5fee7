#!/usr/bin/env bash
# Ordinary software on a mount: git, tar, sqlite3, cp -a; a huge sparse file; a folder with 100,000 files (FILES=n); a snapshot of all of it.
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
: "${VARVEFS:?the program to test}"
work=$(mktemp -d)
mnt=$work/mnt
passed=0 failed=0
# check NAME COMMAND...: a test that is its command's status; the output is shown if it fails.
check() {
    local name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1)) && echo "ok $name"
    else
        failed=$((failed + 1)) && echo "FAILED $name ($*)" && tail -n 15 "$work/out"
    fi
}
cleanup() {
    cd / && mountpoint -q "$mnt" && "$VARVEFS" umount "$mnt" >/dev/null 2>&1
    umount -l "$mnt" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
finish() { echo "$passed passed, $failed failed"; [ "$failed" = 0 ]; exit; }
volume_kb() { du -sk "$work/vol" | cut -f1; }

mkdir "$mnt" "$work/tree"
"$VARVEFS" mkfs "$work/vol" >/dev/null && "$VARVEFS" mount "$work/vol" "$mnt" || { check mount false; finish; }

# Real input: the project itself. Without its history (a tarball) its files still make a repository.
if git -C "$here" rev-parse HEAD >/dev/null 2>&1; then
    git -c safe.directory='*' clone -q "$here" "$work/origin"
else
    mkdir "$work/origin" && (cd "$here" && tar cf - --exclude='./build*' .) | tar xf - -C "$work/origin"
    git -C "$work/origin" init -q && git -C "$work/origin" add -A &&
        git -C "$work/origin" -c user.name=t -c user.email=t@example.org commit -qm all
fi

export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
check "git clone" git clone -q "$work/origin" "$mnt/clone"
check "git fsck" git -C "$mnt/clone" fsck --full --strict
check "git status is clean" sh -c "[ -z \"\$(git -C '$mnt/clone' status --porcelain)\" ]"
check "the clone has the same files" diff -r --exclude=.git "$work/origin" "$mnt/clone"
check "git commit" sh -c "cd '$mnt/clone' && echo x >>README.md && git -c user.name=t -c user.email=t@example.org commit -qam x && git fsck"

check "tar out of the mount" tar cf "$work/clone.tar" -C "$mnt" clone
check "tar into the mount" sh -c "mkdir '$mnt/untar' && tar xf '$work/clone.tar' -C '$mnt/untar'"
check "both trees are the same" diff -r "$mnt/clone" "$mnt/untar/clone"

# What cp -a has to keep: odd times, modes, links of both kinds, extended attributes, holes, special files.
(
    cd "$work/tree" || exit 1
    echo one >plain && ln plain hard && ln -s plain soft && ln -s /nowhere dangling
    mkdir -p deep/er && echo two >deep/er/file && chmod 2750 deep && chmod 0400 plain && chmod 4755 deep/er/file
    touch -d '1999-12-31 23:59:59.123456789' plain && touch -h -d '2001-02-03 04:05:06.7' soft
    touch -d '2038-01-20 00:00:00.5' deep/er
    mkfifo fifo && mknod null c 1 3
    setfattr -n user.comment -v 'a comment' deep/er/file && setfattr -n user.empty deep
    truncate -s 10M holes && echo end >>holes
    chown 12345:54321 deep/er/file && chmod 4755 deep/er/file
    touch "$(printf 'name with \n newline and \377')"
)
# describe FOLDER: everything cp -a should keep, as text.
describe() {
    (cd "$1" && find . -printf '%p|%y|%m|%U|%G|%n|%s|%T@|%l\n' | grep -av '^\.|' | sed 's/\(|d|[^|]*|[^|]*|[^|]*|\)[^|]*|[^|]*|/\1/' | sort &&
        find . -type f -exec md5sum {} + | sort && getfattr -R -P -d -m- . 2>/dev/null | grep -av '^$')
}
check "cp -a onto the mount" cp -a "$work/tree" "$mnt/copy"
describe "$work/tree" >"$work/want" && describe "$mnt/copy" >"$work/have"
check "cp -a kept times, modes, owners, links and attributes" diff "$work/want" "$work/have"
check "hard links share an inode" [ "$mnt/copy/plain" -ef "$mnt/copy/hard" ]
check "cp -a back from the mount" cp -a "$mnt/copy" "$work/back"
describe "$work/back" >"$work/have"
check "nothing changed on the way back" diff "$work/want" "$work/have"

before=$(volume_kb)
check "a sparse file of 4 GiB" truncate -s 4G "$mnt/sparse"
check "it takes no blocks" sh -c "[ \"\$(stat -c %b '$mnt/sparse')\" -lt 8 ]"
check "a byte at its end" sh -c "printf x | dd of='$mnt/sparse' bs=1 seek=4294967295 conv=notrunc status=none && sync -f '$mnt'"
check "its size is right, and it costs next to nothing" \
    sh -c "[ \"\$(stat -c %s '$mnt/sparse')\" = 4294967296 ] && [ \"\$(stat -c %b '$mnt/sparse')\" -le 2048 ] && [ \$((\$(du -sk '$work/vol' | cut -f1) - $before)) -lt 1024 ]"
check "it reads as zeros" sh -c "dd if='$mnt/sparse' bs=1M skip=2000 count=8 status=none | cmp -n 8388608 - /dev/zero"

check "sqlite3: 1000 transactions" python3 - "$mnt/test.db" <<'PY'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("pragma synchronous=full")
db.execute("create table t(a integer primary key, b text)")
for i in range(1000):
    db.execute("begin")
    db.execute("insert into t values(?, ?)", (i, "text %d" % i * 5))
    db.execute("commit")
assert db.execute("select count(*), sum(a) from t").fetchone() == (1000, 499500)
assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
PY

files=${FILES:-100000}
check "$files files in one folder" python3 - "$mnt/many" "$files" <<'PY'
import os, sys
os.mkdir(sys.argv[1])
for i in range(int(sys.argv[2])):
    os.close(os.open(f"{sys.argv[1]}/file-{i:07}", os.O_CREAT | os.O_WRONLY))
PY
check "all are listed" sh -c "[ \"\$(ls -f '$mnt/many' | grep -c file-)\" = $files ]"
check "all have attributes" sh -c "[ \"\$(find '$mnt/many' -type f -perm /u+w -printf x | wc -c)\" = $files ]"

check "a snapshot" mkdir "$mnt/.varve/snapshots/before"
rm -rf "$work/kept" && cp -a "$mnt/untar" "$work/kept"
check "everything is deleted" sh -c "rm -rf '$mnt'/*"
check "nothing is left" sh -c "[ -z \"\$(ls -A '$mnt')\" ]"
check "the snapshot still has the tree" diff -r "$work/kept/clone" "$mnt/.varve/snapshots/before/untar/clone"
check "the snapshot still has all files" sh -c "[ \"\$(ls -f '$mnt/.varve/snapshots/before/many' | grep -c file-)\" = $files ]"
check "the snapshot is read-only" sh -c "! touch '$mnt/.varve/snapshots/before/x' 2>/dev/null"
check "remount" sh -c "'$VARVEFS' umount '$mnt' && '$VARVEFS' mount '$work/vol' '$mnt'"
check "the snapshot is still there" diff -r "$work/kept/clone" "$mnt/.varve/snapshots/before/untar/clone"
full=$(volume_kb)
check "the snapshot goes" rmdir "$mnt/.varve/snapshots/before"
for _ in $(seq 60); do [ "$(volume_kb)" -lt $((full / 10 + 200)) ] && break; sleep 0.5; done
check "and the space returns ($full KiB before)" [ "$(volume_kb)" -lt $((full / 10 + 200)) ]
volume_kb
check "umount" "$VARVEFS" umount "$mnt"
check "fsck" "$VARVEFS" fsck "$work/vol"
finish
