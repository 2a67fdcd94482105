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
