# The text side of the engine: the container and the vocabulary.
as_test(test_gguf unit/test_gguf.c DEPS as_engine as_base LABELS unit)
as_test(test_tokenizer unit/test_tokenizer.c DEPS as_engine as_base LABELS unit)
target_include_directories(test_tokenizer PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit)
