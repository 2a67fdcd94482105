# The run: how fast to ask, what to do about failures, what to check first.
as_test(test_pace ${CMAKE_CURRENT_LIST_DIR}/test_pace.c DEPS as_run as_types as_base m LABELS unit)
add_library(fake_server STATIC ${CMAKE_CURRENT_LIST_DIR}/fake_server.c)
target_include_directories(fake_server PUBLIC ${CMAKE_CURRENT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}
  ${PROJECT_SOURCE_DIR}/harness)
target_link_libraries(fake_server PRIVATE as_warnings)
set(run_parts as_run as_backend as_suites as_scorers as_datasets as_store as_types as_base m)
as_test(test_preflight ${CMAKE_CURRENT_LIST_DIR}/test_preflight.c DEPS fake_server ${run_parts}
  LABELS unit)
as_test(test_run ${CMAKE_CURRENT_LIST_DIR}/test_run.c DEPS fake_server store_cases ${run_parts}
  LABELS unit)
as_test(test_judging ${CMAKE_CURRENT_LIST_DIR}/test_judging.c DEPS fake_server store_cases
  ${run_parts} LABELS unit)
