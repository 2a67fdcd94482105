as_test(test_rating ${CMAKE_CURRENT_LIST_DIR}/test_rating.c DEPS as_rating as_base m LABELS unit)
