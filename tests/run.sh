#!/bin/bash
# run.sh [-j JOBS] PROGRAM... [-j JOBS PROGRAM...]: runs test programs and says how they did.
#
# Programs run JOBS at a time; a -j waits for those before it. What each prints is shown when it ends,
# and once more at the end if it failed. The last line is the total, "N passed, N failed"; the exit
# status is 0 only if nothing failed. What counts as one test:
#   - a test of a cmocka program;
#   - what a script's own "N passed, N failed" line counts;
#   - otherwise the program itself. A program that fails without naming a failed test counts as one.
#
# Environment: TEST_TIMEOUT seconds for each program (600); SANITIZE as for make.
set -u

timeout_seconds=${TEST_TIMEOUT:-600}
work=$(mktemp -d "${TMPDIR:-/tmp}/varve-run.XXXXXX")
passed=0 failed=0 jobs=1 started=0
declare -A program_of=() log_of=() start_of=() # of the running ones, by process id
failures=()

cleanup()
{
    [ ${#program_of[@]} = 0 ] || kill "${!program_of[@]}" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Any report of a sanitizer fails the test.
export ASAN_OPTIONS=${ASAN_OPTIONS:-halt_on_error=1:detect_leaks=1:detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}

# The sanitizers of gcc 12 and clang 14 expect fewer random address bits than new kernels use
# (vm.mmap_rnd_bits=32) and then die at the start. Where the system lets us, no bits are random.
prefix=()
if [ -n "${SANITIZE:-}" ] && setarch "$(uname -m)" -R true 2>/dev/null; then
    prefix=(setarch "$(uname -m)" -R)
fi

# Adds a finished program to the totals: $1 program, $2 exit status, $3 the file with what it printed.
count()
{
    local ok=0 bad=0 line
    while read -r line; do
        case $line in
        '[  PASSED  ]'*) line=${line#*] } ok=$((ok + ${line%% *})) ;;
        '[  FAILED  ]'*) line=${line#*] } bad=$((bad + ${line%% *})) ;;
        *) ok=$((ok + ${line%% *})) line=${line#*, } bad=$((bad + ${line%% *})) ;;
        esac
    done < <(grep -aE '^\[  (PASSED|FAILED)  \] [0-9]+ test\(s\)|^[0-9]+ passed, [0-9]+ failed$' "$3")
    [ "$2" != 124 ] && [ "$2" != 137 ] || echo "$1: did not end within $timeout_seconds s" >>"$3"
    [ "$2" = 0 ] || [ $bad != 0 ] || {
        echo "$1: exit status $2" >>"$3"
        bad=1
    }
    [ $((ok + bad)) != 0 ] || ok=1
    passed=$((passed + ok)) failed=$((failed + bad))
    [ $bad = 0 ] || failures+=("$1" "$3")
}

# Waits for one of the running programs and reports it.
reap()
{
    local pid status program log
    wait -n -p pid "${!program_of[@]}"
    status=$?
    program=${program_of[$pid]} log=${log_of[$pid]}
    unset "program_of[$pid]"
    count "$program" $status "$log"
    echo "== $program, $((SECONDS - start_of[$pid])) s"
    cat "$log"
}

drain()
{
    while [ ${#program_of[@]} != 0 ]; do
        reap
    done
}

while [ $# != 0 ]; do
    if [ "$1" = -j ]; then
        drain
        jobs=$2
        shift 2
        continue
    fi
    [ ${#program_of[@]} -lt "$jobs" ] || reap
    log=$work/$((started++))
    timeout --kill-after=10 "$timeout_seconds" "${prefix[@]}" "$1" </dev/null >"$log" 2>&1 &
    program_of[$!]=$1 log_of[$!]=$log start_of[$!]=$SECONDS
    shift
done
drain

if [ ${#failures[@]} != 0 ]; then
    printf '\n== Failed:\n'
    for ((i = 0; i < ${#failures[@]}; i += 2)); do
        printf '\n== %s\n' "${failures[i]}"
        cat "${failures[i + 1]}"
    done
fi
echo
echo "$passed passed, $failed failed"
[ $failed = 0 ]
