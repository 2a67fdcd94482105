#!/usr/bin/env bash
# A plugin as a stranger builds it: outside the tree, with nothing but the installed header.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

cmake --install "$(dirname "$AS_PROGRAM")" --prefix "$work/prefix" --component plugin >"$work/log" 2>&1 ||
  fail "cmake --install: $(tail -1 "$work/log")"
[ -f "$work/prefix/include/assay/plugin.h" ] || fail "no include/assay/plugin.h was installed"
cp -r "$top/tools/example-plugin" "$work/example"
${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -fPIC -shared -I"$work/prefix/include" \
  -o "$work/letter.so" "$work/example/letter.c" || fail "the example does not build by hand"
make -s -C "$work/example" PREFIX="$work/prefix" || fail "the example's Makefile fails"
if command -v c++ >/dev/null; then
  printf '#include <assay/plugin.h>\nint main() { return (int)sizeof(assay_reply) == 0; }\n' >"$work/t.cc"
  c++ -Wall -Wextra -Wpedantic -Werror -I"$work/prefix/include" -o "$work/t" "$work/t.cc" 2>"$work/log" ||
    fail "the header does not compile as C++: $(head -3 "$work/log")"
else
  skip "the header as C++: no c++"
fi
cmake -S "$work/example" -B "$work/example/build" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/log" 2>&1 &&
  cmake --build "$work/example/build" >>"$work/log" 2>&1 || fail "the example's CMakeLists.txt fails: $(tail -3 "$work/log")"

for library in "$work/letter.so" "$work/example/letter.so" "$work/example/build/letter.so"; do
  assay run -m "plugin:$library:letter" -t smoke_choice --db "$work/$RANDOM.db" --format json \
    >"$work/out" 2>"$work/err" || fail "a run with $library: $(tail -1 "$work/err")"
  grep -q 'example letter' "$work/out" || fail "the run does not name the plugin's model: $(head -c 300 "$work/out")"
done
cd "$work" && assay run -m plugin:letter.so:echo -t smoke_number --db "$work/echo.db" >/dev/null 2>"$work/err" ||
  fail "a library named without a slash: $(tail -1 "$work/err")"

expect 2 'it has: letter, echo' assay run -m "plugin:$work/letter.so:nobody" -t smoke
expect 2 'no such file' assay run -m "plugin:$work/none.so:letter" -t smoke
expect 2 'not a library' assay run -m "plugin:$work/example/letter.c:letter" -t smoke
expect 2 'takes no -M options' assay run -m "plugin:$work/letter.so:letter" -M colour=red -t smoke
finish
