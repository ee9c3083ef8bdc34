#!/bin/sh
# SPDX-License-Identifier: MIT
# make deb: a package of what "make install" puts in place.  usage: build.sh VERSION OUTPUT_FOLDER
set -eu
version=$1 out=$2
here=$(dirname "$0")
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/weir

umask 022
make --no-print-directory install DESTDIR="$root" PREFIX=/usr UNITDIR=/lib/systemd/system >/dev/null
strip --strip-unneeded "$root/usr/sbin/weir"
gzip -9n "$root"/usr/share/man/man*/*
install -D -m 644 "$here/weir.logrotate" "$root/etc/logrotate.d/weir"

doc=$root/usr/share/doc/weir
mkdir -p "$doc/examples"
cp conf/minimal.yaml conf/reference.yaml "$doc/examples/"
sed -n 's/^Copyright (c) //p' LICENSE | head -n 1 >"$work/owner"
sed '1,/^$/d; /^Copyright/,/^$/d; s/^$/./; s/^/ /' LICENSE >"$work/licence"
sed -e "s/@COPYRIGHT@/$(cat "$work/owner")/" -e "/@LICENSE@/{r $work/licence" -e 'd}' \
	"$here/copyright.in" >"$doc/copyright"
sed -e "s/@VERSION@/$version/" -e "s/@DATE@/$(LC_ALL=C date -Ru)/" "$here/changelog.in" |
	gzip -9n >"$doc/changelog.gz"

mkdir "$root/DEBIAN" "$work/debian"
echo 'Source: weir' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O weir/usr/sbin/weir 2>/dev/null | sed 's/^shlibs:Depends=//')
size=$(du -sk --exclude=DEBIAN "$root" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" -e "s/@DEPENDS@/$depends/" \
	"$here/control.in" >"$root/DEBIAN/control"
(cd "$root" && find etc -type f | sed 's,^,/,' | LC_ALL=C sort) >"$root/DEBIAN/conffiles"
(cd "$root" && find usr lib -type f | LC_ALL=C sort | xargs md5sum) >"$root/DEBIAN/md5sums"
for script in postinst prerm postrm; do
	install -m 755 "$here/$script" "$root/DEBIAN/$script"
done
mkdir -p "$out"
dpkg-deb --root-owner-group --build "$root" "$out/weir_${version}_$arch.deb"
