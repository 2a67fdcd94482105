# The computing side of the engine: kernels, model, sessions, sampling.
set(ENGINE_SUPPORT ${CMAKE_CURRENT_LIST_DIR}/engine_support.c)
as_test(test_engine_golden ${CMAKE_CURRENT_LIST_DIR}/test_engine_golden.c ${ENGINE_SUPPORT}
  DEPS as_engine as_base m LABELS engine TIMEOUT 120)
as_test(test_dequant ${CMAKE_CURRENT_LIST_DIR}/test_dequant.c DEPS as_engine as_base LABELS unit)
as_test(test_kernels ${CMAKE_CURRENT_LIST_DIR}/test_kernels.c DEPS as_engine as_base LABELS unit)
as_test(test_engine_gemma3 ${CMAKE_CURRENT_LIST_DIR}/test_engine_gemma3.c ${ENGINE_SUPPORT}
  DEPS as_engine as_base m LABELS "engine;slow" TIMEOUT 600)
as_test(test_engine_vectors ${CMAKE_CURRENT_LIST_DIR}/test_engine_vectors.c
  ${CMAKE_CURRENT_LIST_DIR}/synthetic.c ${ENGINE_SUPPORT} DEPS as_engine as_base m LABELS engine)
as_test(test_engine_session ${CMAKE_CURRENT_LIST_DIR}/test_engine_session.c
  ${CMAKE_CURRENT_LIST_DIR}/synthetic.c ${ENGINE_SUPPORT} DEPS as_engine as_base m LABELS engine
  TIMEOUT 600)
as_test(test_sample ${CMAKE_CURRENT_LIST_DIR}/test_sample.c DEPS as_engine as_base m LABELS unit)
set(SCRIPTED ${CMAKE_CURRENT_LIST_DIR}/scripted.c ${ENGINE_SUPPORT})
as_test(test_engine_needle ${CMAKE_CURRENT_LIST_DIR}/test_engine_needle.c ${SCRIPTED}
  DEPS as_engine as_base m LABELS engine TIMEOUT 600)
as_test(test_engine_kv ${CMAKE_CURRENT_LIST_DIR}/test_engine_kv.c ${SCRIPTED}
  DEPS as_engine as_base m LABELS engine TIMEOUT 300)
