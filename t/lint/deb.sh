#!/usr/bin/env bash
# deb.sh DIRECTORY: builds the package from a clean export of what is committed, into DIRECTORY.
set -eu
cd "$(dirname "$0")/../.."
out=$(mkdir -p "$1" && readlink -f "$1")
version=$(dpkg-parsechangelog -S Version)
source=$out/msgserver-${version%-*}
rm -rf "$source"
mkdir -p "$source"
git archive HEAD | tar -x -C "$source"
tar -C "$out" --exclude=debian -czf "$out/msgserver_${version%-*}.orig.tar.gz" "$(basename "$source")"
cd "$source"
autoreconf --force --install >"$out/autoreconf.log" 2>&1 || { cat "$out/autoreconf.log"; exit 1; }
dpkg-buildpackage -us -uc -b >"$out/build.log" 2>&1 ||
	{ tail -n 30 "$out/build.log"; echo "deb: the build failed; the whole log is $out/build.log"; exit 1; }
ls -l "$out"/*.deb
lintian --fail-on error --suppress-tags initial-upload-closes-no-bugs --allow-root "$out"/*.changes
