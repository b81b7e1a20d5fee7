#!/bin/bash
# test_cli.sh: what people type: help, wrong command lines, and every bad input: one clear line, the right exit status, nothing lost.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

alias_as()
{
    ln -s "$varvefs" "$work/$1"
}

# help_of COMMAND...: usage on standard output, exit status 0.
commands="mkfs mount umount fsck snapshot rollback diff checkpoint stat config scrub salvage events dump compact key"

help_of()
{
    "$@" --help >"$work/help" 2>"$work/help.err" || return
    [ ! -s "$work/help.err" ] && head -1 "$work/help" | grep -q '^usage: ' || return
    ! awk 'length > 100' "$work/help" | grep .
}

# Nothing in the volume has changed since `remember`.
remember()
{
    (cd "$volume" && sha256sum -- * | sort) >"$work/remembered"
}
unchanged()
{
    (cd "$volume" && sha256sum -- * | sort) | diff "$work/remembered" -
}

json()
{
    "$@" | python3 -c 'import json, sys; print(json.load(sys.stdin))'
}

# ---- help, versions, wrong words ----

every_help()
{
    local c
    for c in $commands; do
        help_of "$varvefs" $c && "$varvefs" help $c | cmp - <("$varvefs" $c -h) || return
    done
    help_of "$varvefs" && "$varvefs" help | cmp - <("$varvefs" --help)
}

versions()
{
    local c
    "$varvefs" --version | grep -q '^varvefs [0-9]' && "$varvefs" version | cmp - <("$varvefs" -V) || return
    for c in $commands; do
        "$varvefs" $c --version | grep -q '^varvefs [0-9]' || return
    done
}

wrong_words()
{
    refuses 2 'what to do is missing' "$varvefs" && refuses 2 "unknown command 'frobnicate'" "$varvefs" frobnicate &&
        refuses 2 "unknown command 'frobnicate'" "$varvefs" frobnicate x y && refuses 2 "unknown command 'x'" "$varvefs" help x &&
        refuses 2 "unknown option '--frob'" "$varvefs" --frob || return
    local c
    for c in mkfs mount umount snapshot stat; do
        refuses 2 "$c: unknown option '--frob'; see: varvefs $c --help" "$varvefs" $c --frob &&
            refuses 2 "$c: unknown option '--frob'" "$varvefs" $c a b --frob=1 &&
            refuses 2 "$c: unknown option '-Z'" "$varvefs" $c -Z && refuses 2 "$c: .* missing" "$varvefs" $c || return
    done
    refuses 16 "fsck: unknown option '--frob'" "$varvefs" fsck --frob && refuses 16 'fsck: .* missing' "$varvefs" fsck &&
        refuses 2 "too much on the command line: 'c'" "$varvefs" mount a b c &&
        refuses 2 "option '--json' takes no value" "$varvefs" stat --json=1 x &&
        refuses 2 "option '--chunk-size' needs a value" "$varvefs" mkfs --chunk-size &&
        refuses 2 "option '-o' needs a value" "$varvefs" mount a b -o &&
        refuses 2 "unknown command 'take'" "$varvefs" snapshot take x y
}

# ---- mkfs ----

mkfs_refuses()
{
    mkdir "$work/full" && echo precious >"$work/full/file" && echo precious >"$work/file" &&
        refuses 1 'not empty' "$varvefs" mkfs "$work/full" && refuses 1 'not a folder' "$varvefs" mkfs "$work/file" &&
        [ "$(cat "$work/full/file" "$work/file" | sort -u)" = precious ] && [ "$(ls "$work/full")" = file ] &&
        refuses 1 'the folder above it does not exist' "$varvefs" mkfs "$work/no/where" &&
        refuses 2 "'65' is no chunk size" "$varvefs" mkfs --chunk-size=65 "$work/v" &&
        refuses 2 "'8K' is no chunk size" "$varvefs" mkfs --chunk-size=8K "$work/v" &&
        refuses 2 "'2M' is no chunk size" "$varvefs" mkfs --chunk-size=2M "$work/v" &&
        refuses 2 "'lz4' is no compression" "$varvefs" mkfs --compression=lz4 "$work/v" &&
        refuses 2 "'zstd:20' is no compression" "$varvefs" mkfs --compression=zstd:20 "$work/v" && [ ! -e "$work/v" ]
}

mkfs_makes()
{
    mkfs | grep -q "^$volume: a new volume" && remember && refuses 1 'there is a varvefs volume in it already' "$varvefs" mkfs "$volume" &&
        unchanged && mkdir "$work/empty" && "$varvefs" mkfs -q "$work/empty" | cmp - /dev/null &&
        json "$varvefs" mkfs --json --chunk-size=256k --compression=none "$work/other" | grep -q "'chunk_bytes': 262144, 'zstd_level': 0" &&
        "$varvefs" stat "$work/other" | grep -q '^compression  *none$' &&
        "$work/mkfs.varvefs" --compression=zstd:7 "$work/by-alias" | grep -q 'zstd:7'
}

# ---- mount ----

mount_refuses()
{
    mkdir "$work/nothing" "$work/mnt2" && touch "$work/mnt2/occupied" "$work/plain" &&
        refuses 1 'no such folder; make a volume there with: varvefs mkfs' "$varvefs" mount "$work/missing" "$mnt" &&
        refuses 1 "$work/nothing: not a varvefs volume .no CURRENT file.; make one with: varvefs mkfs $work/nothing" \
            "$varvefs" mount "$work/nothing" "$mnt" &&
        refuses 1 'not a varvefs volume .no CURRENT file.; make one in an empty folder' "$varvefs" mount "$work/mnt2" "$mnt" &&
        refuses 1 'not a folder' "$varvefs" mount "$work/plain" "$mnt" &&
        refuses 1 'no such mount point; make it with: mkdir' "$varvefs" mount "$volume" "$work/missing" &&
        refuses 1 'no such mount point; make it with: mkdir' "$varvefs" mount "$volume" "$work/missing/deep" &&
        refuses 1 'not a folder, so nothing can be mounted' "$varvefs" mount "$volume" "$work/plain" &&
        refuses 1 'not empty' "$varvefs" mount "$volume" "$work/mnt2" &&
        refuses 1 'the volume .* lies inside it' "$varvefs" mount -o nonempty "$volume" "$work" &&
        mkdir "$work/other/inside" && refuses 1 'lies inside the volume' "$varvefs" mount "$work/other" "$work/other/inside" &&
        rmdir "$work/other/inside" &&
        [ -z "$(ls "$work/nothing")" ] && [ -z "$(daemons)" ] && ! is_mounted
}

mount_options_refused()
{
    refuses 2 "unknown mount option 'frobnicate'" "$varvefs" mount -o ro,frobnicate "$volume" "$mnt" &&
        refuses 2 "unknown mount option 'norelatime'" "$varvefs" mount -o norelatime "$volume" "$mnt" &&
        refuses 2 "'lots' is not a size" "$varvefs" mount -o cache=lots "$volume" "$mnt" &&
        refuses 2 "mount option 'cache' needs a value" "$varvefs" mount -o cache "$volume" "$mnt" &&
        refuses 2 "mount option 'ro' takes no value" "$varvefs" mount -o ro=1 "$volume" "$mnt" &&
        refuses 2 "'lzma' is no compression" "$varvefs" mount -o compression=lzma "$volume" "$mnt" &&
        refuses 2 "unknown mount option 'frob'" "$work/mount.varvefs" "$volume" "$mnt" -o frob && ! is_mounted
}

mounted_already()
{
    mkdir -p "$work/mnt3" && mount_it && refuses 1 'a varvefs volume is mounted here already' "$varvefs" mount "$volume" "$mnt" &&
        refuses 1 "in use by process [0-9]+, mounted at $mnt; take it down first with: varvefs umount $mnt" \
            "$varvefs" mount "$volume" "$work/mnt3" &&
        refuses 8 "in use by process [0-9]+, mounted at $mnt" "$varvefs" fsck "$volume" &&
        refuses 1 'in use|volume in it already' "$varvefs" mkfs "$volume" &&
        echo alive >"$mnt/alive" && [ "$(cat "$mnt/alive")" = alive ] && umount_it && is_clean
}

# As another user, who has no right to the volume, or to /dev/fuse.
no_permission()
{
    local as='setpriv --reuid 65534 --regid 65534 --clear-groups' seen=$work/../varve-seen.$$ status
    chmod 711 "$work" && chmod 700 "$volume" && refuses 1 'permission denied' $as "$varvefs" mount "$volume" "$mnt" &&
        refuses 8 'permission denied' $as "$varvefs" fsck "$volume" &&
        refuses 1 'permission denied' $as "$varvefs" mkfs "$work/not-mine" || return
    $as "$varvefs" mkfs "$seen" >/dev/null && mkdir "$seen.mnt" && chown 65534 "$seen.mnt" &&
        { $as test -w /dev/fuse || refuses 1 'no permission to open /dev/fuse: run as root, or ' $as "$varvefs" mount "$seen" "$seen.mnt"; }
    status=$?
    rm -rf "$seen" "$seen.mnt"
    return $status
}

# A system without /dev/fuse, made by a file system over /dev.
no_device()
{
    unshare -m sh -c "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && exec \"\$@\"" sh \
        "$varvefs" mount "$volume" "$mnt" 2>"$work/no-device" </dev/null
    [ $? = 1 ] && cat "$work/no-device" && grep -q 'varvefs: there is no /dev/fuse: ' "$work/no-device" && [ "$(wc -l <"$work/no-device")" = 1 ]
}

mount_accepts()
{
    mount_it -o rw,nosuid,nodev,noexec,noatime,relatime,defaults,user,_netdev,x-systemd.automount,nofail,noauto,default_permissions,comment=x,cache=16M,memtable=8M,compression=zstd:5 &&
        grep " $mnt " /proc/self/mountinfo | grep -q 'noexec' && echo x >"$mnt/x" && umount_it || return
    # As mount.fuse(8) and mount(8) call it.
    "$varvefs" "$volume" "$mnt" -o rw,dev,suid && is_mounted && umount_it &&
        "$work/mount.varvefs" "$volume" "$mnt" -n -v -o rw,noatime && is_mounted && umount_it &&
        "$work/mount.fuse.varvefs" "$volume" "$mnt" -s -o frobnicate,rw -t fuse.varvefs && is_mounted && umount_it &&
        "$work/mount.varvefs" -f "$volume" "$mnt" && ! is_mounted
}

read_only()
{
    mount_it && echo kept >"$mnt/kept" && umount_it && remember && mount_it -o ro && [ "$(cat "$mnt/kept")" = kept ] &&
        fails 'Read-only file system' touch "$mnt/new" && fails 'Read-only file system' mkdir "$mnt/.varve/snapshots/new" &&
        df "$mnt" && umount_it && unchanged || return
    # Its daemon has ended, too, when umount returns, though it shares the lock with whoever else reads.
    local _
    for _ in {1..10}; do "$varvefs" mount -o ro "$volume" "$mnt" && "$varvefs" umount "$mnt" && [ -z "$(daemons)" ] || return; done
}

odd_paths()
{
    local odd
    odd=$work/$(printf "o d,d\\\\\t'\"=%%\303\274\377")
    mkdir "$odd" && "$varvefs" mkfs "$odd/volume" && mkdir "$odd/mnt" && "$varvefs" mount "$odd/volume" "$odd/mnt" &&
        echo x >"$odd/mnt/file" && refuses 1 'in use by process' "$varvefs" mount "$odd/volume" "$mnt" &&
        "$varvefs" snapshot create "$odd/volume" one && [ -e "$odd/mnt/.varve/snapshots/one/file" ] &&
        json "$varvefs" stat --json "$odd/mnt" && (cd "$odd" && "$varvefs" umount mnt) && ! mountpoint -q "$odd/mnt" &&
        (cd "$odd" && "$varvefs" mount ./volume/ mnt/ && "$varvefs" umount ./mnt/) && json "$varvefs" fsck --json "$odd/volume"
}

foreground()
{
    local pid _
    "$varvefs" mount -f "$volume" "$mnt" &
    pid=$!
    for _ in {1..100}; do ! is_mounted || break; sleep 0.05; done
    is_mounted && echo foreground >"$mnt/fg" && kill -INT $pid && wait $pid && ! is_mounted && mount_it && [ -e "$mnt/fg" ] && umount_it
}

# The daemon's messages, and nothing of the shell's is kept open by it.
daemon_manners()
{
    local pid out
    out=$("$varvefs" mount -o log="$work/daemon.log" "$volume" "$mnt" 2>&1 9>"$work/held") && [ -z "$out" ] && pid=$(daemons) &&
        [ "$(readlink "/proc/$pid/cwd")" = / ] && [ "$(readlink "/proc/$pid/fd/1")" = /dev/null ] &&
        ! find "/proc/$pid/fd" -lname "$work/held" | grep . && [ "$(ps -o sid= -p "$pid" | tr -d ' ')" = "$pid" ] &&
        umount_it && [ -f "$work/daemon.log" ] && refuses 1 'cannot be written to as a log' "$varvefs" mount -o log=/proc/nothing "$volume" "$mnt"
}

# ---- umount ----

umount_refuses()
{
    mkdir -p "$work/tmpfs" && mount -t tmpfs none "$work/tmpfs" && refuses 1 'of type tmpfs is mounted here' "$varvefs" umount "$work/tmpfs" &&
        umount "$work/tmpfs" && refuses 1 'nothing is mounted here' "$varvefs" umount "$mnt" &&
        refuses 1 'No such file' "$varvefs" umount "$work/missing" && refuses 2 'no number' "$varvefs" umount --timeout=soon "$mnt" &&
        mount_it && refuses 1 "a volume; it is mounted at $mnt" "$varvefs" umount "$volume" &&
        (cd "$mnt" && refuses 1 'in use: a file in it is open' "$varvefs" umount "$mnt") && is_mounted && umount_it
}

# ---- dead mounts ----

kill_daemon()
{
    local pid
    pid=$(daemons) && kill -KILL "$pid" && for _ in {1..100}; do [ -n "$(daemons)" ] || return 0; sleep 0.05; done
}

dead_mount()
{
    mount_it && echo before >"$mnt/before-kill" && kill_daemon && fails 'not connected' ls "$mnt" &&
        refuses 1 'its daemon has ended; take it down with: varvefs umount' "$varvefs" stat "$mnt" &&
        "$varvefs" umount "$mnt" && ! is_mounted && mount_it && [ "$(cat "$mnt/before-kill")" = before ] &&
        kill_daemon && mount_it 2>"$work/note" && grep -q 'took down what a varvefs that was killed had left' "$work/note" &&
        [ "$(cat "$mnt/before-kill")" = before ] && [ "$(grep -c " $mnt " /proc/self/mountinfo)" = 1 ] && umount_it && is_clean
}

# ---- damaged and foreign volumes ----

copy_of_volume()
{
    rm -rf "$work/copy" && cp -a "$volume" "$work/copy"
}

# forge FIELD: lets the copy's manifest say, under a good checksum, that it needs a program of the future. docs/FORMAT.md has the header.
forge()
{
    copy_of_volume && python3 - "$work"/copy/*.manifest "$1" <<'END'
import ctypes, sys
xxh3 = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
xxh3.restype = ctypes.c_uint64
data = bytearray(open(sys.argv[1], "rb").read())
def seal():
    return xxh3(bytes(data[:88]), ctypes.c_size_t(88)).to_bytes(8, "little")
assert data[88:96] == seal(), "the checksum is not where this test looks for it"
if sys.argv[2] == "version":
    data[8:10] = (999).to_bytes(2, "little")
else:
    data[16:24] = (1 << 40).to_bytes(8, "little")
data[88:96] = seal()
open(sys.argv[1], "wb").write(data)
END
}

newer_format()
{
    local field status
    for field in version features; do
        forge $field && rm -rf "$work/copy.before" && cp -a "$work/copy" "$work/copy.before" || return
        "$varvefs" mount "$work/copy" "$mnt" 2>"$work/newer"
        status=$?
        cat "$work/newer"
        [ $status = 1 ] && grep -q '^varvefs: .*newer varvefs' "$work/newer" && ! is_mounted || return
        "$varvefs" fsck "$work/copy" >"$work/newer" 2>&1
        status=$?
        cat "$work/newer"
        [ $status = 8 ] && grep -q '^varvefs: .*newer varvefs' "$work/newer" && diff -r "$work/copy" "$work/copy.before" || return
    done
}

# No damage may be mounted silently wrong, crash, or be changed by looking at it.
damaged()
{
    local file
    for file in "$volume"/*.manifest "$volume"/CURRENT; do
        copy_of_volume && truncate -s 20 "$work/copy/${file##*/}" || return
        "$varvefs" fsck "$work/copy" >"$work/fsck.out" 2>&1
        [ $? = 4 ] || [ $? = 8 ] || { echo "fsck after cutting $file:"; cat "$work/fsck.out"; return 1; }
        timeout 60 "$varvefs" mount "$work/copy" "$mnt" >"$work/mount.out" 2>&1
        [ $? = 1 ] || { echo "mounted with $file cut off"; cat "$work/mount.out"; return 1; }
        grep -q '^varvefs: ' "$work/mount.out" || { cat "$work/mount.out"; return 1; }
    done
}

fsck_prints()
{
    "$varvefs" fsck "$volume" | grep -q "^$volume: clean" && "$varvefs" fsck -n -f -v "$volume" && "$work/fsck.varvefs" -a "$volume" &&
        "$work/fsck.varvefs" -p -C0 "$volume" && json "$varvefs" fsck --json "$volume" | grep -q "'clean': True" &&
        refuses 8 'no such folder' "$varvefs" fsck "$work/missing" && refuses 8 'not a varvefs volume' "$varvefs" fsck "$work/nothing"
}

stat_prints()
{
    "$varvefs" stat "$volume" | grep -q '^uuid' && json "$varvefs" stat --json "$volume" | grep -q "'inodes': " &&
        mount_it && "$varvefs" stat "$mnt" | grep -q "^mounted at  *$mnt" && "$varvefs" stat "$volume" | grep -q "^mounted at  *$mnt" &&
        json "$varvefs" stat --json "$mnt" | grep -q "'volume': '$volume'" && umount_it &&
        refuses 1 'not a varvefs volume' "$varvefs" stat "$work/nothing" && refuses 1 'no such folder|No such' "$varvefs" stat "$work/missing"
}

# A full disk under the volume: ENOSPC for writers, reading and deleting go on, and afterwards writing does.
full_disk()
{
    mkdir "$work/small" && mount -t tmpfs -o size=200m none "$work/small" && "$varvefs" mkfs "$work/small/volume" && mkdir "$work/small.mnt" &&
        "$varvefs" mount "$work/small/volume" "$work/small.mnt" && head -c 1000000 /dev/urandom >"$work/small.mnt/first" &&
        fails 'No space left' dd if=/dev/urandom of="$work/small.mnt/big" bs=1M count=400 conv=fsync &&
        [ "$(stat -c %s "$work/small.mnt/first")" = 1000000 ] && rm "$work/small.mnt/big" && local _ &&
        for _ in {1..100}; do ! echo again 2>/dev/null >"$work/small.mnt/again" || break; sleep 0.1; done &&
        [ "$(cat "$work/small.mnt/again")" = again ] && "$varvefs" umount "$work/small.mnt" && "$varvefs" fsck "$work/small/volume"
}

for name in mkfs.varvefs fsck.varvefs mount.varvefs mount.fuse.varvefs; do
    alias_as $name
done
check 'help of every command' every_help
check 'versions' versions
check 'wrong commands and options' wrong_words
check 'mkfs refuses' mkfs_refuses
check 'mkfs makes' mkfs_makes
check 'mount refuses' mount_refuses
check 'mount refuses options' mount_options_refused
check 'a volume that is mounted' mounted_already
check 'no permission' no_permission
check 'no /dev/fuse' no_device
check 'mount accepts' mount_accepts
check 'read-only' read_only
check 'paths with every kind of byte' odd_paths
check 'foreground' foreground
check 'the daemon leaves its terminal' daemon_manners
check 'umount refuses' umount_refuses
check 'a killed daemon' dead_mount
check 'a volume of a newer format' newer_format
check 'damaged volumes' damaged
check 'fsck' fsck_prints
check 'stat' stat_prints
check 'a full disk' full_disk
check 'no daemon is left' test -z "$(daemons)"
finish
