#!/usr/bin/env bash
# run.sh BUILD [--seed N] [--kills N] [--steps N] [--parallel N]: random operations and faults, and a
# model of what must come of them. As root, in a mount namespace of its own, so that a disk can be full.
# run.sh BUILD --mesh [--seed N] [--seconds N] [--episodes N] [--hosts N] [--ensemble 1]: several hosts,
# and faults of hosts, networks and ZooKeeper between them. As root.
set -u
build=$(readlink -f "${1:?build directory}")
shift
cd "$(dirname "$0")"
[ -x "$build/msgserverd" ] || { echo "run.sh: $build/msgserverd is not built"; exit 1; }
export MSGSERVER_BUILD=$build
if [ "${1:-}" = --mesh ]; then
	shift
	exec node mesh/main.js "$@"
fi
if [ "$(id -u)" = 0 ] && unshare --mount mount -t tmpfs tmpfs /mnt 2>/dev/null; then
	FAULT_MAY_MOUNT=yes exec unshare --mount node main.js "$@"
fi
exec node main.js "$@"
