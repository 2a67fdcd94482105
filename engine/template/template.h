#ifndef ENGINE_TEMPLATE_TEMPLATE_H
#define ENGINE_TEMPLATE_TEMPLATE_H
/*
 * template.h — chat templates: messages in, the text a model was trained to see out.
 *
 * Language   the Jinja of chat templates, as transformers sets it up: Jinja2 3.1 with trim_blocks
 *            and lstrip_blocks, loop controls, the `generation` tag, the sandbox whose lists and
 *            dicts cannot be changed, no autoescaping; tojson, raise_exception and strftime_now as
 *            transformers has them. Values print, compare and fail as Python's do.
 *            Refused: include, import, extends, autoescape, integers beyond 64 bits, and the
 *            filters urlize, xmlattr, pprint, random, filesizeformat, striptags.
 * Input      JSON text, not a tree: 1 and 1.0 differ in what a template prints, as does the order
 *            of keys. Doubled keys: the last value counts, at the place of the first.
 * Errors     parsing: AS_PARSE, "line 7: …". Rendering: AS_RANGE for what Python would raise
 *            (tp_failure tells class and message apart), AS_NOMEM or AS_RANGE for a limit.
 * Limits     a template may be hostile: steps, output, memory, depth and sizes are bounded by
 *            tp_limits, the stack stays under 512 KiB; there is no way to read files, the
 *            environment, or the clock beyond strftime_now.
 * Ownership  a template owns its nodes, not its source text, which may go after tp_parse.
 * Threads    a parsed template is immutable: many threads may render it at once.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

typedef struct tp_template tp_template;

/* Source of at most 1 MiB; bytes that are not UTF-8 become U+FFFD. */
as_code tp_parse(tp_template **out, as_str source, as_err *err);
void tp_free(tp_template *t);

/* All-zero means the defaults in brackets. */
typedef struct tp_limits {
    uint64_t max_steps; /* nodes evaluated, items visited, blocks of 64 bytes moved [50 million] */
    size_t max_out_bytes;    /* of the text, and of any one string on the way [16 MiB] */
    size_t max_memory_bytes; /* everything a rendering holds [512 MiB] */
    int max_depth;           /* nested evaluations: blocks, expressions, macro calls [1200] */
} tp_limits;

typedef struct tp_options {
    tp_limits limits;
    int64_t now_ns; /* for strftime_now: ns since 1970, shown as UTC; 0: the clock, local time */
    /* Variables of a request, unless its "vars" have them; not set: none. */
    as_str bos_token, eos_token;
} tp_options;

/* What a failed rendering would have raised; texts live inside. */
typedef struct tp_failure {
    char kind[32];     /* "TemplateError", "UndefinedError", "TypeError", "LimitError", … */
    char message[448]; /* raise_exception's own words, or ours */
    int line;          /* of the template, from 1 */
} tp_failure;

/* Appends to out what the template makes of the variables: a JSON object, one member a variable.
 * options and failure may be NULL. On failure out is as before. */
as_code tp_render(const tp_template *t, as_str context_json, const tp_options *options, as_buf *out,
                  tp_failure *failure, as_err *err);

/* A request as tp_render_request takes it, the text alone. On failure out is as before. */
as_code tp_render_chat(const tp_template *t, as_str request_json, const tp_options *options,
                       as_buf *out, tp_failure *failure, as_err *err);

/* One line of `assay model render`: {"messages", "tools", "add_generation_prompt", "vars"}, all
 * optional; a member of vars becomes a variable of its own; other members are ignored. Absent or
 * null tools are none. Writes one object: {"text"}, or {"error": sentence, "kind", "message",
 * "line"} when the request or the rendering fails. Fails itself only when out does. */
as_code tp_render_request(const tp_template *t, as_str request_json, const tp_options *options,
                          as_jw *out, as_err *err);

/* ---- models whose files carry no template ---------------------------------------------------- */

typedef enum tp_builtin {
    TP_GEMMA3,       /* content only; refuses roles that do not alternate */
    TP_GEMMA4_SMALL, /* E2B, E4B */
    TP_GEMMA4_LARGE, /* 12B, 26B-A4B, 31B: an empty thinking block where thinking is off */
    TP_N_BUILTINS,
} tp_builtin;

const char *tp_builtin_name(tp_builtin which); /* "gemma3", "gemma4-small", "gemma4-large" */
/* Appends template text of ours, after the rules of Gemma 3 and of Gemma 4's templates of
 * 2026-07-09; parse it with tp_parse. */
as_code tp_builtin_source(tp_builtin which, as_buf *out, as_err *err);

/* ---- the thinking channel -------------------------------------------------------------------- */

typedef struct tp_reasoning {
    as_str reasoning; /* insides of all channels without their labels, joined by a blank line */
    as_str answer;    /* everything outside of channels, tool calls too, trimmed */
    int n_channels;
    bool is_unfinished; /* the text ends inside a channel */
} tp_reasoning;

/* What a Gemma 4 model said, with its markup visible. A channel is `<|channel>` label newline text
 * `<channel|>`; the label is the first line when it is one plain word, so that text without label
 * stays whole. A stray `<channel|>` ends a channel that the prompt opened: what stands before it is
 * reasoning. Texts live in keep (the result borrows nothing from text). */
as_code tp_split_reasoning(as_str text, tp_reasoning *out, as_arena *keep, as_err *err);

/* For history: without channels and their markup, trimmed; an unfinished channel is dropped. */
as_code tp_strip_reasoning(as_str text, as_str *out, as_arena *keep, as_err *err);

#endif
