# Shared by the scripts of this folder: where things are, and how progress is told.
# Sourced, never run.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/smallbms_ng"
venv="$root/.venv"
browser="$cache/browser"
fuzz="$cache/fuzz"
mutate="$cache/mutate"

say() { printf '\033[1m▸ %s\033[0m\n' "$*" >&2; }
detail() { printf '  %s\n' "$*" >&2; }
die() {
  printf '\033[31m✗ %s\033[0m\n' "$*" >&2
  exit 1
}

# run_logged LABEL COMMAND…: quiet while it works; the whole output when it does not.
run_logged() {
  local label=$1 log
  shift
  log=$(mktemp)
  if "$@" >"$log" 2>&1; then
    rm -f "$log"
    return
  fi
  cat "$log" >&2
  rm -f "$log"
  die "$label failed; its output is above."
}
