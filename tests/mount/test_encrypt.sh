#!/bin/bash
# test_encrypt.sh: an encrypted volume on a real mount: passphrases from every source, nothing in plain in the volume's files, wrong and
# missing passphrases told apart, passphrases added, changed and removed, a new generation of the key carried to the end, fsck with
# and without the key.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

pass=$work/pass new=$work/new marker=plain-text-that-nobody-may-see
(umask 077 && echo 'correct horse' >"$pass" && echo 'battery staple' >"$new" && echo wrong >"$work/wrong")

# at_terminal LINE... -- COMMAND...: runs the command at a terminal, and types a line at each question for a passphrase. What the
# terminal showed is printed.
at_terminal()
{
    python3 - "$@" <<'END'
import os, pty, sys
cut = sys.argv.index("--")
lines, command = sys.argv[1:cut], sys.argv[cut + 1:]
pid, fd = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
shown = b""
asked = 0
while True:
    try:
        piece = os.read(fd, 4096)
    except OSError:
        break
    if not piece:
        break
    shown += piece
    while asked < len(lines) and shown.count(b": ") > asked and shown.endswith(b": "):
        os.write(fd, lines[asked].encode() + b"\n")
        asked += 1
        shown += b"\n"
sys.stdout.write(shown.decode(errors="replace").replace("\r", ""))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
}

# ---- making and mounting ----

makes()
{
    mkdir -p "$mnt" && "$varvefs" mkfs --encrypt --passfile="$pass" "$volume" | grep -q ', encrypted$' && [ -f "$volume/KEYS" ]
}

fill()
{
    mkdir "$mnt/$marker" && for i in {1..50}; do echo "$marker $i" >"$mnt/$marker/file-$i" || return; done &&
        seq -f "$marker %.0f" 20000 >"$mnt/long" && setfattr -n user.note -v "$marker" "$mnt/long" && ln -s "$marker" "$mnt/link" &&
        sync -f "$mnt"
}

mount_and_fill()
{
    mount_it -o passfile="$pass" && fill && nothing_in_plain && "$varvefs" snapshot create "$mnt" "$marker" && umount_it && nothing_in_plain
}

nothing_in_plain()
{
    ! grep -raF -e "$marker" -e 'correct horse' "$volume"
}

holds()
{
    [ "$(wc -l <"$mnt/long")" = 20000 ] && [ "$(cat "$mnt/$marker/file-7")" = "$marker 7" ] && [ "$(readlink "$mnt/link")" = "$marker" ] &&
        [ "$(cat "$mnt/.varve/snapshots/$marker/$marker/file-50")" = "$marker 50" ]
}

mounts_with()
{
    mount_it "$@" && holds && umount_it
}

from_standard_input()
{
    "$varvefs" mount "$volume" "$mnt" <"$pass" && holds && umount_it &&
        printf 'correct horse\nmore' | "$varvefs" stat "$volume" | grep -q AES-256-GCM &&
        "$varvefs" stat --passfile=- "$volume" <"$pass" | grep -q AES-256-GCM
}

from_terminal()
{
    at_terminal 'correct horse' -- "$varvefs" stat "$volume" >"$work/shown" && grep -q "^Passphrase for .*: *$" "$work/shown" &&
        grep -q AES-256-GCM "$work/shown" && ! grep -q 'correct horse' "$work/shown" &&
        ! at_terminal 'incorrect' -- "$varvefs" stat "$volume" >"$work/shown" && grep -q 'the passphrase is wrong' "$work/shown"
}

twice_at_creation()
{
    at_terminal one two -- "$varvefs" mkfs --encrypt "$work/typed" >"$work/shown" && return 1
    grep -q 'not the same' "$work/shown" && [ ! -e "$work/typed/CURRENT" ] || return
    at_terminal one one -- "$varvefs" mkfs --encrypt "$work/typed" >"$work/shown" && echo one | "$varvefs" stat "$work/typed" >/dev/null
}

through_mount_8()
{
    ln -sf "$varvefs" "$work/mount.varvefs" && "$work/mount.varvefs" "$volume" "$mnt" -o "rw,passfile=$pass" && holds && umount_it
}

# ---- errors ----

says_what_is_wrong()
{
    refuses 1 'the passphrase is wrong' "$varvefs" stat --passfile="$work/wrong" "$volume" &&
        refuses 1 'the passphrase is wrong' "$varvefs" mount -o passfile="$work/wrong" "$volume" "$mnt" && ! is_mounted &&
        refuses 1 'no passphrase there' "$varvefs" stat "$volume" && refuses 1 'No such file' "$varvefs" stat --passfile="$work/none" "$volume" &&
        refuses 1 'failed' "$varvefs" stat --extpass=false "$volume" && refuses 1 'printed no passphrase' "$varvefs" stat --extpass=true "$volume"
}

a_plain_volume_given_a_passphrase()
{
    "$varvefs" mkfs -q "$work/plain" && "$varvefs" stat "$work/plain" | grep -q '^encryption *none' &&
        refuses 1 'not encrypted; if it should be' "$varvefs" stat --passfile="$pass" "$work/plain" &&
        refuses 1 'not encrypted, so there are no keys' "$varvefs" key list "$work/plain" &&
        refuses 2 'but not --encrypt' "$varvefs" mkfs --passfile="$pass" "$work/plain2"
}

damaged_keys()
{
    cp "$volume/KEYS" "$work/KEYS" && printf x | dd of="$volume/KEYS" bs=1 seek=700 conv=notrunc status=none &&
        ! "$varvefs" stat --passfile="$pass" "$volume" >"$work/said" 2>&1 && grep -q 'KEYS.*put back a copy' "$work/said" &&
        rm "$volume/KEYS" && ! "$varvefs" stat --passfile="$pass" "$volume" >"$work/said" 2>&1 && grep -q 'KEYS.*missing' "$work/said" &&
        cp "$work/KEYS" "$volume/KEYS" && "$varvefs" stat --passfile="$pass" "$volume" >/dev/null
}

others_may_read_it()
{
    cp "$pass" "$work/open" && chmod 644 "$work/open" && "$varvefs" stat --passfile="$work/open" "$volume" 2>&1 >/dev/null | grep -q 'chmod 600'
}

# ---- fsck ----

fsck_with_the_key()
{
    "$varvefs" fsck --passfile="$pass" "$volume" | grep -q ': clean'
}

fsck_without_the_key()
{
    "$varvefs" fsck -v "$volume" </dev/null >"$work/report" && grep -q 'N143 checked without the key' "$work/report" &&
        grep -q 'no damage, as far as can be told without the key' "$work/report" || return
    local table
    table=$(ls -S "$volume"/*.table | head -1)
    cp "$table" "$work/kept" && printf '\xff\x00\xff' | dd of="$table" bs=1 seek=200 conv=notrunc status=none
    "$varvefs" fsck "$volume" </dev/null >"$work/report"
    [ $? = 4 ] && grep -q "E111 $(basename "$table") at 96" "$work/report" && cp "$work/kept" "$table" && fsck_with_the_key
}

# ---- keys ----

adds_and_removes()
{
    "$varvefs" key add --passfile="$pass" --new-passfile="$new" --label=second "$volume" | grep -q 'slot 1' &&
        "$varvefs" key list "$volume" | grep -q 'slot 1 .*second' && mounts_with -o passfile="$new" &&
        "$varvefs" key list --json "$volume" | python3 -c 'import json, sys; assert len(json.load(sys.stdin)["slots"]) == 2' &&
        "$varvefs" key remove --passfile="$pass" --slot=1 "$volume" >/dev/null &&
        refuses 1 'the passphrase is wrong' "$varvefs" stat --passfile="$new" "$volume" &&
        refuses 1 'slot 1 is not in use' "$varvefs" key remove --passfile="$pass" --slot=1 "$volume" &&
        refuses 1 'the only passphrase' "$varvefs" key remove --passfile="$pass" --slot=0 "$volume" &&
        refuses 2 'is no slot' "$varvefs" key remove --slot=8 "$volume"
}

changes()
{
    "$varvefs" key change --passfile="$pass" --new-passfile="$new" "$volume" >/dev/null && mounts_with -o passfile="$new" &&
        refuses 1 'the passphrase is wrong' "$varvefs" stat --passfile="$pass" "$volume" &&
        printf 'battery staple\ncorrect horse\n' | "$varvefs" key change "$volume" >/dev/null && mounts_with -o passfile="$pass"
}

keys_of_a_mounted_volume()
{
    mount_it -o passfile="$pass" && refuses 1 'in use' "$varvefs" key change --passfile="$pass" --new-passfile="$new" "$volume" &&
        "$varvefs" key list "$volume" >/dev/null && umount_it
}

rotates()
{
    "$varvefs" key add --passfile="$pass" --new-passfile="$new" "$volume" >/dev/null &&
        refuses 1 'slot 1 needs its passphrase' "$varvefs" key rotate --passfile="$pass" "$volume" &&
        refuses 1 'the passphrase of slot 1 is wrong' "$varvefs" key rotate --passfile="$pass" --other-passfile=1:"$work/wrong" "$volume" &&
        "$varvefs" key rotate --passfile="$pass" --other-passfile=1:"$new" "$volume" | grep -q 'complete: .* generation 2' &&
        epochs_are 2 && mounts_with -o passfile="$new" && fsck_with_the_key
}

# Every file of the volume says that generation of the key in its header.
epochs_are()
{
    python3 - "$1" "$volume"/*.{table,blob,log,manifest} <<'END'
import struct, sys
assert len(sys.argv) > 3
for name in sys.argv[2:]:
    with open(name, "rb") as f:
        head = f.read(16)
    assert head[11] == 1 and struct.unpack_from("<I", head, 12)[0] == int(sys.argv[1]), name
END
}

a_mount_carries_it_over()
{
    "$varvefs" key rotate --passfile="$pass" --drop-others --later --json "$volume" |
        python3 -c 'import json, sys; r = json.load(sys.stdin); assert not r["complete"] and r["generation"] == 3 and r["old_files"] > 0' &&
        refuses 1 'the passphrase is wrong' "$varvefs" stat --passfile="$new" "$volume" && mount_it -o passfile="$pass" || return
    local _
    for _ in {1..300}; do
        ! "$varvefs" key list "$volume" | grep -q '2 generations' && break
        sleep 0.1
    done
    holds && umount_it && epochs_are 3 && mounts_with -o passfile="$pass"
}

# ---- memory ----

no_core_dump()
{
    mount_it -o passfile="$pass" && local pid && pid=$(cat "$volume/LOCK") && grep -q '^Max core file size *0 ' "/proc/$pid/limits" &&
        [ "$(tr '\0' ' ' <"/proc/$pid/cmdline" | grep -c 'correct horse')" = 0 ] && umount_it
}

check 'an encrypted volume is made' makes
check 'it is mounted and filled, and nothing is in its files in plain' mount_and_fill
check 'the passphrase comes from a file, also by --passfile' mounts_with --passfile="$pass"
check 'it comes from a command' mounts_with -o extpass="cat $pass"
check 'it comes from standard input' from_standard_input
check 'it is asked for at a terminal, and not shown' from_terminal
check 'a new one is asked for twice' twice_at_creation
check 'mount(8) hands it on' through_mount_8
check 'what is wrong with a passphrase is said' says_what_is_wrong
check 'a passphrase for a volume that is not encrypted is refused' a_plain_volume_given_a_passphrase
check 'damaged and missing keys are told from a wrong passphrase' damaged_keys
check 'a file that others may read is warned of' others_may_read_it
check 'fsck with the key' fsck_with_the_key
check 'fsck without the key verifies checksums and says what it could not look at' fsck_without_the_key
check 'passphrases are added and removed' adds_and_removes
check 'a passphrase is changed' changes
check 'keys of a mounted volume are left alone' keys_of_a_mounted_volume
check 'the key is rotated, to the end' rotates
check 'a mount carries on with it' a_mount_carries_it_over
check 'the daemon writes no core dump' no_core_dump
finish
