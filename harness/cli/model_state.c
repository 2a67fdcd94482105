/* model_state.c — a prompt's cache on disk: --save-state and --load-state of assay model generate. */
#include <stdio.h>

#include "cli/cmd_model.h"

/* The note of such a state: its ids, four bytes each, the low one first. */
static as_code write_ids(as_buf *out, const int32_t *ids, int n, as_err *err)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 4; k++)
            (void)as_buf_add_byte(out, (char)(unsigned char)((uint32_t)ids[i] >> 8 * k));
    return as_buf_ok(out, err);
}

static int32_t id_at(as_str note, int i)
{
    uint32_t v = 0;
    for (int k = 0; k < 4; k++)
        v |= (uint32_t)(unsigned char)note.p[4 * i + k] << 8 * k;
    return (int32_t)v;
}

as_code cli_state_save(const cli_engine *e, const char *path, const int32_t *ids, int n,
                       as_err *err)
{
    if (n == 0)
        return as_fail(err, AS_RANGE,
                       "--save-state %s: the prompt has one id, want at least two: the last is "
                       "not saved",
                       path);
    as_buf note;
    as_buf_init(&note, G4_MAX_NOTE);
    as_code c = write_ids(&note, ids, n, err);
    if (c == AS_OK)
        c = g4_state_save_file(e->session, e->seq, as_buf_str(&note), path, err);
    as_buf_release(&note);
    return c == AS_OK ? AS_OK : as_wrap(err, "--save-state");
}

static as_code check_ids(as_str note, int n_rows, const int32_t *prompt, int n_prompt, as_err *err)
{
    if (note.n != (size_t)n_rows * 4)
        return as_fail(err, AS_PARSE,
                       "holds %d rows but no ids for them; save it with --save-state", n_rows);
    int same = 0;
    while (same < n_rows && same < n_prompt && id_at(note, same) == prompt[same])
        same++;
    if (same < n_rows)
        return as_fail(err, AS_RANGE,
                       "holds %d ids of which the prompt shares the first %d; save a state of the "
                       "shared part alone",
                       n_rows, same);
    if (n_rows >= n_prompt)
        return as_fail(err, AS_RANGE, "holds the whole prompt of %d ids; want at least one more",
                       n_prompt);
    return AS_OK;
}

as_code cli_state_load(cli_engine *e, const char *path, const int32_t *prompt, int n_prompt,
                       int *n_held, as_err *err)
{
    as_buf note;
    as_buf_init(&note, G4_MAX_NOTE);
    as_code c = g4_state_load_file(e->session, e->seq, path, &note, err);
    if (c == AS_OK) {
        *n_held = g4_seq_length(e->session, e->seq);
        c = check_ids(as_buf_str(&note), *n_held, prompt, n_prompt, err);
        if (c != AS_OK)
            (void)as_wrap(err, "%s", path);
    }
    as_buf_release(&note);
    return c == AS_OK ? AS_OK : as_wrap(err, "--load-state");
}
