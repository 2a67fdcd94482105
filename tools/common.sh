# common.sh — sourced by the tools: what a bare Debian lacks, and where things lie.

set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"

say() { printf '%s\n' "$*" >&2; }

# The models folder, as the program itself has it.
models_dir() {
  if [ -n "${ASSAY_HOME:-}" ]; then
    echo "$ASSAY_HOME/models"
  else
    echo "${XDG_CACHE_HOME:-$HOME/.cache}/assay/models"
  fi
}

# need PACKAGE…: installs the Debian packages that are missing.
need() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if ! command -v apt-get >/dev/null; then
    say "These packages are missing and this is not Debian: ${missing[*]}"
    return 2
  fi
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { say "Run as root: apt-get install ${missing[*]}"; return 2; }
    as_root=(sudo)
  fi
  say "Installing ${missing[*]}"
  if ! ("${as_root[@]}" apt-get update -q && DEBIAN_FRONTEND=noninteractive \
        "${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}") >"$top/build-install.log" 2>&1; then
    tail -5 "$top/build-install.log" >&2
    say "Could not install ${missing[*]}; the log is build-install.log"
    return 5
  fi
  rm -f "$top/build-install.log"
}

need_build() {
  need gcc g++ python3 libc6-dev cmake ninja-build pkg-config git \
       libcjson-dev libpcre2-dev libsqlite3-dev nettle-dev zlib1g-dev \
       libcurl4-openssl-dev libevent-dev libseccomp-dev libcmocka-dev
}

# build PRESET: configure once, build; output goes to a log unless it fails.
build() {
  local log="build/$1.log"
  mkdir -p build
  if ! (cmake --preset "$1" && cmake --build --preset "$1" -j "$(nproc)") >"$log" 2>&1; then
    grep -E 'error|Error|FAILED' "$log" | head -20 >&2 || true
    say "Building $1 failed; the whole log is $log"
    return 1
  fi
}
