#!/usr/bin/env bash
# Installs what is missing, on Debian 12 and newer, for one purpose:
#   scripts/setup.sh run    building and running the agent: a linker, nothing else
#   scripts/setup.sh bpf    rebuilding the kernel objects (cargo xtask bpf)
#   scripts/setup.sh browser  looking at the web page in a browser, and asking the API everything (make browser)
#   scripts/setup.sh test   the whole of `make test`, the two above included
# It can be run again at any time and does nothing when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

LINKER_VERSION=0.13.0
NODE_VERSION=22
SCHEMATHESIS_VERSION=4.32.5

setup_run() {
    need_cargo
    # Rust calls `cc` to link; no C library beyond libc is used.
    command -v cc >/dev/null || install_packages gcc libc6-dev
}

setup_bpf() {
    setup_run
    # A compiler with LLVM 22 and the library's source. rustc-web and llvm-22 come to Debian 12 through its security
    # archive, as the tools that browsers are built with. A rustup nightly with LLVM 22 and rust-src does as well.
    install_packages rustc-web cargo-web rust-web-src llvm-22 llvm-22-dev g++ libzstd-dev zlib1g-dev
    if [ "$(bpf-linker --version 2>/dev/null)" != "bpf-linker $LINKER_VERSION" ]; then
        echo "building bpf-linker $LINKER_VERSION"
        LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version "$LINKER_VERSION" --locked --force \
            --no-default-features --features llvm-22
    fi
}

# Node.js 20 is the least that the page's tools take, and Debian 12 has 18: the registry of npm has newer ones.
node_ready() {
    local major
    major="$(node --version | sed 's/^v\([0-9]*\).*/\1/')"
    if [ "$major" -lt 20 ]; then
        npm install --silent --no-save --prefix target/node "node@$NODE_VERSION"
    fi
}

# What `make browser` needs beside: the page in a real browser.
setup_browser() {
    setup_run
    install_packages iproute2 nmap nftables python3 python3-venv curl chromium
    command -v npm >/dev/null || install_packages nodejs npm
    node_ready
    local schemathesis=target/schemathesis
    if ! "$schemathesis/bin/schemathesis" --version 2>/dev/null | grep -qF "$SCHEMATHESIS_VERSION"; then
        python3 -m venv "$schemathesis"
        "$schemathesis/bin/pip" install --quiet "schemathesis==$SCHEMATHESIS_VERSION"
    fi
}

setup_test() {
    setup_bpf
    # Namespaces and offloads; load; second opinions on captures, metrics and rules; receivers of alerts and flows; attackers; a
    # terminal to test in; pinning.
    install_packages iproute2 ethtool iperf3 tcpdump tshark nfdump prometheus prometheus-alertmanager nats-server nmap hping3 hydra iodine openssh-server iputils-ping openssl ca-certificates python3-aiosmtpd nftables iptables bpftool tmux util-linux procps
    # The web page: checked, built anew and compared, and looked at in a browser.
    setup_browser
    if ! cargo nextest --version >/dev/null 2>&1; then
        cargo install cargo-nextest --locked || echo "cargo-nextest cannot be built here; the tests will run under cargo test" >&2
    fi
    for component in rustfmt clippy; do
        if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
            rustup component add "$component"
        fi
    done
}

case "${1:-}" in
run | bpf | test | browser) "setup_$1" ;;
*)
    echo "usage: scripts/setup.sh run|bpf|test|browser" >&2
    exit 2
    ;;
esac
