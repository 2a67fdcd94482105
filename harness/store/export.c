#include "store/store_impl.h"

#include <string.h>

/* Everything that refers to a text; others are left over from answers that were replaced. */
#define REFERENCED                                                                                 \
    "(SELECT prefix FROM attempt UNION SELECT prompt FROM attempt UNION"                           \
    " SELECT reasoning FROM attempt UNION SELECT answer FROM attempt UNION"                        \
    " SELECT texts FROM item_page)"

typedef struct table {
    const char *name;
    const char *select; /* in key order */
    bool is_of_time;    /* the whole table tells when and how, not what */
} table;

static const table tables[] = {
    {"meta", "SELECT * FROM meta ORDER BY key", false},
    {"host", "SELECT id, sha256, json FROM host ORDER BY id", false},
    {"build", "SELECT id, sha256, json FROM build ORDER BY id", false},
    {"backend", "SELECT id, sha256, json FROM backend ORDER BY id", false},
    {"model", "SELECT * FROM model ORDER BY id", false},
    {"dataset", "SELECT * FROM dataset ORDER BY id", false},
    {"protocol", "SELECT id, sha256, suite, name, json FROM protocol ORDER BY id", false},
    {"run",
     "SELECT id, uuid, identity_sha256, ordinal, config_sha256, config_json, model_id, backend_id,"
     " host_id, build_id, argv, status, created, finished FROM run ORDER BY id",
     false},
    {"session", "SELECT * FROM session ORDER BY run_id, session", true},
    {"task", "SELECT * FROM task ORDER BY id", false},
    {"item", "SELECT * FROM item ORDER BY task_id, position", false},
    {"item_page", "SELECT * FROM item_page ORDER BY task_id, page", false},
    {"attempt", "SELECT * FROM attempt ORDER BY task_id, position, repeat, try", false},
    {"score", "SELECT * FROM score ORDER BY task_id, position, repeat, scorer, scorer_version",
     false},
    {"box",
     "SELECT sha256, sandbox, toolchain, tool_sha256, limits FROM box"
     " WHERE sha256 IN (SELECT box FROM exec) ORDER BY sha256",
     false},
    {"exec", "SELECT * FROM exec ORDER BY task_id, position, repeat, scorer, scorer_version, no",
     false},
    {"metric", "SELECT * FROM metric ORDER BY task_id, scorer, scorer_version, group_no, metric_no",
     false},
    {"event", "SELECT * FROM event ORDER BY id", true},
    {"mem", "SELECT * FROM mem ORDER BY run_id, session, sample", true},
    {"server", "SELECT * FROM server ORDER BY run_id, session, sample", true},
    {"gap", "SELECT * FROM gap ORDER BY run_id, bucket", true},
    {"blob",
     "SELECT sha256, codec, raw_bytes, data FROM blob WHERE sha256 IN " REFERENCED
     " ORDER BY sha256",
     false},
};

static bool is_of_time(const char *column)
{
    static const char *const names[] = {"created",    "finished",      "session",  "argv",
                                        "n_pieces",   "cached_tokens", "endpoint", "n_runs",
                                        "peak_bytes", "output_bytes",  "errors"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(column, names[i]) == 0)
            return true;
    return as_str_ends(as_str_of(column), AS_STR("_ns"));
}

static void put_hex(as_jw *w, as_str bytes)
{
    as_sha256 sha;
    if (bytes.n != sizeof sha.b) {
        as_jw_null(w);
        return;
    }
    memcpy(sha.b, bytes.p, sizeof sha.b);
    char hex[AS_SHA256_HEX];
    as_sha256_hex(hex, &sha);
    as_jw_z(w, hex);
}

static void put_value(as_jw *w, const db_args *a, int i)
{
    switch (sqlite3_column_type(a->st, i)) {
    case SQLITE_INTEGER:
        as_jw_i64(w, sqlite3_column_int64(a->st, i));
        break;
    case SQLITE_FLOAT:
        as_jw_f64(w, sqlite3_column_double(a->st, i));
        break;
    case SQLITE_TEXT:
        as_jw_str(w, db_col_str(a, i));
        break;
    case SQLITE_BLOB:
        put_hex(w, db_col_str(a, i));
        break;
    default:
        as_jw_null(w);
    }
}

typedef struct exporter {
    bool without_times;
    as_code (*write)(void *user, as_str line, as_err *err);
    void *user;
    as_buf line, text;
} exporter;

static as_code put_blob_row(exporter *e, as_jw *w, const db_args *a, as_err *err)
{
    as_buf_reset(&e->text);
    AS_TRY(db_blob_unpack((int)db_col_i64(a, 1, -1), db_col_i64(a, 2, -1), db_col_str(a, 3),
                          &e->text, err));
    as_jw_key(w, "sha256");
    put_hex(w, db_col_str(a, 0));
    as_jw_key(w, "text");
    as_jw_str(w, as_buf_str(&e->text));
    return AS_OK;
}

static as_code put_row(exporter *e, const table *t, const db_args *a, as_err *err)
{
    as_jw w;
    as_buf_reset(&e->line);
    as_jw_init(&w, &e->line);
    as_jw_begin_object(&w);
    as_jw_key(&w, "table");
    as_jw_z(&w, t->name);
    if (strcmp(t->name, "blob") == 0) {
        AS_TRY(put_blob_row(e, &w, a, err));
    } else {
        for (int i = 0; i < sqlite3_column_count(a->st); i++) {
            const char *name = sqlite3_column_name(a->st, i);
            if (e->without_times && is_of_time(name))
                continue;
            as_jw_key(&w, name);
            put_value(&w, a, i);
        }
    }
    as_jw_end_object(&w);
    AS_TRY(as_buf_ok(&e->line, err));
    return e->write(e->user, as_buf_str(&e->line), err);
}

static as_code put_table(db_store *db, exporter *e, const table *t, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare_once(&db->read, t->select, &a, err));
    bool has_row = false;
    as_code c;
    while ((c = db_step(&a, &has_row, err)) == AS_OK && has_row)
        if ((c = put_row(e, t, &a, err)) != AS_OK)
            break;
    db_finish(&a);
    return c;
}

as_code db_export(db_store *db, bool without_times,
                  as_code (*write)(void *user, as_str line, as_err *err), void *user, as_err *err)
{
    db_settle(db);
    exporter e = {.without_times = without_times, .write = write, .user = user};
    as_buf_init(&e.line, (size_t)1 << 30);
    as_buf_init(&e.text, (size_t)1 << 30);
    as_code c = db_exec(&db->read, "BEGIN", err); /* one state of the file for all tables */
    for (size_t i = 0; c == AS_OK && i < sizeof tables / sizeof tables[0]; i++)
        if (!without_times || !tables[i].is_of_time)
            c = put_table(db, &e, &tables[i], err);
    (void)sqlite3_exec(db->read.h, "COMMIT", NULL, NULL, NULL);
    as_buf_release(&e.line);
    as_buf_release(&e.text);
    return c;
}
