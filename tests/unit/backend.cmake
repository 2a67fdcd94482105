# Servers: the readers of what they send, and the drivers against a scripted peer.
as_test(test_wire ${CMAKE_CURRENT_LIST_DIR}/test_wire.c DEPS as_backend as_types as_base m LABELS unit)
add_library(http_peer STATIC ${CMAKE_CURRENT_LIST_DIR}/http_peer.c ${CMAKE_CURRENT_LIST_DIR}/client_support.c)
target_include_directories(http_peer PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_definitions(http_peer PRIVATE _GNU_SOURCE)
target_link_libraries(http_peer PUBLIC as_backend cmocka Threads::Threads PRIVATE as_warnings)
as_test(test_client ${CMAKE_CURRENT_LIST_DIR}/test_client.c DEPS http_peer as_backend as_types as_base m
  LABELS "unit;net;threads" TIMEOUT 120)
as_test(test_ollama ${CMAKE_CURRENT_LIST_DIR}/test_ollama.c DEPS http_peer as_backend as_types as_base m
  LABELS "unit;net;threads" TIMEOUT 120)
as_test(test_lmstudio ${CMAKE_CURRENT_LIST_DIR}/test_lmstudio.c DEPS http_peer as_backend as_types as_base m
  LABELS "unit;net;threads" TIMEOUT 120)
as_test(test_gemini ${CMAKE_CURRENT_LIST_DIR}/test_gemini.c DEPS http_peer as_backend as_types as_base m
  LABELS "unit;net;threads" TIMEOUT 120)
