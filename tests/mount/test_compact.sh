#!/bin/bash
# test_compact.sh: compaction on demand, as people use it: of a volume, by the daemon of a mount, refused, and given up.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

# field NAME COMMAND...: that field of the JSON that the command prints.
field()
{
    "${@:2}" 2>"$work/field.err" | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

# status STATUS COMMAND...: the command ends with that exit status.
status()
{
    local got=0
    "${@:2}" || got=$?
    [ $got = "$1" ] || { echo "exit status $got instead of $1"; return 1; }
}

# Files that stay, and as much that is deleted.
fill()
{
    local i
    mkdir "$mnt/gone" && head -c 3000000 /dev/urandom >"$mnt/kept" && seq 1 100000 >"$mnt/numbers" &&
        for i in 1 2 3 4 5 6; do head -c 2000000 /dev/urandom >"$mnt/gone/$i" || return; done && sync -f "$mnt" && rm -r "$mnt/gone"
    (cd "$mnt" && sha256sum kept numbers) >"$work/sums"
}

contents_are_right()
{
    (cd "$mnt" && sha256sum --quiet -c "$work/sums")
}

of_a_volume()
{
    mkfs -q && mount_it && fill && umount_it || return
    local before after out
    before=$(du -sb "$volume" | cut -f1)
    out=$("$varvefs" compact "$volume" 2>"$work/err") && [ ! -s "$work/err" ] && echo "$out" &&
        grep -qE "^$volume: compacted; [0-9.]+ [KMi]*B before, [0-9.]+ [KMi]*B after, [0-9.]+ [KMi]*B freed$" <<<"$out" || return
    after=$(du -sb "$volume" | cut -f1)
    [ "$after" -lt $((before - 6000000)) ] && is_clean && mount_it && contents_are_right && umount_it
}

as_json()
{
    [ "$(field state "$varvefs" compact --json "$volume")" = done ] && [ ! -s "$work/field.err" ] &&
        [ "$(field volume "$varvefs" compact --json "$volume")" = "$volume" ] || return
    local out
    out=$("$varvefs" compact --json "$volume") && python3 - "$out" <<'PY'
import json, sys
r = json.loads(sys.argv[1])
assert r["freed_bytes"] == max(0, r["before_bytes"] - r["after_bytes"]) and r["after_bytes"] > 3000000, r
assert r["done_bytes"] <= r["total_bytes"], r
PY
}

of_a_mount()
{
    local out
    mount_it && [ "$(field state "$varvefs" compact --status --json "$mnt")" = never ] && fill || return
    out=$("$varvefs" compact --json "$mnt") && echo "$out" && python3 - "$out" <<'PY' || return
import json, sys
r = json.loads(sys.argv[1])
assert r["state"] == "done" and r["freed_bytes"] > 6000000, r
PY
    contents_are_right && "$varvefs" compact "$mnt/numbers" | grep -q ': compacted; .* freed$' &&
        "$varvefs" compact --status "$mnt" | grep -q ': compacted; ' && "$varvefs" compact --no-wait "$mnt" && "$varvefs" compact --stop "$mnt" &&
        ! setfattr -n user.varve.compact -v nonsense "$mnt" 2>/dev/null && ! getfattr -m - "$mnt" | grep -q compact &&
        contents_are_right && umount_it && is_clean
}

# Progress is for people: on a terminal it is there, and nowhere else.
progress()
{
    mount_it && fill && python3 - "$varvefs" "$mnt" <<'PY' && umount_it
import os, pty, subprocess, sys
leader, follower = pty.openpty()
p = subprocess.Popen([sys.argv[1], "compact", sys.argv[2]], stdout=subprocess.PIPE, stderr=follower)
out = p.stdout.read()
assert p.wait() == 0 and b": compacted; " in out and b"\r" not in out, out
os.close(follower)
seen = b""
try:
    while chunk := os.read(leader, 4096):
        seen += chunk
except OSError:
    pass
assert b"\rvarvefs: compact" in seen and seen.endswith(b"\r\x1b[K"), seen
PY
}

refused()
{
    refuses 2 'compact: an operand is missing' "$varvefs" compact && refuses 2 "unknown option '--frob'" "$varvefs" compact --frob "$volume" &&
        refuses 2 "too much on the command line: 'b'" "$varvefs" compact "$volume" b &&
        refuses 2 'only one of --status, --stop and --no-wait' "$varvefs" compact --stop --no-wait "$volume" &&
        refuses 1 'no such folder' "$varvefs" compact "$work/none" && refuses 1 'not a varvefs volume' "$varvefs" compact "$work" &&
        refuses 1 'it is not mounted' "$varvefs" compact --stop "$volume" && refuses 1 'it is not mounted' "$varvefs" compact --no-wait "$volume" &&
        mount_it -o ro && refuses 1 'read-only' "$varvefs" compact "$mnt" && umount_it
}

# By somebody who holds its lock.
in_use()
{
    local result
    exec 8<>"$volume/LOCK" && flock -n 8 && refuses 1 'in use' "$varvefs" compact "$volume"
    result=$?
    exec 8>&-
    return $result
}

no_permission()
{
    local mode as='setpriv --reuid 65534 --regid 65534 --clear-groups'
    mount_it -o allow_other && chmod 711 "$work" || return
    for mode in 755 777; do # who may write to the folder may not do this for that
        chmod $mode "$mnt" && refuses 1 'only the owner of the mounted folder and root may compact it' $as "$varvefs" compact "$mnt" &&
            refuses 8 'only the owner of the mounted folder and root may scrub it' $as "$varvefs" scrub "$mnt" || return
    done
    chmod 755 "$mnt" && umount_it
}

# interrupted SIGNAL PLACE [OPTION]: given up, with 32 and one line. The signal comes as soon as it is caught.
interrupted()
{
    local pid got=0 _
    "$varvefs" compact "${@:3}" "$2" >"$work/out" 2>"$work/err" &
    pid=$!
    for _ in {1..200}; do ! begun "$pid" || break; sleep 0.02; done
    kill "-$1" $pid
    wait $pid || got=$?
    cat "$work/out" "$work/err"
    [ $got = 32 ] && [ ! -s "$work/out" ] && [ "$(wc -l <"$work/err")" = 1 ] &&
        grep -q "^varvefs: $2: given up; nothing is lost, and what was done stays done$" "$work/err"
}

# It catches the signals by now: bit 1 (SIGINT) of SigCgt. The shell that becomes it may do so, too, before.
begun()
{
    local caught
    [ "/proc/$1/exe" -ef "$varvefs" ] || return
    caught=$(awk '/^SigCgt/ { print $2 }' "/proc/$1/status" 2>/dev/null) && [ -n "$caught" ] && [ $((16#$caught & 2)) != 0 ]
}

# Small files, whose contents lie in tables, so that these are much to merge.
fill_tables()
{
    head -c 3000000 /dev/urandom | split -b 1000 -a 4 - "$mnt/small."
}

# Slowed down by a rate.
given_up_on_a_mount()
{
    mount_it && fill && fill_tables && "$varvefs" compact "$mnt" && remount -o set=background.rate=100000 && fill_tables || return
    interrupted INT "$mnt" && interrupted TERM "$mnt" && [ "$(field state "$varvefs" compact --status --json "$mnt")" = 'given up' ] &&
        contents_are_right || return
    # Taken down under it.
    "$varvefs" compact --no-wait "$mnt" && [ "$(field state "$varvefs" compact --status --json "$mnt")" = running ] && umount_it && is_clean &&
        mount_it && contents_are_right && umount_it
}

# An encrypted one: making the key of the passphrase takes long enough for the signal to be there before the first job.
given_up_of_a_volume()
{
    local pass=--passfile=$work/pass
    rm -rf "$volume" && echo 'open sesame' >"$work/pass" && chmod 600 "$work/pass" && mkfs -q --encrypt "$pass" && mount_it -o "${pass#--}" && fill && umount_it &&
        interrupted INT "$volume" "$pass" && interrupted TERM "$volume" "$pass" && refuses 1 'passphrase' "$varvefs" compact "$volume" &&
        "$varvefs" fsck "$pass" "$volume" && mount_it -o "${pass#--}" && contents_are_right && umount_it &&
        "$varvefs" compact "$pass" "$volume" && mount_it -o "${pass#--}" && contents_are_right && umount_it
}

check 'of a volume: it frees space, and tells how much' of_a_volume
check 'the report as JSON' as_json
check 'of a mount, by its daemon' of_a_mount
check 'progress on a terminal, none in a pipe' progress
check 'what makes no sense is refused' refused
check 'a volume that is in use' in_use
check 'only the owner and root' no_permission
check 'given up on a mount: by signals, and by taking it down' given_up_on_a_mount
check 'given up on a volume' given_up_of_a_volume
check 'no daemon is left' test -z "$(daemons)"
finish
