# Programs that measure; not tests.
add_executable(bench_engine ${CMAKE_CURRENT_LIST_DIR}/bench_engine.c)
target_link_libraries(bench_engine PRIVATE as_engine as_base Threads::Threads m as_warnings)
add_executable(bench_sandbox ${CMAKE_CURRENT_LIST_DIR}/bench_sandbox.c)
target_link_libraries(bench_sandbox PRIVATE as_sandbox as_base as_warnings)
add_executable(bench_client ${CMAKE_CURRENT_LIST_DIR}/bench_client.c)
target_compile_definitions(bench_client PRIVATE _GNU_SOURCE)
target_link_libraries(bench_client PRIVATE as_backend as_types as_base m as_warnings)
