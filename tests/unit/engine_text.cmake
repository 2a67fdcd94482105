# The text side of the engine: the container and the vocabulary.
as_test(test_gguf unit/test_gguf.c DEPS as_engine as_base LABELS unit)
