as_test(test_serve_head ${CMAKE_CURRENT_LIST_DIR}/test_serve_head.c DEPS as_serve as_base LABELS unit)
as_test(test_serve_api ${CMAKE_CURRENT_LIST_DIR}/test_serve_api.c DEPS as_serve as_base LABELS unit)
