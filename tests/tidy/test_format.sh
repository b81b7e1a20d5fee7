#!/bin/sh
# Every C source is in the house format of .clang-format: `make format` writes it so.
set -u
cd "$(dirname "$0")/../.." || exit
passed=0 failed=0

count()
{
    if [ "$1" = 0 ]; then
        passed=$((passed + 1)) && echo "ok      $2"
    else
        failed=$((failed + 1)) && echo "FAILED  $2"
    fi
}

for file in store/*.[ch] fs/*.[ch] mount/*.[ch] tests/*/*.[ch]; do
    [ ! -e "$file" ] || echo "$file"
done | xargs clang-format --dry-run -Werror --ferror-limit=1
count $? 'every C source is in the house format (else: make format)'

! echo 'int  f ( void ) {return 0;}' |
    clang-format --dry-run -Werror --assume-filename=store/planted.c >/dev/null 2>&1
count $? 'the format check finds a planted violation'

echo "$passed passed, $failed failed"
[ $failed = 0 ]
