#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs from Debian's packages what a target needs and the machine lacks; says what, asks nothing.
# usage: need.sh build|test|systemd|acme|grade|valgrind|demo|bench|fuzz
set -eu
build="gcc libc6-dev make pkg-config libevent-dev libyaml-dev libssl-dev libcrypt-dev zlib1g-dev libzstd-dev \
	libc-ares-dev"
if apt-cache policy libllhttp-dev 2>/dev/null | grep -q 'Candidate: [0-9]'; then
	build="$build libllhttp-dev"
else
	build="$build node-llhttp"
fi
# What the tests use as clients; a node of the machine's own will do.
clients="curl openssl wrk chromium libnss3-tools"
if ! { command -v npm && node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)'; } >/dev/null 2>&1; then
	clients="$clients nodejs npm"
fi
test="$build dpkg-dev lintian systemd libcmocka-dev python3 libasan8 libubsan1 mandoc pebble uacme zstd \
	python3-prometheus-client dnsmasq-base iproute2 $clients"
case ${1:-build} in
build) want=$build ;;
test)  want=$test ;;
grade) want="$build python3 openssl testssl.sh" ;;
acme)  want="$build python3 pebble uacme certbot openssl" ;;
systemd) want="$build dpkg-dev python3 debootstrap util-linux" ;;
deb)   want="$build dpkg-dev" ;;
demo)  want="$build python3" ;;
bench) want="$build python3 nginx-light haproxy wrk" ;;
valgrind) want="$test valgrind libc6-dbg" ;;
fuzz)  want="$build clang libclang-rt-14-dev" ;;
*)     echo "need.sh: no such set: $1" >&2; exit 2 ;;
esac
missing=
for p in $want; do
	case $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true) in
	installed) ;;
	*) missing="$missing $p" ;;
	esac
done
[ -n "$missing" ] || exit 0
as_root=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || { echo "need.sh: missing packages:$missing; install them as root" >&2; exit 1; }
	as_root=sudo
fi
echo "installing from Debian's packages:$missing"
export DEBIAN_FRONTEND=noninteractive
mkdir -p build
# An old package list is the usual reason for a failed install: refresh it and try once more.
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >build/apt.log 2>&1 ||
{ $as_root apt-get update >build/apt.log 2>&1 &&
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >>build/apt.log 2>&1; } ||
{ tail -n 20 build/apt.log >&2; exit 1; }
