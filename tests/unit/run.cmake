# The run: how fast to ask, what to do about failures, what to check first.
as_test(test_pace ${CMAKE_CURRENT_LIST_DIR}/test_pace.c DEPS as_run as_types as_base m LABELS unit)
