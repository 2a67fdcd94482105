/* model_text.c — assay model info|tokenize|detokenize: what needs no weights. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/jsonl.h"
#include "base/utf8.h"
#include "cli/cmd_model.h"

static as_code open_vocabulary(g4_model **out, const char *text, const cli_env *env, as_err *err)
{
    const char *path = NULL;
    AS_TRY(cli_model_file(&path, text, env, err));
    const g4_model_options options = {.log = &env->log, .no_weights = true};
    return g4_model_open(out, path, &options, err);
}

/* Reads JSON lines from standard input, hands each to fn, which writes one object. */
typedef as_code (*line_fn)(const g4_model *m, unsigned flags, const as_json *line, as_jw *w,
                           as_err *err);

static as_code each_line(const g4_model *m, unsigned flags, line_fn fn, as_err *err)
{
    as_jsonl *in = NULL;
    AS_TRY(as_jsonl_open(&in, "-", 0, err));
    as_buf out;
    as_buf_init(&out, (size_t)1 << 30);
    as_code c = AS_OK;
    for (;;) {
        as_json *line = NULL;
        c = as_jsonl_next(in, &line, err);
        if (c != AS_OK || line == NULL)
            break;
        as_jw w;
        as_jw_init(&w, &out);
        c = fn(m, flags, line, &w, err);
        as_json_free(line);
        if (c != AS_OK) {
            (void)as_jsonl_wrap(in, err);
            break;
        }
        (void)as_buf_add_byte(&out, '\n');
        c = as_buf_ok(&out, err);
        if (c == AS_OK && out.n > (1 << 16)) {
            c = cli_print(as_buf_str(&out), err);
            as_buf_reset(&out);
        }
        if (c != AS_OK)
            break;
    }
    as_jsonl_close(in);
    if (c == AS_OK)
        c = cli_print(as_buf_str(&out), err);
    as_buf_release(&out);
    return c;
}

static as_code tokenize_line(const g4_model *m, unsigned flags, const as_json *line, as_jw *w,
                             as_err *err)
{
    as_str text;
    AS_TRY(as_json_need_str(line, "text", &text, err));
    int32_t *ids = NULL;
    size_t n = 0;
    AS_TRY(g4_tokenize(m, text, flags, &ids, &n, err));
    as_jw_begin_object(w);
    as_jw_key(w, "ids");
    as_jw_begin_array(w);
    for (size_t i = 0; i < n; i++)
        as_jw_i64(w, ids[i]);
    as_jw_end_array(w);
    as_jw_end_object(w);
    free(ids);
    return AS_OK;
}

/* Bytes that are not UTF-8 cannot stand in JSON: they are given in hex beside the text. */
static void put_text(as_jw *w, as_str text)
{
    as_jw_begin_object(w);
    as_jw_put_str(w, "text", text);
    if (!as_utf8_is_valid(text)) {
        as_buf hex;
        as_buf_init(&hex, 0);
        for (size_t i = 0; i < text.n; i++)
            (void)as_buf_printf(&hex, "%02x", (unsigned char)text.p[i]);
        as_jw_put_str(w, "text_hex", as_buf_str(&hex));
        as_buf_release(&hex);
    }
    as_jw_end_object(w);
}

static as_code detokenize_line(const g4_model *m, unsigned flags, const as_json *line, as_jw *w,
                               as_err *err)
{
    const as_json *list = NULL;
    AS_TRY(as_json_need_array(line, "ids", &list, err));
    as_buf text;
    as_buf_init(&text, 0);
    as_code c = AS_OK;
    for (const as_json *i = as_json_first(list); c == AS_OK && i != NULL; i = as_json_next(i)) {
        int64_t id = 0;
        if (!as_json_i64(i, &id) || id < INT32_MIN || id > INT32_MAX) {
            c = as_fail(err, AS_PARSE, "\"ids\": want integers");
            break;
        }
        const int32_t one = (int32_t)id;
        c = g4_detokenize(m, &one, 1, flags, &text, err);
    }
    if (c == AS_OK)
        put_text(w, as_buf_str(&text));
    as_buf_release(&text);
    return c;
}

static int text_command(cli_env *env, int argc, char **argv, line_fn fn, const char *usage,
                        const char *about)
{
    bool special = false;
    bool bos = false;
    cli_flag flags[] = {
        cli_bool("special", &special,
                 "control tokens count: matched in the text, shown in the output"),
        cli_bool("bos", &bos, "put the start token in front (tokenize)"),
    };
    cli_args a = {.usage = usage,
                  .about = about,
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .min_rest = 1,
                  .max_rest = 1};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    g4_model *m = NULL;
    as_code c = open_vocabulary(&m, a.rest[0], env, &err);
    const unsigned how = (special ? G4_TOK_SPECIAL : 0u) | (bos ? G4_TOK_BOS : 0u);
    if (c == AS_OK)
        c = each_line(m, how, fn, &err);
    g4_model_close(m);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}

int model_tokenize(cli_env *env, int argc, char **argv)
{
    return text_command(env, argc, argv, tokenize_line,
                        "assay model tokenize MODEL [--special] [--bos]",
                        "Reads JSON lines {\"text\"} from standard input, writes {\"ids\"}.");
}

int model_detokenize(cli_env *env, int argc, char **argv)
{
    return text_command(env, argc, argv, detokenize_line,
                        "assay model detokenize MODEL [--special]",
                        "Reads JSON lines {\"ids\"} from standard input, writes {\"text\"}; text "
                        "that is not UTF-8\nalso as \"text_hex\".");
}

/* Members of the object that is open. */
static void put_info(as_jw *w, const g4_info *i, const char *path)
{
    as_jw_put_z(w, "file", path);
    as_jw_put_str(w, "architecture", i->architecture);
    as_jw_put_str(w, "name", i->name);
    as_jw_put_str(w, "license", i->license);
    as_jw_put_str(w, "quantization", i->quantization);
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"layers", i->n_layers},
        {"width", i->width},
        {"heads", i->n_heads},
        {"vocabulary", i->n_vocab},
        {"context", i->n_ctx_train},
        {"window", i->window},
        {"experts", i->n_experts},
        {"experts_used", i->n_experts_used},
        {"parameters", i->n_params},
        {"parameters_active", i->n_params_active},
        {"parameters_effective", i->n_params_effective},
        {"file_bytes", i->file_bytes},
        {"weight_bytes", i->weight_bytes},
        {"bos", i->bos},
        {"eos", i->eos},
    };
    for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
        as_jw_put_i64(w, numbers[k].key, numbers[k].value);
    as_jw_key(w, "stop");
    as_jw_begin_array(w);
    for (int k = 0; k < i->n_stop; k++)
        as_jw_i64(w, i->stop[k]);
    as_jw_end_array(w);
    as_jw_put_str(w, "template", i->template_name);
    as_jw_key(w, "template_sha256");
    if (as_str_is_set(i->chat_template)) {
        char hex[AS_SHA256_HEX];
        const as_sha256 h = as_sha256_of(i->chat_template);
        as_sha256_hex(hex, &h);
        as_jw_z(w, hex);
    } else {
        as_jw_null(w);
    }
}

static void print_member(as_buf *b, as_str group, const as_json *m)
{
    as_str s;
    as_buf key;
    as_buf_init(&key, 0);
    (void)as_buf_printf(&key, "%.*s%s%.*s", AS_ARG(group), group.n != 0 ? "." : "",
                        AS_ARG(as_json_key(m)));
    (void)as_buf_printf(b, "%-31s ", as_buf_str(&key).p);
    as_buf_release(&key);
    if (as_json_str(m, &s)) {
        (void)as_buf_add(b, s);
    } else {
        as_jw w;
        as_jw_init(&w, b);
        as_jw_node(&w, m);
    }
    (void)as_buf_add_byte(b, '\n');
}

/* The same object as lines "key  value" for people; members of "memory" as "memory.key". */
static as_code print_as_text(as_str json, as_err *err)
{
    as_json *tree = NULL;
    AS_TRY(as_json_parse(&tree, json, err));
    as_buf b;
    as_buf_init(&b, 0);
    for (const as_json *m = as_json_first(tree); m != NULL; m = as_json_next(m)) {
        if (as_json_type(m) != AS_JSON_OBJECT)
            print_member(&b, (as_str){0}, m);
        else
            for (const as_json *k = as_json_first(m); k != NULL; k = as_json_next(k))
                print_member(&b, as_json_key(m), k);
    }
    as_json_free(tree);
    return cli_print_buf(&b, err);
}

/* What a session with these flags would take. */
static as_code put_plan(as_jw *w, const g4_model *m, const cli_engine *e, int64_t n_ctx,
                        int64_t n_seqs, as_err *err)
{
    g4_session_options o;
    g4_memory memory;
    AS_TRY(cli_engine_options(&o, e, err));
    o.n_ctx = (int)n_ctx;
    o.n_seqs = (int)n_seqs;
    AS_TRY(g4_session_plan(m, &o, &memory, err));
    cli_put_memory(w, &memory, e->memory > 0 ? e->memory : g4_memory_available());
    return AS_OK;
}

int model_info(cli_env *env, int argc, char **argv)
{
    const char *format_name = NULL;
    cli_engine e = {0};
    int64_t n_ctx = 0;
    int64_t n_seqs = 1;
    cli_flag flags[] = {
        cli_int("context", &n_ctx, "N", 1, INT32_MAX,
                "plan memory for so many positions (default: what the model was made for)"),
        cli_int("sequences", &n_seqs, "S", 1, 4096, "… of so many sequences at once (default 1)"),
        cli_text("kv", &e.kv, "f32|f16|q8_0",
                 "… with keys and values kept like this (default f16)"),
        cli_text("precision", &e.precision, "f32|auto", "… computed like this (default auto)"),
        cli_int("memory", &e.memory, "BYTES", 1, INT64_MAX,
                "… where cache and buffers may take so much (default: what is available)"),
        cli_text("format", &format_name, "text|json", "form of the output"),
    };
    cli_args a = {.usage = "assay model info MODEL [--context N] [--sequences S] [--kv KIND]",
                  .about = "What a model file says of itself, its tensors by type, and the memory "
                           "that it would take.",
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .min_rest = 1,
                  .max_rest = 1};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    cli_format format;
    const char *path = NULL;
    g4_model *m = NULL;
    as_code c = cli_format_parse(&format, format_name, &err);
    if (c == AS_OK)
        c = cli_model_file(&path, a.rest[0], env, &err);
    const g4_model_options options = {.log = &env->log};
    if (c == AS_OK)
        c = g4_model_open(&m, path, &options, &err);
    as_buf b;
    as_buf_init(&b, 0);
    if (c == AS_OK) {
        as_jw w;
        as_jw_init(&w, &b);
        as_jw_begin_object(&w);
        put_info(&w, g4_model_info(m), path);
        cli_put_types(&w, m);
        c = put_plan(&w, m, &e, n_ctx, n_seqs, &err);
        as_jw_end_object(&w);
        (void)as_buf_add_byte(&b, '\n');
        if (c == AS_OK)
            c = as_buf_ok(&b, &err);
    }
    if (c == AS_OK)
        c = format == CLI_TEXT_FORMAT ? print_as_text(as_buf_str(&b), &err)
                                      : cli_print(as_buf_str(&b), &err);
    as_buf_release(&b);
    g4_model_close(m);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}
