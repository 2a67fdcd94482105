# as_script(NAME TIMEOUT seconds LABELS …): a shell test of the real program.
function(as_script name)
  cmake_parse_arguments(A "" "TIMEOUT" "LABELS" ${ARGN})
  add_test(NAME ${name} COMMAND bash ${PROJECT_SOURCE_DIR}/tests/integration/${name}.sh)
  set_tests_properties(${name} PROPERTIES LABELS "integration;${A_LABELS}" TIMEOUT ${A_TIMEOUT} SKIP_RETURN_CODE 77
    ENVIRONMENT "AS_FIXTURES=${PROJECT_SOURCE_DIR}/tests/fixtures;AS_PROGRAM=$<TARGET_FILE:assay>")
endfunction()

if(TARGET assay)
  as_script(wrong_input TIMEOUT 120)
  as_script(kill_and_continue TIMEOUT 300 LABELS slow)
  as_script(recorded_scores TIMEOUT 120)
  as_script(runs_and_reports TIMEOUT 180)
  as_script(model_commands TIMEOUT 180)
  as_script(adapters TIMEOUT 120)
  as_script(programs TIMEOUT 300 LABELS sandbox)
  as_script(sandbox TIMEOUT 900 LABELS sandbox)
  as_script(sandbox_many TIMEOUT 1200 LABELS "sandbox;slow")
endif()
