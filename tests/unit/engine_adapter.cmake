# LoRA adapters: reading them, running with them.
set(ADAPTER_SUPPORT ${CMAKE_CURRENT_LIST_DIR}/adapter_support.c ${CMAKE_CURRENT_LIST_DIR}/synthetic.c
  ${CMAKE_CURRENT_LIST_DIR}/engine_support.c)
as_test(test_adapter ${CMAKE_CURRENT_LIST_DIR}/test_adapter.c ${ADAPTER_SUPPORT}
  DEPS as_engine as_base m LABELS engine TIMEOUT 900)
as_test(test_adapter_files ${CMAKE_CURRENT_LIST_DIR}/test_adapter_files.c ${ADAPTER_SUPPORT}
  DEPS as_engine as_base m LABELS engine TIMEOUT 120)
as_test(test_adapter_embedding ${CMAKE_CURRENT_LIST_DIR}/test_adapter_embedding.c
  ${CMAKE_CURRENT_LIST_DIR}/hf_support.c ${CMAKE_CURRENT_LIST_DIR}/engine_support.c
  DEPS as_engine as_base m LABELS engine)
as_test(test_adapter_state ${CMAKE_CURRENT_LIST_DIR}/test_adapter_state.c ${ADAPTER_SUPPORT}
  DEPS as_engine as_base m LABELS engine TIMEOUT 120)
