as_test(test_rating ${CMAKE_CURRENT_LIST_DIR}/test_rating.c DEPS as_scorers as_base m LABELS unit)
