# Whoever answers.
as_test(test_backend_engine ${CMAKE_CURRENT_LIST_DIR}/test_backend_engine.c ${CMAKE_CURRENT_LIST_DIR}/engine_support.c
  DEPS as_backend as_engine as_base m LABELS engine TIMEOUT 120)
