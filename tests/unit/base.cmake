as_test(test_base ${CMAKE_CURRENT_LIST_DIR}/test_base.c DEPS as_base LABELS unit)
as_test(test_pool ${CMAKE_CURRENT_LIST_DIR}/test_pool.c DEPS as_base LABELS unit)
as_test(test_json ${CMAKE_CURRENT_LIST_DIR}/test_json.c DEPS as_base ZLIB::ZLIB LABELS unit)
as_test(test_stats ${CMAKE_CURRENT_LIST_DIR}/test_stats.c DEPS as_base LABELS unit)
