#!/usr/bin/env bash
# linkage.sh BUILD: only the relay links ZeroMQ, it and msgserverctl LMDB, only the master libyaml and ZooKeeper,
# only msgserverctl libcurl.
set -u
build=${1:?build directory}
status=0

# allow PROGRAM PATTERN: besides libc, the program links only libraries that match.
allow() {
	local linked extra
	[ -x "$build/$1" ] || { echo "linkage: $build/$1 is not built"; status=1; return; }
	linked=$(readelf -d "$build/$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p')
	extra=$(printf '%s\n' "$linked" | grep -vE "^(libc|libm|ld-linux-x86-64|libasan|libubsan)\.so|^($2)\.so")
	[ -z "$extra" ] || { echo "linkage: $1 links what it should not: $extra"; status=1; }
}
allow msgserverd 'libev|libyaml-0|libzookeeper_st|libcrypto|libjansson'
allow relay-worker 'libev|libczmq|libzmq|libjansson|liblmdb'
allow msgserverctl 'libcrypto|libcurl|libjansson|liblmdb'
allow client-worker 'libev|libjansson|libcrypto|libssl'
exit $status
