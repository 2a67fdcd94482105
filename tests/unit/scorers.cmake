as_test(test_rating ${CMAKE_CURRENT_LIST_DIR}/test_rating.c DEPS as_rating as_base m LABELS unit)
as_test(test_code ${CMAKE_CURRENT_LIST_DIR}/test_code.c DEPS as_scorers as_base LABELS unit)
as_test(test_programs ${CMAKE_CURRENT_LIST_DIR}/test_programs.c DEPS as_suites as_scorers as_datasets as_base LABELS unit)
as_test(test_lcb_judge ${CMAKE_CURRENT_LIST_DIR}/test_lcb_judge.c DEPS as_scorers as_base LABELS sandbox TIMEOUT 300)
