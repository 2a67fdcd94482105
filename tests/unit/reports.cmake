# Reports: golden texts in tests/golden, the script of the plots, and the plots where gnuplot is.
as_test(test_reports ${CMAKE_CURRENT_LIST_DIR}/test_reports.c DEPS as_reports store_cases
  LABELS unit)
target_compile_definitions(test_reports PRIVATE
  AS_GOLDEN="${PROJECT_SOURCE_DIR}/tests/golden")
