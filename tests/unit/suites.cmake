as_test(test_pyrandom ${PROJECT_SOURCE_DIR}/tests/unit/test_pyrandom.c DEPS as_base LABELS unit)
foreach(name mmlu_pro aime summary smoke)
  as_test(test_${name} ${PROJECT_SOURCE_DIR}/tests/unit/test_${name}.c
    DEPS as_suites as_scorers as_datasets as_base LABELS unit)
endforeach()
as_test(test_needle ${CMAKE_CURRENT_LIST_DIR}/test_needle.c DEPS as_suites as_scorers LABELS unit)
