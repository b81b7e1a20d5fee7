#!/usr/bin/env bash
# PostgreSQL on a mount, with all its syncs on: pgbench at work while its server, and then our daemon, are killed, ROUNDS (3) times each, after
# SECONDS_EACH (8) seconds. After each, what it had committed is there, its own invariants hold, and its checker has nothing to say. As root, with
# postgresql and postgresql-contrib installed (any version; the newest is taken). Not in `make check`: it takes a minute or two.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-8}
bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1)
if [ "$(id -u)" != 0 ] || [ ! -x "$bin/initdb" ] || ! id postgres >/dev/null 2>&1; then
    echo 'needs root, and PostgreSQL (packages postgresql, postgresql-contrib)' >&2
    exit 2
fi
data=$mnt/data run=$work/run
as='setpriv --reuid postgres --regid postgres --init-groups env HOME=/tmp'

server_stop()
{
    [ ! -e "$data/postmaster.pid" ] || $as "$bin/pg_ctl" -D "$data" -m "${1:-fast}" -w stop
}

# Whatever happens, no server is left when the mount goes.
end_server()
{
    server_stop immediate >/dev/null 2>&1
    cleanup
}
trap end_server EXIT

sql()
{
    $as "$bin/psql" -h "$run" -p 5999 -d "${DB:-bank}" -XAtqc "$1"
}

make_cluster()
{
    chmod 711 "$work" && chmod 755 "$mnt" && mkdir "$data" "$run" && chown postgres: "$data" "$run" &&
        $as "$bin/initdb" -D "$data" --data-checksums --no-locale -E UTF8 -A trust && cat >>"$data/postgresql.conf" <<END
listen_addresses = ''
port = 5999
unix_socket_directories = '$run'
fsync = on
synchronous_commit = on
full_page_writes = on
max_wal_size = 64MB
checkpoint_timeout = 30s
END
}

server_start()
{
    $as "$bin/pg_ctl" -D "$data" -l "$run/log" -w -t 120 start || { tail -30 "$run/log"; return 1; }
}

fill()
{
    DB=postgres sql 'create database bank' && $as "$bin/pgbench" -h "$run" -p 5999 -q -i -s 3 bank &&
        sql 'create table told (client int, number int, primary key (client, number)); create extension amcheck'
}

# What every transaction leaves true, indexes, and checksums of pages.
holds()
{
    local sums
    sums=$(sql 'select (select sum(abalance) from pgbench_accounts) = coalesce((select sum(delta) from pgbench_history), 0)
        and (select sum(tbalance) from pgbench_tellers) = coalesce((select sum(delta) from pgbench_history), 0)
        and (select sum(bbalance) from pgbench_branches) = coalesce((select sum(delta) from pgbench_history), 0)
        and (select count(*) from pgbench_accounts) = 300000') && [ "$sums" = t ] || { echo "invariants: $sums"; return 1; }
    $as "$bin/pg_amcheck" -h "$run" -p 5999 --heapallindexed bank
}

# One client more, which writes down each number when its commit has been acknowledged: outside the mount.
tell()
{
    local number=0
    while sql "insert into told values ($1, $number)" 2>/dev/null; do
        echo "$number" >>"$run/told.$1"
        number=$((number + 1))
    done
}

kept()
{
    local last
    last=$(tail -1 "$run/told.$1") && [ "$last" -gt 5 ] && echo "$last" &&
        [ "$(sql "select count(*) from told where client = $1 and number <= $last")" = $((last + 1)) ]
}

# Is any of these processes alive? Zombies, which somebody else has to fetch, are not.
any_alive()
{
    local pid
    for pid in "$@"; do
        [ -z "$(readlink "/proc/$pid/exe")" ] || return 0
    done
    return 1
}

# crash NUMBER server|daemon
crash()
{
    local teller load server of_server _
    $as "$bin/pgbench" -h "$run" -p 5999 -n -c 4 -T 3600 bank >"$run/pgbench" 2>&1 &
    load=$!
    tell "$1" &
    teller=$!
    sleep "$seconds"
    server=$(head -1 "$data/postmaster.pid") && of_server=$(pgrep -P "$server") || return
    [ "$2" = server ] || kill -KILL "$(daemons)"
    kill -KILL "$server"
    # What it had started ends by itself, but for those that wait for one another.
    for _ in {1..50}; do
        any_alive $of_server || break
        sleep 0.2
    done
    ! any_alive $of_server || kill -KILL $of_server
    wait $load $teller
    if [ "$2" = daemon ]; then
        umount_it && is_clean && mount_it -o allow_other || return
    fi
    rm -f "$data/postmaster.pid" "$run"/.s.PGSQL.* && server_start && kept "$1" && holds
}

check 'mkfs' mkfs
check 'mount' mount_it -o allow_other
check 'initdb' make_cluster
check 'start' server_start
check 'pgbench -i' fill
for ((i = 0; i < rounds; i++)); do
    check "the server is killed ($i)" crash $((i * 2)) server
    check "the daemon is killed ($i)" crash $((i * 2 + 1)) daemon
done
check 'pgbench' $as "$bin/pgbench" -h "$run" -p 5999 -n -c 4 -T "$seconds" bank
sed -n 's/^/        /p' "$log" | grep -E 'tps|latency average'
check 'invariants' holds
check 'dump' eval '$as "$bin/pg_dump" -h "$run" -p 5999 bank >"$work/before"'
check 'stop' server_stop
check 'page checksums' $as "$bin/pg_checksums" -c -D "$data"
check 'remount' remount -o allow_other
check 'start' server_start
check 'the same dump' eval '$as "$bin/pg_dump" -h "$run" -p 5999 bank | grep -v "^.restrict\|^.unrestrict" | cmp - <(grep -v "^.restrict\|^.unrestrict" "$work/before")'
check 'stop' server_stop
check 'umount' umount_it
check 'fsck: clean' is_clean
finish
