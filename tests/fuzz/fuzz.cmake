# One line per parser of outside bytes; the corpus is tests/fuzz/corpus/<name>.
as_fuzz(fuzz_gguf fuzz/fuzz_gguf.c DEPS as_engine as_base)
as_fuzz(fuzz_tokenizer fuzz/fuzz_tokenizer.c DEPS as_engine as_base)
as_fuzz(fuzz_extract fuzz/fuzz_extract.c DEPS as_scorers as_types as_base)
as_fuzz(fuzz_jsonl fuzz/fuzz_jsonl.c DEPS as_datasets as_base)
as_fuzz(fuzz_safetensors fuzz/fuzz_safetensors.c DEPS as_engine as_base)
as_fuzz(fuzz_template fuzz/fuzz_template.c DEPS as_engine as_base)
as_fuzz(fuzz_code fuzz/fuzz_code.c DEPS as_scorers as_base)
as_fuzz(fuzz_bulky fuzz/fuzz_bulky.c DEPS as_datasets as_base)
