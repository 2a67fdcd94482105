as_test(test_datasets ${PROJECT_SOURCE_DIR}/tests/unit/test_datasets.c
  DEPS as_datasets as_base ZLIB::ZLIB LABELS unit)
