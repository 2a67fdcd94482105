# lib.sh — sourced by the integration tests: a folder of their own, the program, small assertions.
# AS_PROGRAM is the built program, AS_FIXTURES the fixtures' folder; ctest sets both.

set -u
: "${AS_PROGRAM:?set AS_PROGRAM to the built program}"
: "${AS_FIXTURES:?set AS_FIXTURES to tests/fixtures}"
work=$(mktemp -d "${TMPDIR:-/tmp}/assay-test.XXXXXX")
export ASSAY_HOME=$work/home
mkdir -p "$ASSAY_HOME"
cleanup() { chmod -R u+w "$work" 2>/dev/null; rm -rf "$work"; }
trap cleanup EXIT
failures=0

assay() { "$AS_PROGRAM" "$@"; }
fail() { printf 'FAILED: %s\n' "$*"; failures=$((failures + 1)); }
skip() { printf 'skipped: %s\n' "$*"; }
finish() {
  [ $failures -eq 0 ] && printf 'all as expected\n'
  exit $((failures > 0))
}

# expect CODE "TEXT IN THE MESSAGE" command…: exit code, exactly one line on standard error that
# holds the text, no sanitizer report.
expect() {
  local want=$1 text=$2 code lines
  shift 2
  "$@" >"$work/out" 2>"$work/err" </dev/null
  code=$?
  lines=$(wc -l <"$work/err")
  [ $code -eq "$want" ] || fail "exit $code, want $want: $* ($(head -1 "$work/err"))"
  [ "$lines" -eq 1 ] || fail "$lines lines on standard error, want 1: $*: $(head -3 "$work/err")"
  grep -qF -- "$text" "$work/err" || fail "no \"$text\" in the message of: $* ($(head -1 "$work/err"))"
}

# number FILE KEY: the first number behind "KEY": in a JSON text.
number() { grep -oE "\"$2\":-?[0-9.e+-]+" "$1" | head -1 | cut -d: -f2; }

# server COMMAND…: starts a server that prints its address; sets $url and $server (its process).
server() {
  [ "$1" = assay ] && set -- "$AS_PROGRAM" "${@:2}"
  : >"$work/address"
  "$@" >"$work/address" 2>"$work/server.err" </dev/null &
  server=$!
  url=
  for _ in $(seq 200); do
    url=$(head -1 "$work/address" 2>/dev/null)
    [ -n "$url" ] && return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  fail "no server: $* ($(head -3 "$work/server.err"))"
  return 1
}

# stop_server SIGNAL: ends it; it must end well and say nothing that a sanitizer says.
stop_server() {
  local code
  kill -"$1" "$server" 2>/dev/null
  wait "$server"
  code=$?
  [ $code -eq 0 ] || fail "the server ended with $code: $(head -3 "$work/server.err")"
  ! grep -E 'Sanitizer|runtime error' "$work/server.err" || fail "a sanitizer spoke"
}
