# shellcheck shell=bash
# What every script shares: where things lie, how to speak, how to stop. Sourced, never run.
# Progress goes to stderr; stdout is left for answers (scripts/garage prints a path there).
# Mirrors, proxies and CA files are whatever the caller's environment says: nothing here sets or overrides them.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${ZPB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/zfs-push-backups}
venv=$root/.venv
export ZPB_CACHE=$cache
mkdir -p "$cache"
cd "$root"

say() { printf '==> %s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }
# fail WHAT [NEXT-STEP...]
fail() {
    printf 'error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
# One hash over the contents and names of the files given.
hash_files() { sha256sum -- "$@" | sha256sum | cut -c1-16; }
hash_text() { printf '%s\n' "$*" | sha256sum | cut -c1-16; }

# CI checks out a new clone each time: there the build folder outlives the clone, one for each compiler.
if [ -z "${CARGO_TARGET_DIR:-}" ] && [ "${CI:-}" = true ] && have rustc; then
    CARGO_TARGET_DIR=$cache/target-$(hash_text "$(rustc -V)")
    export CARGO_TARGET_DIR
fi
