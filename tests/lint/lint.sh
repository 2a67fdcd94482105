#!/usr/bin/env bash
# lint.sh — what compilers and formatters cannot see. One line per finding; exit 1 if there is any.
#
#   include table (layers.txt) · third-party headers behind one module · banned functions · a
#   README in every folder · a comment at the top of every header · file size · tabs and trailing
#   blanks · paths of somebody's machine · unfinished marks · test and CI entry points
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
bad=0
finding() { printf '%s\n' "$*"; bad=1; }

sources=$(find harness engine datasets suites scorers reports tests -name '*.[ch]' | sort)
ours=$(printf '%s\n' $sources | grep -v '^tests/')

# ---- includes ------------------------------------------------------------------------------------
allowed_for() { # FILE → the prefixes of the longest matching line
  awk -v file="$1" -F': *' '
    /^#/ || NF == 0 { next }
    index(file, $1) == 1 && length($1) > best && (file == $1 || substr(file, length($1) + 1, 1) == "/") {
      best = length($1); folder = $1; list = $2 }
    END { print folder "|" list }' tests/lint/layers.txt
}
for file in $sources; do
  IFS='|' read -r folder list <<<"$(allowed_for "$file")"
  [ -n "$folder" ] || { finding "$file: its folder is not in tests/lint/layers.txt"; continue; }
  own=${folder#harness/}
  case $own in *.c) own=$(dirname "$own") ;; esac
  while read -r include; do
    [ -n "$include" ] || continue
    ok=false
    for prefix in $own $list; do
      case $include in "$prefix" | "$prefix"/*) ok=true ;; esac
    done
    case $include in */*) ;; *) ok=$([ -f "$(dirname "$file")/$include" ] && echo true || echo false) ;; esac
    case $include in cli/version.h) ok=true ;; ../unit/*) [ "$folder" = tests ] && ok=true ;; esac
    $ok || finding "$file: includes \"$include\", which tests/lint/layers.txt does not allow for $folder"
  done <<<"$(sed -nE 's/^#include "([^"]+)".*/\1/p' "$file")"
done

only_in() { # HEADER-PATTERN ALLOWED-PATTERN
  grep -lE "^#include <$1" $ours | grep -vE "$2" | while read -r f; do echo "$f: includes <$1…>, which belongs behind one module"; done
}
for found in "$(only_in 'cjson/' '^harness/base/json\.c$')" "$(only_in 'pcre2' '^harness/base/regex\.c$')" \
             "$(only_in 'sqlite3' '^harness/store/')" "$(only_in 'nettle/' '^harness/base/hash\.c$')" \
             "$(only_in 'curl/' '^harness/backend/')" "$(only_in 'event2/' '^harness/serve/')"; do
  [ -z "$found" ] || finding "$found"
done

# ---- banned functions ----------------------------------------------------------------------------
banned='atoi|atol|atof|strtok|sprintf|vsprintf|strcpy|strcat|gets|system|popen|rand|srand|asctime|ctime|signal|alloca|setlocale'
found=$(grep -nE "(^|[^A-Za-z0-9_>.\"])($banned)\(" $ours | grep -vE '^[^:]+:[0-9]+: *(/?\*|//)')
[ -z "$found" ] || finding "$found (banned: style.md, section 9)"
found=$(grep -nE '(^|[^A-Za-z0-9_])(exit|abort|getenv)\(' $ours | grep -vE '^harness/cli/main\.c:|^[^:]+:[0-9]+: *(/?\*|//)')
[ -z "$found" ] || finding "$found (only main.c ends the program or reads the environment)"
found=$(grep -nE '(^|[^A-Za-z0-9_])(printf|puts|putchar)\(' $ours | grep -vE '^harness/cli/|^[^:]+:[0-9]+: *(/?\*|//)')
[ -z "$found" ] || finding "$found (libraries do not print)"

# ---- files ---------------------------------------------------------------------------------------
for folder in . harness harness/base harness/types harness/backend harness/serve harness/run harness/store harness/cli \
              engine suites scorers reports tests datasets tools; do
  [ -f "$folder/README.md" ] || finding "$folder: has no README.md"
done
for header in $(printf '%s\n' $ours | grep '\.h$'); do
  sed -n '1,4p' "$header" | grep -q '/\*' || finding "$header: does not open with a comment saying what it is for"
done
for file in $sources; do
  lines=$(wc -l <"$file")
  [ "$lines" -le 1200 ] || finding "$file: $lines lines, split it by idea (1,200 at the most)"
done
found=$(grep -nP '\t| +$' $sources)
[ -z "$found" ] || finding "$found (tab or trailing blank)"
tracked=$(git ls-files 2>/dev/null | grep -vE '^tests/lint/lint\.sh$|\.(gz|gguf|bin|f32|png|safetensors)$')
if [ -n "$tracked" ]; then
  found=$(printf '%s\n' "$tracked" | xargs grep -nIE '(^|[^A-Za-z0-9_.])/(work|root|home/[a-z]+|farm)/' 2>/dev/null)
  [ -z "$found" ] || finding "$found (a path of somebody's machine)"
  found=$(git ls-files -z | xargs -0 -r stat -c '%s %n' | awk '$1 > 5242880 { print $2 ": " $1 " bytes" }')
  [ -z "$found" ] || finding "$found (over 5 MB)"
fi
found=$(grep -nE '\b(TODO|FIXME|XXX|HACK)\b' $sources)
[ -z "$found" ] || finding "$found (unfinished)"
grep -q 'tools/test' .ci/run || finding ".ci/run: does not call tools/test"

[ $bad -eq 0 ] && echo "lint: nothing found in $(printf '%s\n' $sources | wc -l) files"
exit $bad
