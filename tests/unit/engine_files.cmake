# Model files: safetensors folders, converting, quantising.
set(HF_SUPPORT ${CMAKE_CURRENT_LIST_DIR}/hf_support.c ${CMAKE_CURRENT_LIST_DIR}/engine_support.c)
as_test(test_hf_model ${CMAKE_CURRENT_LIST_DIR}/test_hf_model.c ${HF_SUPPORT}
  DEPS as_engine as_base m LABELS engine TIMEOUT 120)
as_test(test_safetensors ${CMAKE_CURRENT_LIST_DIR}/test_safetensors.c
  ${CMAKE_CURRENT_LIST_DIR}/hf_support.c DEPS as_engine as_base LABELS unit)
as_test(test_convert ${CMAKE_CURRENT_LIST_DIR}/test_convert.c ${HF_SUPPORT}
  DEPS as_engine as_base m LABELS engine)
as_test(test_quantize ${CMAKE_CURRENT_LIST_DIR}/test_quantize.c ${HF_SUPPORT}
  DEPS as_engine as_base m LABELS engine TIMEOUT 120)
as_test(test_quantize_peer ${CMAKE_CURRENT_LIST_DIR}/test_quantize_peer.c
  ${CMAKE_CURRENT_LIST_DIR}/engine_support.c DEPS as_engine as_base m LABELS unit)
as_test(test_hostile_models ${CMAKE_CURRENT_LIST_DIR}/test_hostile_models.c ${HF_SUPPORT}
  DEPS as_engine as_base m LABELS engine)
