#!/usr/bin/env bash
# `make test`: what CI checks, step by step, the cheapest first. It stops at the first step that fails and names it.
# The last lines are the test runner's own.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

FUZZ_SECONDS="${FUZZ_SECONDS:-15}"
current="start"
trap 'code=$?; [ $code -eq 0 ] || echo "FAILED in step: $current" >&2' EXIT

# Cargo gives each choice of packages features of its own, and would build most of the workspace once more for
# `cargo xtask`, and again without tests: what follows uses what the step `build` made.
target="${CARGO_TARGET_DIR:-target}/debug"
xtask() { "$target/xtask" "$@"; }

# step NAME COMMAND…: runs it and says how long it took.
step() {
    current="$1"
    shift
    echo "== $current"
    local start=$SECONDS
    "$@"
    echo "== $current: $((SECONDS - start)) s"
}

kernel_objects() {
    xtask bpf --check
    # In CI's throw-away clone, all tests that follow run the objects that were just built.
    if [ "${CI:-}" = true ]; then
        xtask bpf
    fi
}

fuzz() {
    if [ -d fuzz/fuzz_targets ]; then
        # Short runs: what is built quickly finds more in them than what runs quickly.
        CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=false xtask fuzz --seconds "$FUZZ_SECONDS"
    else
        echo "no fuzz targets yet"
    fi
}

# As root, or not at all: it is in network namespaces.
look() {
    if [ "$(id -u)" -ne 0 ]; then
        echo "no root here: the browser is SKIPPED; run 'sudo make test' for all of it"
        return
    fi
    HIVEWALL_BIN="$(realpath "$target/hivewall")" web/tests/bed.sh all
}

# Test programs run as root where that can be had without a question; where not, what needs root is skipped loudly.
tests() {
    if [ "$(id -u)" -ne 0 ]; then
        if sudo -n true 2>/dev/null; then
            export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="sudo -E"
            export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="sudo -E"
        else
            echo "no root here: the tests of kernel and network are SKIPPED; run 'sudo make test' for all of them"
            export HIVEWALL_SKIP_ROOT_TESTS=1
        fi
    fi
    # The runner builds before it runs, this too.
    HIVEWALL_BIN="$(realpath "$target/hivewall")"
    export HIVEWALL_BIN
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --workspace --locked --profile "${1:-default}"
    else
        cargo test --workspace --locked --tests --no-fail-fast
    fi
}

need_cargo
step "tools" scripts/setup.sh test
step "format" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
step "build" cargo build --workspace --bins --tests --examples --locked
step "kernel objects" kernel_objects
step "fuzz" fuzz
step "documentation examples" cargo test --workspace --doc --locked --quiet
step "web page" xtask web --check
step "web page in a browser, and the API" look
current="tests"
echo "== $current"
tests "$([ "${CI:-}" = true ] && echo ci || echo default)"
