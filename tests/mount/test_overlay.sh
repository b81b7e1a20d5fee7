#!/bin/bash
# test_overlay.sh: overlayfs with the mount as upper and work directory, which is what containers do: it asks for whiteouts, files
# without a name, extended attributes in the trusted space and handles.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

lower=$work/lower merged=$work/merged

make_lower()
{
    mkdir -p "$lower/dir/sub" "$lower/gone" "$merged" && echo a >"$lower/a" && echo b >"$lower/b" && echo c >"$lower/dir/c" &&
        echo d >"$lower/gone/d" && ln -s a "$lower/link" && setfattr -n user.x -v y "$lower/a" && chmod 750 "$lower/b"
}

overlay()
{
    mkdir -p "$mnt/upper" "$mnt/work" &&
        mount -t overlay overlay -o "lowerdir=$lower,upperdir=$mnt/upper,workdir=$mnt/work${1:-}" "$merged"
}

# Names go, change, come back; what is below stays as it is.
changes()
{
    cp -a "$lower" "$work/lower.before" && (
        cd "$merged" && rm a && mv b bb && mv dir moved && rm -r gone && mkdir gone && echo new >gone/new && echo more >>moved/c &&
            echo again >a && ln bb hard && ln -s bb soft && mkfifo fifo && [ "$(cat a)" = again ] && [ "$(cat bb)" = b ] &&
            [ "$(cat moved/c)" = "$(printf 'c\nmore')" ] && [ "$(ls gone)" = new ] && [ ! -e b ] && [ ! -e dir ] && [ -d moved/sub ] &&
            [ "$(stat -c %a bb)" = 750 ] && [ "$(stat -c %h bb)" = 2 ]
    ) && same "$lower" "$work/lower.before"
}

is_as_changed()
{
    [ "$(cd "$merged" && find . | sort | tr '\n' ' ')" = \
        '. ./a ./bb ./fifo ./gone ./gone/new ./hard ./link ./moved ./moved/c ./moved/sub ./soft ' ] &&
        [ "$(cat "$merged/a" "$merged/bb" "$merged/moved/c" | tr '\n' ' ')" = 'again b c more ' ]
}

works()
{
    (
        cd "$merged" && git init -q repo && cd repo && for i in {1..200}; do echo "$i" >"f$i" || exit; done && git add . &&
            git -c user.name=t -c user.email=t commit -qm one && git fsck --strict && git rm -q 'f1*' && git status --short | grep -c '^D' &&
            rm -rf ../repo
    ) && sqlite3 "$merged/db" 'create table t(x); insert into t values (1), (2); select sum(x) from t' | grep -qx 3
}

if ! grep -qw overlay /proc/filesystems || ! unshare -m true 2>/dev/null; then
    echo 'ok      # skipped: this kernel has no overlayfs, or does not let us mount it'
    finish
fi
check 'mkfs' mkfs
check 'mount' mount_it -o allow_other
check 'what is below' make_lower
check 'an overlay with the mount above' overlay
check 'it is one' mountpoint -q "$merged"
check 'changes go to the mount' changes
check 'whiteouts are there' eval '[ "$(stat -c "%F %t %T" "$mnt/upper/b")" = "character special file 0 0" ]'
check 'git and sqlite3 on it' works
check 'unmounted and mounted again' eval 'umount "$merged" && remount -o allow_other && overlay && rm -f "$merged/db" && is_as_changed'
check 'with renamed folders and handles' eval 'umount "$merged" && overlay ,redirect_dir=on,index=on && is_as_changed &&
    mv "$merged/moved" "$merged/moved2" && [ "$(tail -1 "$merged/moved2/c")" = more ]'
check 'umount' eval 'umount "$merged" && umount_it'
check 'fsck: clean' is_clean
finish
