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
# They wait more than they work: three files at a time keep two processors busy.
exec node --test --test-concurrency=3 --test-reporter=spec "$@"
