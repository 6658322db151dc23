# Shared by the scripts beside it; sourced, never run.

# The right to change the system: none needed as root, else sudo.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "error: '$*' needs root; become root, or install sudo" >&2
        return 1
    fi
}

# Installs those of the named Debian packages that are missing.
install_packages() {
    local missing=()
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        return 0
    fi
    if ! command -v apt-get >/dev/null; then
        echo "error: this system has no apt-get; install what corresponds to: ${missing[*]}" >&2
        return 1
    fi
    echo "installing ${missing[*]}"
    as_root apt-get update -q >/dev/null
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null
}

# Fails unless cargo is there.
need_cargo() {
    # rustup's usual place, where a login shell would have found it.
    if ! command -v cargo >/dev/null && [ -x "${HOME:-/root}/.cargo/bin/cargo" ]; then
        export PATH="$HOME/.cargo/bin:$PATH"
    fi
    if ! command -v cargo >/dev/null; then
        echo "error: cargo is missing; install Rust 1.95 or newer (https://rustup.rs)" >&2
        return 1
    fi
}

# A Node.js that `setup.sh test` brought, where the machine's own is too old.
if [ -d target/node/node_modules/.bin ]; then
    PATH="$PWD/target/node/node_modules/.bin:$PATH"
fi
