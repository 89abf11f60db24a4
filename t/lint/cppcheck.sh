#!/usr/bin/env bash
# Zero warnings from cppcheck under this configuration.
set -eu
cd "$(dirname "$0")/../.."
exec cppcheck -j "$(nproc)" --quiet --std=c11 --enable=warning,performance,portability \
	--inline-suppr --error-exitcode=1 \
	-D_GNU_SOURCE -DPACKAGE_VERSION='"0"' -DPKGLIBEXECDIR='"/"' -DPKGSYSCONFDIR='"/"' -DSBINDIR='"/"' \
	--library=t/lint/cppcheck.cfg -Isrc -I. ctl src master workers
