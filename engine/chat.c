/* chat.c — conversations by the template a model brings, and their ids. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/session_impl.h"

/* A file's own template; for Gemma 4 files without one, the family's rules. Gemma 3 files without
 * one are base models: nothing is invented for them, and out stays empty. */
static as_code choose_source(g4_model *m, as_buf *out, as_err *err)
{
    if (as_str_is_set(m->info.chat_template)) {
        m->info.template_name = AS_STR("file");
        (void)as_buf_add(out, m->info.chat_template);
        return as_buf_ok(out, err);
    }
    if (m->config.arch == G4_GEMMA3)
        return AS_OK;
    const tp_builtin which = m->config.ple_width != 0 ? TP_GEMMA4_SMALL : TP_GEMMA4_LARGE;
    m->info.template_name = as_str_of(tp_builtin_name(which));
    return tp_builtin_source(which, out, err);
}

static as_code spell(const g4_model *m, int32_t id, as_buf *out, as_err *err)
{
    as_buf_init(out, 4096);
    return id >= 0 ? g4_detokenize(m, &id, 1, G4_TOK_SPECIAL, out, err) : AS_OK;
}

as_code g4_chat_open(g4_model *m, as_err *err)
{
    AS_TRY(spell(m, m->info.bos, &m->bos_text, err));
    AS_TRY(spell(m, m->info.eos, &m->eos_text, err));
    as_buf source;
    as_err why = {0};
    as_buf_init(&source, 0);
    as_code c = choose_source(m, &source, err);
    if (c == AS_OK && source.n == 0)
        (void)snprintf(m->chat_fault, sizeof m->chat_fault,
                       "the model carries no chat template (a base model?) and none is invented: "
                       "use completion prompts");
    else if (c == AS_OK && tp_parse(&m->chat, as_buf_str(&source), &why) != AS_OK)
        (void)snprintf(m->chat_fault, sizeof m->chat_fault, "its chat template: %.200s", why.text);
    as_buf_release(&source);
    if (why.code == AS_NOMEM)
        c = as_fail(err, AS_NOMEM, "%s: %s", g4_gguf_path(m->file), m->chat_fault);
    m->info.has_chat = m->chat != NULL;
    return c;
}

void g4_chat_close(g4_model *m)
{
    tp_free(m->chat);
    as_buf_release(&m->bos_text);
    as_buf_release(&m->eos_text);
}

static as_str spelled(const as_buf *text)
{
    return text->n != 0 ? as_buf_str(text) : (as_str){0};
}

static tp_options options_of(const g4_model *m)
{
    return (tp_options){.bos_token = spelled(&m->bos_text), .eos_token = spelled(&m->eos_text)};
}

static as_code check_chat(const g4_model *m, as_err *err)
{
    if (m->chat != NULL)
        return AS_OK;
    return as_fail(err, AS_UNSUPPORTED, "%s: %s", g4_gguf_path(m->file), m->chat_fault);
}

as_code g4_chat_render(const g4_model *m, as_str request_json, as_buf *out, as_err *err)
{
    AS_TRY(check_chat(m, err));
    const tp_options options = options_of(m);
    const as_code c = tp_render_chat(m->chat, request_json, &options, out, NULL, err);
    return c == AS_OK ? AS_OK : as_wrap(err, "chat template");
}

as_code g4_chat_render_line(const g4_model *m, as_str request_json, as_jw *out, as_err *err)
{
    AS_TRY(check_chat(m, err));
    const tp_options options = options_of(m);
    return tp_render_request(m->chat, request_json, &options, out, err);
}

as_code g4_chat_tokenize(const g4_model *m, as_str text, int32_t **ids, size_t *n_ids, as_err *err)
{
    const as_str bos = spelled(&m->bos_text);
    const bool has_bos = bos.n != 0 && as_str_starts(text, bos);
    const unsigned flags = G4_TOK_SPECIAL | (m->info.add_bos && !has_bos ? G4_TOK_BOS : 0u);
    return g4_tokenize(m, text, flags, ids, n_ids, err);
}
