#!/usr/bin/env bash
# run.sh BUILD [FILE...]: the integration tests against the programs in BUILD; all of them, or the
# named ones. SEED=N repeats a random run.
set -u
build=$(readlink -f "${1:?build directory}")
shift
cd "$(dirname "$0")"
[ -x "$build/msgserverd" ] || { echo "run.sh: $build/msgserverd is not built"; exit 1; }
if [ $# = 0 ]; then
	set -- *.test.js
fi
export MSGSERVER_BUILD=$build
exec node --test --test-reporter=spec "$@"
