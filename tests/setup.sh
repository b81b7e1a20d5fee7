#!/bin/sh
# setup.sh STEP: installs what is missing of the packages that STEP (build, demo, check, ci or bench) and the
# steps before it need, from the list in .ci/packages. Silent and quick when nothing is missing.
#
# Needs a Debian, and root or a sudo that asks no password; otherwise it says what to type and fails.
# With SETUP=no in the environment it does nothing: for systems that have the same things by other names.
set -eu

step=${1:?usage: setup.sh build|demo|check|ci|bench}
list=$(dirname "$0")/../.ci/packages

[ "${SETUP:-yes}" != no ] || exit 0

# Packages of the steps up to and including $step, in the order of the list.
packages=$(awk -v step="$step" '
    BEGIN { rank["build"] = 1; rank["demo"] = 2; rank["check"] = 3; rank["ci"] = 4; rank["bench"] = 5 }
    !(step in rank) { print "setup.sh: unknown step: " step > "/dev/stderr"; exit 2 }
    /^[a-z]/ && (step == "bench" ? rank[$1] == 1 || rank[$1] == 5 : rank[$1] <= rank[step]) { print $2 }' "$list")

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    cat >&2 <<END
setup: this is not a Debian system, so the packages cannot be installed for you. Under their Debian
names, these are needed:

$(echo "$packages" | sed 's/^/    /')

Install what corresponds to them here, then go on with SETUP=no, for example:

    make SETUP=no $step
END
    exit 1
fi

# `dpkg-query` fails when it does not know a package; that package is then simply not in its answer.
# shellcheck disable=SC2086 # the list is meant to be split
installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' $packages 2>/dev/null |
    sed -n 's/^installed //p') || true
missing=
for package in $packages; do
    case "
$installed
" in
    *"
$package
"*) ;;
    *) missing="$missing $package" ;;
    esac
done
missing=${missing# }
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root='sudo -n'
else
    cat >&2 <<END
setup: these packages are missing, and installing them takes root: $missing
Type this, then the same make command again:

    sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing

END
    exit 1
fi

apt()
{
    # shellcheck disable=SC2086 # no word at all, or two
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=300 "$@"
}

install()
{
    # shellcheck disable=SC2086 # the list is meant to be split
    apt install -y --no-install-recommends "$@" $missing </dev/null
}

echo "setup: installing $missing"
# Old package lists may know a package and yet not where its file is now; then fresh ones help.
if install --simulate >/dev/null 2>&1 && install; then
    exit 0
fi
if ! { apt update && install; }; then
    echo "setup: apt-get could not install: $missing (its reason is above)" >&2
    exit 1
fi
