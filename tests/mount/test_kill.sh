#!/usr/bin/env bash
# kill -9 of the daemon at a random moment under load, twenty times in a row: after each, everything that was acknowledged is there, and the
# verifier agrees. ROUNDS=n changes the number.
set -u
here=$(cd "$(dirname "$0")" && pwd)
: "${VARVEFS:?the program to test}"
work=$(mktemp -d)
passed=0 failed=0 load=
say() { if [ "$1" = 0 ]; then passed=$((passed + 1)); echo "ok $2"; else failed=$((failed + 1)); echo "FAILED $2"; fi; }
cleanup() {
    [ -n "$load" ] && kill "$load" 2>/dev/null
    mountpoint -q "$work/mnt" 2>/dev/null || ls "$work/mnt" >/dev/null 2>&1 || "$VARVEFS" umount "$work/mnt" >/dev/null 2>&1
    mountpoint -q "$work/mnt" && "$VARVEFS" umount "$work/mnt" >/dev/null 2>&1
    umount -l "$work/mnt" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
mkdir "$work/mnt"
"$VARVEFS" mkfs "$work/vol" >/dev/null || { echo "FAILED mkfs"; echo "0 passed, 1 failed"; exit 1; }

for round in $(seq 1 "${ROUNDS:-20}"); do
    "$VARVEFS" mount "$work/vol" "$work/mnt" || { say 1 "round $round: mount"; break; }
    python3 "$here/load.py" run "$work/mnt" "$work/journal" 3 >"$work/out" 2>&1 &
    load=$!
    sleep "$((RANDOM % 2)).$((RANDOM % 9 + 1))"
    daemon=$(tr -dc 0-9 <"$work/vol/LOCK")
    kill -9 "$daemon" || { say 1 "round $round: the daemon had ended by itself"; break; }
    wait "$load" || { say 1 "round $round: load: $(cat "$work/out")"; load=; break; }
    load=
    "$VARVEFS" umount "$work/mnt" || { say 1 "round $round: unmounting what the dead daemon left"; break; }
    "$VARVEFS" mount "$work/vol" "$work/mnt" || { say 1 "round $round: mount after kill -9"; break; }
    python3 "$here/load.py" verify "$work/mnt" "$work/journal" 3 >"$work/out" 2>&1
    say $? "round $round: what was acknowledged is there"
    grep -vE '^worker [0-9]+: [0-9]+ operations' "$work/out"
    "$VARVEFS" umount "$work/mnt" || { say 1 "round $round: umount"; break; }
    "$VARVEFS" fsck -n "$work/vol" >"$work/out" 2>&1
    say $? "round $round: fsck is clean"
    [ "$failed" = 0 ] || { cat "$work/out"; break; }
done
tail -n 3 "$work/out"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
