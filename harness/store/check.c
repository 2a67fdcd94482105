#include "store/store_impl.h"

#include <string.h>

/* A check is a query that finds what must not be: each row of it is a finding, its first column the
 * words for it. */
typedef struct rule {
    const char *what;
    const char *sql;
} rule;

static const rule rules[] = {
    {"every counting answer has a score of its task's scorer",
     "SELECT 'task ' || a.task_id || ' position ' || a.position || ' repeat ' || a.repeat"
     " FROM attempt a JOIN task t ON t.id = a.task_id WHERE a.counts = 1 AND NOT EXISTS"
     " (SELECT 1 FROM score s WHERE s.task_id = a.task_id AND s.position = a.position"
     " AND s.repeat = a.repeat AND s.scorer = t.scorer)"},
    {"one try of each answer counts: the last",
     "SELECT 'task ' || task_id || ' position ' || position || ' repeat ' || repeat FROM attempt"
     " GROUP BY task_id, position, repeat HAVING sum(counts) <> 1 OR max(try) <> count(*) - 1"
     " OR max(counts * try) <> max(try)"},
    {"scores belong to the try that counts",
     "SELECT 'task ' || s.task_id || ' position ' || s.position FROM score s JOIN attempt a"
     " USING(task_id, position, repeat, try) WHERE a.counts = 0"},
    {"tasks have the items they were begun with",
     "SELECT 'task ' || t.id FROM task t WHERE t.n_items <>"
     " (SELECT count(*) FROM item i WHERE i.task_id = t.id) OR t.n_items <> coalesce("
     " (SELECT max(position) + 1 FROM item i WHERE i.task_id = t.id), 0)"},
    {"repeats are those of the plan",
     "SELECT 'task ' || a.task_id || ' position ' || a.position FROM attempt a JOIN task t"
     " ON t.id = a.task_id WHERE a.repeat < 0 OR a.repeat >= t.repeats"},
    {"complete runs have all their answers, without errors",
     "SELECT 'run ' || r.id || ' task ' || t.id FROM run r JOIN task t ON t.run_id = r.id"
     " WHERE r.status = 'complete' AND t.n_items * t.repeats <> (SELECT count(*) FROM attempt a"
     " WHERE a.task_id = t.id AND a.counts = 1 AND a.error = 'none')"},
    {"complete runs have a verdict on every answer",
     "SELECT 'run ' || r.id || ' task ' || t.id || ' position ' || s.position FROM run r"
     " JOIN task t ON t.run_id = r.id JOIN score s ON s.task_id = t.id AND s.scorer = t.scorer"
     " AND s.scorer_version = t.scorer_version"
     " WHERE r.status = 'complete' AND s.verdict = 'ungraded'"},
    {"the processes of a verdict are numbered without gaps",
     "SELECT 'task ' || task_id || ' position ' || position || ' repeat ' || repeat FROM exec"
     " GROUP BY task_id, position, repeat, scorer, scorer_version"
     " HAVING min(no) <> 0 OR max(no) <> count(*) - 1"},
    {"the classes of a summary add up",
     /* n leaves out what failed or could not be judged */
     "SELECT 'task ' || task_id FROM metric WHERE group_no = 0 AND metric_no = 0 AND n <> n_right"
     " + n_wrong + n_truncated + n_empty + n_unparsed + n_refused"},
};

typedef struct checker {
    as_buf *report;
    as_err first; /* finding */
    const char *path;
} checker;

static void note(checker *k, const char *what, int64_t n_findings, as_str example)
{
    if (n_findings == 0) {
        (void)as_buf_printf(k->report, "ok    %s\n", what);
        return;
    }
    (void)as_buf_printf(k->report, "BAD   %s: %lld findings, the first: %.*s\n", what,
                        (long long)n_findings, AS_ARG(example));
    if (k->first.code == AS_OK)
        (void)as_fail(&k->first, AS_INTEGRITY, "%s: not so: %s (%.*s)", k->path, what,
                      AS_ARG(example));
}

/* Counts the rows and keeps the first one's text. healthy: a text that is no finding. */
static as_code run_rule(db_conn *c, const rule *r, const char *healthy, checker *k, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare_once(c, r->sql, &a, err));
    char first[160] = "";
    int64_t n = 0;
    bool has_row = false;
    as_code code;
    while ((code = db_step(&a, &has_row, err)) == AS_OK && has_row) {
        const as_str text = as_str_sub(db_col_str(&a, 0), 0, sizeof first - 1);
        if (healthy != NULL && as_str_eq_z(text, healthy))
            continue;
        if (n++ == 0 && text.n != 0)
            memcpy(first, text.p, text.n);
    }
    db_finish(&a);
    if (code == AS_OK)
        note(k, r->what, n, as_str_of(first));
    return code;
}

/* Unpacks every text and compares its hash with its key. */
static as_code check_texts(db_conn *c, checker *k, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare_once(c, "SELECT sha256, codec, raw_bytes, data FROM blob", &a, err));
    as_buf text;
    as_buf_init(&text, (size_t)1 << 30);
    int64_t n_bad = 0;
    char first[AS_SHA256_HEX] = "";
    bool has_row = false;
    as_code code;
    while ((code = db_step(&a, &has_row, err)) == AS_OK && has_row) {
        as_sha256 key = {{0}};
        as_buf_reset(&text);
        const bool has_key = db_col_sha(&a, 0, &key);
        code = db_blob_unpack((int)db_col_i64(&a, 1, -1), db_col_i64(&a, 2, -1), db_col_str(&a, 3),
                              &text, err);
        if (code == AS_NOMEM)
            break;
        const as_sha256 is = as_sha256_of(as_buf_str(&text));
        if (code == AS_OK && has_key && memcmp(&is, &key, sizeof is) == 0)
            continue;
        if (n_bad++ == 0)
            as_sha256_hex(first, &key);
    }
    as_buf_release(&text);
    db_finish(&a);
    if (code == AS_OK)
        note(k, "every text hashes to its key", n_bad, as_str_of(first));
    return code;
}

as_code db_check(db_store *db, as_buf *report, as_err *err)
{
    static const rule whole = {"SQLite finds the file sound (integrity_check)",
                               "PRAGMA integrity_check(20)"};
    static const rule keys = {"references lead somewhere (foreign_key_check)",
                              "SELECT \"table\" || ' refers to a missing ' || parent"
                              " FROM pragma_foreign_key_check"};
    db_settle(db);
    db_conn *c = &db->read;
    checker k = {.report = report, .path = db->path};
    AS_TRY(run_rule(c, &whole, "ok", &k, err));
    AS_TRY(run_rule(c, &keys, NULL, &k, err));
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        AS_TRY(run_rule(c, &rules[i], NULL, &k, err));
    AS_TRY(check_texts(c, &k, err));
    if (k.first.code != AS_OK) {
        if (err != NULL)
            *err = k.first;
        return k.first.code;
    }
    return as_buf_ok(report, err);
}
