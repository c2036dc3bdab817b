# shellcheck shell=bash
# Sourced by the other scripts: `bootstrap train` or `bootstrap dev` makes .venv ready.
# Sets ROOT (the repository) and VENV. All messages go to stderr: stdout belongs to the command.

ROOT="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
VENV="$ROOT/.venv"

# One known torch, so that a run is the same everywhere; pyproject.toml allows a range.
TORCH="torch==2.13.0"

# Prints the first Python that runs, is supported and can make an environment.
# A name may exist and not run (version managers leave such stubs), so each one is started.
# 3.11 first: it is the version with which the pinned torch and the results were made.
find_python() {
  local name
  for name in python3.11 python3.13 python3.12 python3; do
    if "$name" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
      >/dev/null 2>&1; then
      echo "$name"
      return
    fi
  done
  echo "error: no Python 3.11, 3.12 or 3.13 with the venv module found; install one and start again" >&2
  return 1
}

# Runs pip, keeps its output in a log, and shows the current line where someone is watching.
run_pip() {
  local log="$VENV/install.log" status=0
  "$VENV/bin/python" -m pip install --disable-pip-version-check "$@" 2>&1 | tee -a "$log" |
    while IFS= read -r line; do
      if [[ -t 2 ]]; then printf '\r\033[K%.79s' "$line" >&2; fi
    done || status=$?
  if [[ -t 2 ]]; then printf '\r\033[K' >&2; fi
  if ((status)); then
    tail -n 15 "$log" >&2
    echo "error: pip failed (whole output: $log); start the script again to go on" >&2
  fi
  return "$status"
}

# A venv is ours if its pip starts and lies in it: not after a half-made, moved or copied folder.
venv_is_whole() {
  [[ "$("$VENV/bin/pip" --version 2>/dev/null)" == *"$VENV/"* ]]
}

install() {
  local extras="$1" stamp="$2" python started=$SECONDS
  # Two scripts started at once must not install into the same folder.
  if command -v flock >/dev/null; then
    exec 9>"$ROOT/.bootstrap.lock"
    flock 9
    [[ -e "$stamp" ]] && return
  fi
  echo "setting up $VENV (the first time takes minutes and may download gigabytes) ..." >&2
  if ! venv_is_whole; then
    python="$(find_python)" || return
    "$python" -m venv --clear "$VENV" || return
  fi
  rm -f "$VENV"/.installed-* "$VENV/install.log"
  run_pip "$TORCH" || return
  run_pip "$TORCH" --editable "${ROOT}[$extras]" || return
  : >"$stamp"  # last, so that an interrupted start is repeated
  echo "ready after $((SECONDS - started)) s" >&2
}

# The stamp holds what the installation depends on: the project file, the pinned torch, the folder.
bootstrap() {
  local extras="$1" sum
  sum="$({ cat "$ROOT/pyproject.toml"; echo "$TORCH $ROOT"; } | cksum)"
  sum="${sum%% *}"
  # What the tests need includes what training needs.
  if [[ -e "$VENV/.installed-$sum-dev" || -e "$VENV/.installed-$sum-$extras" ]]; then
    return
  fi
  (set -o pipefail; install "$extras" "$VENV/.installed-$sum-$extras")
}
