#!/usr/bin/env bash
# `make run`: builds the agent, starts it on all interfaces but the loopback, and says where to look.
# What stands in HIVEWALL_ARGS is passed on, for example HIVEWALL_ARGS='--interface eth0'.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

scripts/setup.sh run
need_cargo
cargo build --release --locked --bin hivewall
binary="${CARGO_TARGET_DIR:-target}/release/hivewall"
cat <<EOF

The agent starts now; Ctrl-C ends it and leaves nothing behind.
  in a browser             http://127.0.0.1:7733/
  in another terminal      $binary top
  as text                  $binary flows

EOF
# The program needs root to load its kernel part. Its arguments are words, as a shell would split them.
# shellcheck disable=SC2086
as_root "$binary" run ${HIVEWALL_ARGS:-}
