#!/usr/bin/env bash
# Every C file is formatted as .clang-format says, and no line is over 100 columns.
set -eu
cd "$(dirname "$0")/../.."
git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror
