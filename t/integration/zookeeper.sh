#!/usr/bin/env bash
# zookeeper.sh COMMAND DIR: a real ZooKeeper server for tests, with everything it has in DIR.
#   start [PORT] [HOST]  starts it, waits until it serves, and prints "PORT PID"; the port of before
#                        is taken again. HOST is 127.0.0.1 by default. A server that runs is left
#                        as it is.
#   stop                 ends it and waits until it is gone; its data stay
#   wipe                 forgets all data, of a stopped server
#   pause, resume        a server that is there but does not answer
# Environment: TICK_MS (default 200): sessions last from 2 to 20 ticks.
#   MAX_SESSION_MS  or up to this
#   ENSEMBLE  lines "server.N=HOST:PORT:PORT" of all servers that are one service; SERVER_ID is this N
#   OWNER_PID  the server is ended when that process is gone, however it went
set -eu

jar=/usr/share/java/zookeeper.jar
usage() { sed -n '2,12s/^# //p' "$0" >&2; exit 64; }
fail() { echo "zookeeper.sh: $*" >&2; exit 1; }

[ $# -ge 2 ] || usage
command=$1
directory=$2
shift 2
pid_file=$directory/pid

pid_of() {
	[ -s "$pid_file" ] || return 1
	local pid
	pid=$(cat "$pid_file")
	# The number may be another process by now.
	{ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qF "$directory/zoo.cfg" || return 1
	echo "$pid"
}

free_port() {
	local port
	for _ in $(seq 100); do
		port=$((20000 + RANDOM % 12000))
		(exec 3<>"/dev/tcp/$1/$port") 2>/dev/null || { echo "$port"; return; }
	done
	fail "no free port"
}

# A killed test leaves no server behind.
watch_owner() {
	while kill -0 "$OWNER_PID" 2>/dev/null && [ -e "/proc/$1" ]; do
		sleep 1
	done
	if [ "$(pid_of || true)" = "$1" ]; then
		kill -KILL "$1"
	fi
}

# "ruok" is answered with "imok" by a server that serves.
serves() {
	local answer=
	exec 3<>"/dev/tcp/$1/$2" || return 1
	printf ruok >&3
	read -r -t 2 -n 4 answer <&3 || true
	exec 3>&-
	[ "$answer" = imok ]
}

start_once() {
	cat >"$directory/zoo.cfg" <<-END
		tickTime=${TICK_MS:-200}
		maxSessionTimeout=${MAX_SESSION_MS:-$((20 * ${TICK_MS:-200}))}
		dataDir=$directory/data
		clientPort=$1
		clientPortAddress=$2
		admin.enableServer=false
		4lw.commands.whitelist=*
		maxClientCnxns=0
		initLimit=20
		syncLimit=10
		${ENSEMBLE:-}
	END
	printf 'log4j.rootLogger=OFF\n' >"$directory/log4j.properties"
	mkdir -p "$directory/data"
	[ -z "${SERVER_ID:-}" ] || echo "$SERVER_ID" >"$directory/data/myid"
	setsid java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dzookeeper.fsync.warningthresholdms=60000 \
		-Dzookeeper.forceSync=no -Djava.net.preferIPv4Stack=true \
		-cp "$directory:$jar:/usr/share/java/slf4j-api.jar:/usr/share/java/slf4j-nop.jar" \
		org.apache.zookeeper.server.quorum.QuorumPeerMain "$directory/zoo.cfg" \
		</dev/null >"$directory/log" 2>&1 &
	echo $! >"$pid_file"
	if [ -n "${OWNER_PID:-}" ]; then
		watch_owner $! </dev/null >/dev/null 2>&1 &
	fi
	for _ in $(seq 600); do
		if serves "$2" "$1" 2>/dev/null; then
			return 0
		fi
		pid_of >/dev/null || return 1
		sleep 0.05
	done
	return 1
}

start() {
	local host=${2:-127.0.0.1} port=${1:-} attempt
	command -v java >/dev/null && [ -e "$jar" ] || fail "install zookeeper (apt install zookeeper)"
	mkdir -p "$directory"
	[ -n "$port" ] || port=$(sed -n 's/^clientPort=//p' "$directory/zoo.cfg" 2>/dev/null || true)
	if pid_of >/dev/null; then
		echo "$port $(pid_of)"
		return
	fi
	for attempt in 1 2 3; do
		if start_once "${port:-$(free_port "$host")}" "$host"; then
			echo "$(sed -n 's/^clientPort=//p' "$directory/zoo.cfg") $(cat "$pid_file")"
			return
		fi
		stop
	done
	tail -n 20 "$directory/log" >&2
	fail "ZooKeeper does not start"
}

stop() {
	local pid
	if pid=$(pid_of); then
		# It has nothing to say goodbye to, and its data are as on disk.
		kill -KILL "$pid"
		while [ -e "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do
			sleep 0.02
		done
	fi
	rm -f "$pid_file"
}

case $command in
start) start "$@" ;;
stop) stop ;;
wipe)
	! pid_of >/dev/null || fail "it is running"
	rm -rf "$directory/data"
	;;
pause)
	pid=$(pid_of) || fail "it is not running"
	kill -STOP "$pid"
	until ! grep -L '^State:.T' "/proc/$pid/task/"*/status | grep -q .; do
		sleep 0.02
	done
	;;
resume) kill -CONT "$(pid_of)" ;;
*) usage ;;
esac
