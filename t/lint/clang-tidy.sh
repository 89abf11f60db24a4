#!/usr/bin/env bash
# Zero warnings from clang-tidy under .clang-tidy. Files are shared out over the processors, each
# with a clang-tidy of its own: one for several files forgets what va_start() does after the first.
set -eu
cd "$(dirname "$0")/../.."
flags=(-std=gnu17 -D_GNU_SOURCE -DPACKAGE_VERSION='"0"' -DPKGLIBEXECDIR='"/"' -DPKGSYSCONFDIR='"/"' -DSBINDIR='"/"'
	-Isrc -I.)
read -ra library_flags < <(pkg-config --cflags yaml-0.1 libczmq jansson libcrypto libcurl)
git ls-files -z 'ctl/*.c' 'src/*.c' 'master/*.c' 'workers/*.c' |
	xargs -0 -P "$(nproc)" -I FILE clang-tidy --quiet FILE -- "${flags[@]}" "${library_flags[@]}" \
		2> >(grep -v 'warnings\? generated\.$' >&2)
