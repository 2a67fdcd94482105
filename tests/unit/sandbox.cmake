# The sandbox: what is decided without a box, the filter, and the pool with real boxes.
set(BOX ${PROJECT_SOURCE_DIR}/scorers/sandbox/box)
as_test(test_sandbox_rules ${CMAKE_CURRENT_LIST_DIR}/test_sandbox_rules.c ${BOX}/cgroup.c ${BOX}/serve.c
  DEPS as_sandbox as_base LABELS unit)
as_test(test_box_filter ${CMAKE_CURRENT_LIST_DIR}/test_box_filter.c ${BOX}/filter.c
  DEPS as_sandbox PkgConfig::SECCOMP LABELS unit)
as_test(test_sandbox_pool ${CMAKE_CURRENT_LIST_DIR}/test_sandbox_pool.c
  DEPS as_sandbox as_base LABELS sandbox TIMEOUT 300)
target_compile_definitions(test_sandbox_pool PRIVATE SB_HELPER="$<TARGET_FILE:assay-box>")
