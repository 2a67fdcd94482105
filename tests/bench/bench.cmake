# Programs that measure; not tests.
add_executable(bench_engine ${CMAKE_CURRENT_LIST_DIR}/bench_engine.c)
target_link_libraries(bench_engine PRIVATE as_engine as_base Threads::Threads m as_warnings)
add_executable(bench_sandbox ${CMAKE_CURRENT_LIST_DIR}/bench_sandbox.c)
target_link_libraries(bench_sandbox PRIVATE as_sandbox as_base as_warnings)
