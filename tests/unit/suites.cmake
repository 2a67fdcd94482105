as_test(test_pyrandom ${PROJECT_SOURCE_DIR}/tests/unit/test_pyrandom.c DEPS as_base LABELS unit)
as_test(test_mmlu_pro ${PROJECT_SOURCE_DIR}/tests/unit/test_mmlu_pro.c DEPS as_suites as_scorers as_base LABELS unit)
