/* model_chat.c — assay model render|chat: conversations by a model's own template. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "cli/cmd_model.h"

enum { MAX_TEMPLATE_BYTES = 1 << 20 };

/* ---- render ------------------------------------------------------------------------------------ */

/* Where lines are rendered: by a model's template or by a file's. */
typedef struct renderer {
    g4_model *model;
    tp_template *file;
} renderer;

static as_code open_renderer(renderer *r, const cli_args *a, const char *path, const cli_env *env,
                             as_err *err)
{
    if ((path != NULL) == (a->n_rest == 1))
        return as_fail(err, AS_RANGE, "give either a model or --template; usage: %s", a->usage);
    if (path == NULL) {
        const char *file = NULL;
        AS_TRY(cli_model_file(&file, a->rest[0], env, err));
        const g4_model_options options = {.log = &env->log, .no_weights = true};
        return g4_model_open(&r->model, file, &options, err);
    }
    as_buf text;
    as_buf_init(&text, MAX_TEMPLATE_BYTES);
    as_code c = as_read_file(&text, path, err);
    if (c == AS_OK) {
        c = tp_parse(&r->file, as_buf_str(&text), err);
        if (c != AS_OK)
            (void)as_wrap(err, "%s", path);
    }
    as_buf_release(&text);
    return c;
}

static as_code render_line(const renderer *r, as_str line, as_jw *w, as_err *err)
{
    return r->model != NULL ? g4_chat_render_line(r->model, line, w, err)
                            : tp_render_request(r->file, line, NULL, w, err);
}

static as_code render_all(const renderer *r, as_err *err)
{
    as_jsonl *in = NULL;
    AS_TRY(as_jsonl_open(&in, "-", 0, err));
    as_buf out;
    as_buf_init(&out, 0);
    as_code c = AS_OK;
    for (;;) {
        as_str line;
        bool is_end = false;
        c = as_jsonl_next_text(in, &line, &is_end, err);
        if (c != AS_OK || is_end)
            break;
        as_jw w;
        as_jw_init(&w, &out);
        c = render_line(r, line, &w, err);
        (void)as_buf_add_byte(&out, '\n');
        if (c == AS_OK)
            c = as_buf_ok(&out, err);
        if (c == AS_OK)
            c = cli_print(as_buf_str(&out), err);
        if (c != AS_OK)
            break;
        as_buf_reset(&out);
    }
    as_jsonl_close(in);
    as_buf_release(&out);
    return c;
}

int model_render(cli_env *env, int argc, char **argv)
{
    const char *path = NULL;
    cli_flag flags[] = {
        cli_text("template", &path, "FILE.jinja", "a template instead of a model's own"),
    };
    cli_args a = {.usage = "assay model render (MODEL | --template F.jinja)",
                  .about = "Reads JSON lines {\"messages\", \"tools\", \"add_generation_prompt\", "
                           "\"vars\"}, writes {\"text\"}\nor {\"error\"}, one line each, and goes "
                           "on after an error.",
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .max_rest = 1};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    renderer r = {0};
    as_code c = open_renderer(&r, &a, path, env, &err);
    if (c == AS_OK)
        c = render_all(&r, &err);
    tp_free(r.file);
    g4_model_close(r.model);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}

/* ---- chat -------------------------------------------------------------------------------------- */

typedef struct chat {
    cli_engine engine;
    as_buf messages; /* JSON objects, comma-separated */
    const char *system;
    int64_t max_tokens;
    g4_sampling sampling;
    const char *think;
} chat;

static void add_message(chat *t, const char *role, as_str content)
{
    if (t->messages.n != 0)
        (void)as_buf_add_byte(&t->messages, ',');
    as_jw w;
    as_jw_init(&w, &t->messages);
    as_jw_begin_object(&w);
    as_jw_put_z(&w, "role", role);
    as_jw_put_str(&w, "content", content);
    as_jw_end_object(&w);
}

static as_code render_turn(chat *t, as_buf *text, as_err *err)
{
    as_buf request;
    as_buf_init(&request, 0);
    (void)as_buf_printf(&request, "{\"messages\":[%s],\"add_generation_prompt\":true,\"vars\":{",
                        t->messages.p);
    if (t->think != NULL)
        (void)as_buf_printf(&request, "\"enable_thinking\":%s",
                            strcmp(t->think, "on") == 0 ? "true" : "false");
    (void)as_buf_add_z(&request, "}}");
    as_code c = as_buf_ok(&request, err);
    if (c == AS_OK)
        c = g4_chat_render(t->engine.model, as_buf_str(&request), text, err);
    as_buf_release(&request);
    return c;
}

/* Prints the reply while it comes; what was said goes into the history without its thinking. */
static as_code reply(chat *t, as_err *err)
{
    as_buf text, said;
    as_buf_init(&text, 0);
    as_buf_init(&said, 0);
    int32_t *ids = NULL;
    size_t n = 0;
    as_code c = render_turn(t, &text, err);
    if (c == AS_OK)
        c = g4_chat_tokenize(t->engine.model, as_buf_str(&text), &ids, &n, err);
    if (c == AS_OK)
        c = cli_engine_say(&t->engine, ids, (int)n, &t->sampling, t->max_tokens, &said, err);
    free(ids);
    if (c == AS_OK) {
        as_arena scratch;
        as_str answer;
        as_arena_init(&scratch, 0);
        c = tp_strip_reasoning(as_buf_str(&said), &answer, &scratch, err);
        if (c == AS_OK)
            add_message(t, "assistant", answer);
        as_arena_release(&scratch);
    }
    as_buf_release(&text);
    as_buf_release(&said);
    return c;
}

static as_code converse(chat *t, const cli_env *env, as_err *err)
{
    char line[65536];
    if (t->system != NULL)
        add_message(t, "system", as_str_of(t->system));
    for (;;) {
        (void)fputs("> ", stderr);
        if (*env->cancel != 0 || fgets(line, sizeof line, stdin) == NULL)
            return AS_OK;
        const as_str text = as_str_trim(as_str_of(line));
        if (text.n == 0)
            continue;
        add_message(t, "user", text);
        AS_TRY(reply(t, err));
        (void)fputs("\n", stdout);
    }
}

int model_chat(cli_env *env, int argc, char **argv)
{
    enum { DEFAULT_TOKENS = 1024, CTX = 8192 };
    chat t = {.max_tokens = DEFAULT_TOKENS,
              .sampling = {.temperature = 1, .top_k = 64, .top_p = 0.95}};
    int64_t seed = 0;
    cli_flag flags[] = {
        cli_text("system", &t.system, "TEXT", "what stands before the conversation"),
        cli_text("think", &t.think, "on|off", "thinking mode (default: the template's)"),
        cli_alias("max-tokens",
                  cli_short('n', cli_int("n", &t.max_tokens, "N", 1, 1 << 20,
                                         "at most so many tokens a reply (default 1024)"))),
        cli_alias("temp",
                  cli_real("temperature", &t.sampling.temperature, "X", "default 1; 0: greedy")),
        cli_int("seed", &seed, "N", 0, INT64_MAX, "default 0"),
        cli_text("precision", &t.engine.precision, "f32|auto", "default auto"),
        cli_text("lora", &t.engine.lora, "ADAPTER[:SCALE]",
                 "a LoRA adapter: GGUF file or PEFT folder; scale 1 unless given"),
        cli_text("kv", &t.engine.kv, "f32|f16|q8_0",
                 "how keys and values are kept (default: f16, with f32 precision f32)"),
    };
    cli_args a = {.usage = "assay model chat MODEL [flags]",
                  .about = "A conversation on the terminal: a line, a reply, until the end of "
                           "input. A quick look, nothing is stored.",
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .min_rest = 1,
                  .max_rest = 1};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    t.sampling.seed = (uint64_t)seed;
    as_buf_init(&t.messages, 0);
    as_code c = cli_engine_open(&t.engine, a.rest[0], CTX, false, env, &err);
    if (c == AS_OK)
        c = converse(&t, env, &err);
    as_buf_release(&t.messages);
    cli_engine_close(&t.engine);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}
