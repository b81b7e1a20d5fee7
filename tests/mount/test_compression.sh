#!/bin/bash
# test_compression.sh: compression of single files and folders by an extended attribute, with the tools that people use.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

way()
{
    setfattr -n user.varve.compression -v "$2" "$1"
}

told()
{
    getfattr --only-values -n user.varve.compression "$1" 2>/dev/null
}

# What the volume takes, in KiB, once all is compacted.
taken()
{
    sync -f "$mnt" && "$varvefs" compact "$mnt" >/dev/null && du -sk "$volume" | cut -f1
}

inherited()
{
    mkdir "$mnt/d" && touch "$mnt/d/before" && way "$mnt/d" zstd:9 && [ "$(told "$mnt/d")" = zstd:9 ] && mkdir "$mnt/d/sub" && echo x >"$mnt/d/sub/f" &&
        [ "$(told "$mnt/d/sub/f")" = zstd:9 ] && [ -z "$(told "$mnt/d/before")" ] && way "$mnt/d/sub/f" none && [ "$(told "$mnt/d/sub/f")" = none ] &&
        setfattr -x user.varve.compression "$mnt/d/sub/f" && [ -z "$(told "$mnt/d/sub/f")" ] && ! getfattr -d "$mnt/d" | grep compression &&
        way "$mnt/d" default && touch "$mnt/d/after" && [ -z "$(told "$mnt/d/after")" ] && cp -a "$mnt/d/sub" "$mnt/copy" && [ -z "$(told "$mnt/copy")" ]
}

refused()
{
    local bad
    for bad in zstd:20 zstd:0 lz4 '' zstd:; do fails 'Invalid argument' way "$mnt/d" "$bad" || return; done
    fails 'No such attribute' setfattr -x user.varve.compression "$mnt/d" && fails 'Operation not permitted' way "$mnt/.varve" none
}

takes_effect()
{
    local before with without
    mkdir "$mnt/raw" && way "$mnt/raw" none && before=$(taken) && seq 1 2000000 >"$work/numbers" && cp "$work/numbers" "$mnt/raw/" && without=$(taken) &&
        [ $((without - before)) -gt 14000 ] && cp "$work/numbers" "$mnt/" && with=$(taken) && [ $((with - without)) -lt 7000 ]
}

# What is there already, in both directions.
old_contents()
{
    local before after
    before=$(taken) && way "$mnt/raw/numbers" zstd:9 && after=$(taken) && echo "$before $after" && [ $((before - after)) -gt 8000 ] &&
        way "$mnt/numbers" none && [ $(($(taken) - after)) -gt 8000 ] && cmp "$work/numbers" "$mnt/numbers" && cmp "$work/numbers" "$mnt/raw/numbers"
}

lasts()
{
    remount && [ "$(told "$mnt/raw")" = none ] && [ "$(told "$mnt/raw/numbers")" = zstd:9 ] && echo y >"$mnt/raw/new" && [ "$(told "$mnt/raw/new")" = none ] &&
        cmp "$work/numbers" "$mnt/numbers" && umount_it && is_clean
}

check 'a volume is made and mounted' eval 'mkfs -q && mount_it'
check 'set, inherited, taken away' inherited
check 'what makes no sense is refused' refused
check 'it takes effect on what is written' takes_effect
check 'and on what is there, by compaction' old_contents
check 'it lasts' lasts
check 'no daemon is left' test -z "$(daemons)"
finish
