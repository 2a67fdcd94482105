# The only build functions: as_library, as_test, as_fuzz; and the flags all of them share.

add_library(as_warnings INTERFACE)
target_compile_options(as_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings
  -Wundef -Wvla -Wformat=2 -Wimplicit-fallthrough -Wdouble-promotion -fno-common
  $<$<BOOL:${AS_WERROR}>:-Werror>)

# glibc's POSIX and default interfaces; no math that is not IEEE; no contraction of a*b+c that
# would make results depend on the compiler.
add_compile_definitions(_DEFAULT_SOURCE _POSIX_C_SOURCE=200809L _FILE_OFFSET_BITS=64)
add_compile_options(-ffp-contract=off -fno-omit-frame-pointer)

if(AS_SANITIZE)
  add_compile_options(-fsanitize=${AS_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${AS_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_compile_options(-fstack-protector-strong)
  add_compile_definitions(_FORTIFY_SOURCE=2)
  add_link_options(-Wl,-z,relro,-z,now)
endif()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(NETTLE REQUIRED IMPORTED_TARGET nettle)
pkg_check_modules(LIBEVENT REQUIRED IMPORTED_TARGET libevent_core)
pkg_check_modules(CURL REQUIRED libcurl>=7.88) # Debian: libcurl4-openssl-dev
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)

# as_library(NAME src... DEPS targets... PRIVATE targets...): one static library per module.
# DEPS reach its users too; PRIVATE are third-party libraries that stay behind this module.
function(as_library name)
  cmake_parse_arguments(A "" "" "DEPS;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${A_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/harness)
  target_link_libraries(${name} PUBLIC ${A_DEPS} PRIVATE ${A_PRIVATE} as_warnings)
  if(AS_FUZZ)
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
endfunction()

# as_test(NAME src... DEPS targets... LABELS unit|engine|sandbox|net|slow TIMEOUT seconds)
function(as_test name)
  cmake_parse_arguments(A "" "TIMEOUT" "DEPS;LABELS" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 60)
  endif()
  add_executable(${name} ${A_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${A_DEPS} cmocka as_warnings)
  add_test(NAME ${name} COMMAND ${name})
  set(environment "AS_FIXTURES=${PROJECT_SOURCE_DIR}/tests/fixtures")
  if(TARGET assay)
    list(APPEND environment "AS_PROGRAM=$<TARGET_FILE:assay>")
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT}
    SKIP_RETURN_CODE 77 ENVIRONMENT "${environment}")
endfunction()

# as_fuzz(NAME src DEPS targets...): a libFuzzer program under the fuzz preset; elsewhere the same
# source with a small driver that replays tests/fuzz/corpus/NAME as a test.
function(as_fuzz name)
  cmake_parse_arguments(A "" "" "DEPS" ${ARGN})
  set(corpus ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
  if(AS_FUZZ)
    add_executable(${name} ${A_UNPARSED_ARGUMENTS})
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${A_UNPARSED_ARGUMENTS} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.c)
    add_test(NAME ${name} COMMAND ${name} ${corpus})
    set_tests_properties(${name} PROPERTIES LABELS "fuzz;unit" TIMEOUT 60)
  endif()
  target_link_libraries(${name} PRIVATE ${A_DEPS} as_warnings)
endfunction()
