# The store: what it keeps, what it refuses, and that a killed run ends like any other.
add_library(store_cases STATIC ${CMAKE_CURRENT_LIST_DIR}/store_cases.c)
target_include_directories(store_cases PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(store_cases PUBLIC as_store PRIVATE as_warnings)
as_test(test_store ${CMAKE_CURRENT_LIST_DIR}/test_store.c DEPS as_store store_cases LABELS unit)
as_test(test_store_kill ${CMAKE_CURRENT_LIST_DIR}/test_store_kill.c DEPS as_store store_cases
  LABELS unit TIMEOUT 120)
add_executable(bench_store ${CMAKE_CURRENT_LIST_DIR}/../bench/bench_store.c)
target_link_libraries(bench_store PRIVATE as_store as_warnings)
as_test(test_store_server ${CMAKE_CURRENT_LIST_DIR}/test_store_server.c
  DEPS as_store store_cases PkgConfig::SQLITE ZLIB::ZLIB LABELS unit)
