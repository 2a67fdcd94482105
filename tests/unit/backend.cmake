# Whoever answers.
as_test(test_backend_engine ${CMAKE_CURRENT_LIST_DIR}/test_backend_engine.c ${CMAKE_CURRENT_LIST_DIR}/engine_support.c
  DEPS as_backend as_engine as_base m LABELS engine TIMEOUT 120)
# Servers: the readers of what they send, and the drivers against a scripted peer.
as_test(test_wire ${CMAKE_CURRENT_LIST_DIR}/test_wire.c DEPS as_backend as_types as_base m LABELS unit)
add_library(http_peer STATIC ${CMAKE_CURRENT_LIST_DIR}/http_peer.c ${CMAKE_CURRENT_LIST_DIR}/client_support.c)
target_include_directories(http_peer PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_definitions(http_peer PRIVATE _GNU_SOURCE)
target_link_libraries(http_peer PUBLIC as_backend cmocka Threads::Threads PRIVATE as_warnings)
as_test(test_client ${CMAKE_CURRENT_LIST_DIR}/test_client.c DEPS http_peer as_backend as_types as_base m
  LABELS "unit;net;threads" TIMEOUT 120)

# Plugins: one source, built as four libraries that go wrong in different ways.
as_test(test_backend_plugin ${CMAKE_CURRENT_LIST_DIR}/test_backend_plugin.c
  DEPS as_backend as_base LABELS unit)
set(plugin_defines_ "")
set(plugin_defines_other AS_TEST_ABI=2u)
set(plugin_defines_short AS_TEST_SIZE=16)
set(plugin_defines_nosym AS_TEST_NO_SYMBOL)
foreach(kind "" other short nosym)
  set(target test_plugin_bad${kind})
  add_library(${target} MODULE ${CMAKE_CURRENT_LIST_DIR}/plugin_bad.c)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/harness)
  target_compile_definitions(${target} PRIVATE ${plugin_defines_${kind}})
  target_link_libraries(${target} PRIVATE as_warnings Threads::Threads)
  add_dependencies(test_backend_plugin ${target})
  string(TOUPPER "${kind}" suffix)
  string(REGEX REPLACE "^(.+)$" "_\\1" suffix "${suffix}")
  target_compile_definitions(test_backend_plugin PRIVATE
    AS_TEST_PLUGIN${suffix}="$<TARGET_FILE:${target}>")
endforeach()
target_compile_definitions(test_backend_plugin PRIVATE
  AS_TEST_SOURCE="${CMAKE_CURRENT_LIST_DIR}/plugin_bad.c")

# The bridge to transformers.js, with a program of ours in Node's place.
add_executable(fake_bridge ${CMAKE_CURRENT_LIST_DIR}/fake_bridge.c)
target_link_libraries(fake_bridge PRIVATE as_warnings)
as_test(test_backend_tjs ${CMAKE_CURRENT_LIST_DIR}/test_backend_tjs.c DEPS as_backend as_base m LABELS unit TIMEOUT 120)
add_dependencies(test_backend_tjs fake_bridge)
target_compile_definitions(test_backend_tjs PRIVATE AS_TEST_FAKE="$<TARGET_FILE:fake_bridge>")
add_executable(peer_llamacpp ${CMAKE_CURRENT_LIST_DIR}/../integration/peer_llamacpp.c)
target_link_libraries(peer_llamacpp PRIVATE http_peer as_backend as_types as_base m as_warnings)
as_test(test_ollama ${CMAKE_CURRENT_LIST_DIR}/test_ollama.c DEPS http_peer as_backend as_types as_base m
  LABELS "unit;net;threads" TIMEOUT 120)
as_test(test_lmstudio ${CMAKE_CURRENT_LIST_DIR}/test_lmstudio.c DEPS http_peer as_backend as_types as_base m
  LABELS "unit;net;threads" TIMEOUT 120)
as_test(test_client_score ${CMAKE_CURRENT_LIST_DIR}/test_client_score.c DEPS http_peer as_backend as_types as_base m
  LABELS "unit;net;threads")
as_test(test_gemini ${CMAKE_CURRENT_LIST_DIR}/test_gemini.c DEPS http_peer as_backend as_types as_base m
  LABELS "unit;net;threads" TIMEOUT 120)
# All groups of the conformance list, against the mock as a process of its own.
if(TARGET assay)
  as_test(test_conformance ${CMAKE_CURRENT_LIST_DIR}/test_conformance.c ${CMAKE_CURRENT_LIST_DIR}/mock_process.c
    DEPS http_peer as_backend as_types as_base m LABELS "unit;net;threads" TIMEOUT 180)
  add_dependencies(test_conformance assay)
endif()
