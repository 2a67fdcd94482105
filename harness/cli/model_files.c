/* model_files.c — assay model convert|quantize: model files from model files. */
#include "base/io.h"
#include "base/json.h"
#include "base/time.h"
#include "cli/cmd_model.h"

static as_code print_done(const char *path, int64_t start_ns, as_err *err)
{
    g4_model *m = NULL;
    AS_TRY(g4_model_open(&m, path, NULL, err));
    const g4_info *info = g4_model_info(m);
    as_buf b;
    as_buf_init(&b, 0);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    as_jw_put_z(&w, "file", path);
    as_jw_put_str(&w, "quantization", info->quantization);
    as_jw_put_i64(&w, "bytes", info->file_bytes);
    as_jw_put_f64(&w, "seconds", (double)(as_now_ns() - start_ns) / 1e9);
    as_jw_end_object(&w);
    (void)as_buf_add_byte(&b, '\n');
    const as_code c = cli_print_buf(&b, err);
    g4_model_close(m);
    return c;
}

/* Hours of somebody's work may be in a model file: none is replaced. */
static as_code check_target(const char *path, as_err *err)
{
    if (!as_file_exists(path) && !as_is_dir(path))
        return AS_OK;
    return as_fail(err, AS_RANGE, "%s: exists already; remove it or choose another name", path);
}

int model_convert(cli_env *env, int argc, char **argv)
{
    const char *name = NULL;
    cli_flag flags[] = {
        cli_text("name", &name, "TEXT", "general.name in the file; else the folder's"),
    };
    cli_args a = {.usage = "assay model convert FOLDER OUT.gguf [--name TEXT]",
                  .about =
                      "Writes a model folder (config.json, tokenizer.json, safetensors) as one "
                      "GGUF file.\nThe weights keep their bytes.",
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .min_rest = 2,
                  .max_rest = 2};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    const int64_t start = as_now_ns();
    const g4_convert_options options = {.name = as_str_of(name)};
    as_code c = check_target(a.rest[1], &err);
    if (c == AS_OK)
        c = g4_convert(a.rest[0], a.rest[1], &options, &err);
    if (c == AS_OK)
        c = print_done(a.rest[1], start, &err);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}

int model_quantize(cli_env *env, int argc, char **argv)
{
    int64_t threads = 0;
    cli_flag flags[] = {
        cli_int("threads", &threads, "N", 1, 1024, "compute threads (default: one per core)"),
    };
    cli_args a = {
        .usage = "assay model quantize IN OUT.gguf RECIPE [--threads N]",
        .about = "Writes a GGUF file or model folder with its matrices in smaller formats.\n"
                 "Recipes: F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S "
                 "Q4_K_M\nQ5_K_S Q5_K_M Q6_K IQ4_NL.",
        .flags = flags,
        .n_flags = sizeof flags / sizeof flags[0],
        .min_rest = 3,
        .max_rest = 3};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    const int64_t start = as_now_ns();
    as_code c = check_target(a.rest[1], &err);
    if (c == AS_OK)
        c = g4_quantize(a.rest[0], a.rest[1], a.rest[2], (int)threads, &err);
    if (c == AS_OK)
        c = print_done(a.rest[1], start, &err);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}
