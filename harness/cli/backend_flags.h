#ifndef CLI_BACKEND_FLAGS_H
#define CLI_BACKEND_FLAGS_H
/*
 * backend_flags.h — the flags with which every command names whoever answers.
 *
 * A command has a cli_backend_flags among its own and CLI_BACKEND_FLAGS(&it) in its table.
 */
#include "cli/cli.h"

typedef struct cli_backend_flags {
    const char *model;
    cli_list options, base_urls;
    int64_t threads;
} cli_backend_flags;

#define CLI_BACKEND_FLAGS(f)                                                                       \
    cli_short('m', cli_text("model", &(f)->model, "MODEL",                                         \
                            "GGUF file, fetched model, or scheme:name (`assay ls backends`)")),    \
        cli_alias("model-args",                                                                    \
                  cli_short('M', cli_texts("model-option", &(f)->options, "KEY=VALUE",             \
                                           "for the backend: the engine has "                      \
                                           "precision=auto|f32, kv=f32|f16|q8_0, ctx=N, "          \
                                           "memory=BYTES, lora=FILE[:SCALE]; servers have "        \
                                           "profile=, key_env=, rpm=, timeout= …"))),              \
        cli_texts("base-url", &(f)->base_urls, "URL",                                              \
                  "where the server is; several share the work"),                                  \
        cli_int("threads", &(f)->threads, "N", 1, 1024, "of the engine (default: one per core)")

/* The options as key and value, in keep. */
as_code cli_backend_options(be_option **out, const cli_backend_flags *f, as_arena *keep,
                            as_err *err);
/* Opens what the flags name; *model tells what that was. Close it by its driver. */
as_code cli_backend_open(be_backend **out, cli_model *model, const cli_backend_flags *f,
                         cli_env *env, as_err *err);

#endif
