#include "store/schema.h"

#include <stddef.h>

/*
 * How the tables hang together
 *
 *   host, build, backend, model ◀── run ◀── session        one session per start of the program
 *   dataset, protocol ◀── task (run, suite, protocol) ◀── item (task, position)
 *                                                          ◀── attempt (…, repeat, try)
 *                                                                  ◀── score (…, scorer, version)
 *                                                                        ◀── exec (…, no) ──▶ box
 *   metric (task, scorer, version, group, name); event, mem, server, gap (run)
 *
 * Keys are functions of the plan. Circumstances are rows with a hash of their own (sha256), so that
 * equal ones are shared. Columns that a resumed run may differ in: names ending in _ns, created,
 * finished, session, cached_tokens, n_pieces, endpoint, and of exec peak_bytes, output_bytes, n_runs;
 * tables session, event, mem, server, gap (export.c).
 *
 * NULL means unknown. Columns GENERATED from json show the fields people ask for; what the JSON
 * does not hold is NULL. blob's rowid is never referred to: its key is the hash of the text.
 */

/* clang-format off */
static const char *const version_1[] = {
    "CREATE TABLE meta("
    " key TEXT NOT NULL PRIMARY KEY,"
    " value TEXT NOT NULL,"
    " created TEXT NOT NULL"
    ") STRICT, WITHOUT ROWID",

    /* codec 0: data is the text; 1: raw deflate of it */
    "CREATE TABLE blob("
    " sha256 BLOB NOT NULL UNIQUE,"
    " codec INTEGER NOT NULL CHECK(codec IN (0,1)),"
    " raw_bytes INTEGER NOT NULL CHECK(raw_bytes >= 0),"
    " data BLOB NOT NULL"
    ") STRICT",

    "CREATE TABLE host("
    " id INTEGER PRIMARY KEY,"
    " sha256 BLOB NOT NULL UNIQUE,"
    " json TEXT NOT NULL CHECK(json_valid(json)),"
    " cpu ANY AS (json_extract(json,'$.cpu')),"
    " cores ANY AS (json_extract(json,'$.cores')),"
    " memory ANY AS (json_extract(json,'$.memory')),"
    " os ANY AS (json_extract(json,'$.os'))"
    ") STRICT",

    "CREATE TABLE build("
    " id INTEGER PRIMARY KEY,"
    " sha256 BLOB NOT NULL UNIQUE,"
    " json TEXT NOT NULL CHECK(json_valid(json)),"
    " version ANY AS (json_extract(json,'$.version')),"
    " git ANY AS (json_extract(json,'$.git')),"
    " compiler ANY AS (json_extract(json,'$.compiler')),"
    " flags ANY AS (json_extract(json,'$.flags'))"
    ") STRICT",

    "CREATE TABLE backend("
    " id INTEGER PRIMARY KEY,"
    " sha256 BLOB NOT NULL UNIQUE,"
    " json TEXT NOT NULL CHECK(json_valid(json))"
    ") STRICT",

    "CREATE TABLE model("
    " id INTEGER PRIMARY KEY,"
    " sha256 BLOB NOT NULL UNIQUE," /* of all columns below */
    " spec TEXT NOT NULL,"
    " name TEXT NOT NULL,"
    " scheme TEXT NOT NULL,"
    " architecture TEXT NOT NULL,"
    " quantization TEXT NOT NULL,"
    " license TEXT NOT NULL,"
    " weights_sha256 TEXT NOT NULL,"  /* hex, '' unknown */
    " template_sha256 TEXT NOT NULL," /* hex, '' none */
    " n_params INTEGER,"
    " n_params_active INTEGER,"
    " file_bytes INTEGER,"
    " json TEXT NOT NULL"
    ") STRICT",

    "CREATE TABLE dataset("
    " id INTEGER PRIMARY KEY,"
    " sha256 BLOB NOT NULL UNIQUE," /* of all columns below */
    " name TEXT NOT NULL,"
    " revision TEXT NOT NULL,"
    " licence TEXT NOT NULL,"
    " content_sha256 TEXT NOT NULL"
    ") STRICT",

    "CREATE TABLE protocol("
    " id INTEGER PRIMARY KEY,"
    " sha256 BLOB NOT NULL UNIQUE," /* of suite, name and json */
    " suite TEXT NOT NULL,"
    " name TEXT NOT NULL,"
    " json TEXT NOT NULL CHECK(json_valid(json)),"
    " n_shot ANY AS (json_extract(json,'$.n_shot')),"
    " max_tokens ANY AS (json_extract(json,'$.max_tokens')),"
    " temperature ANY AS"
    "  (coalesce(json_extract(json,'$.temperature'), json_extract(json,'$.sampling.temperature'))),"
    " top_p ANY AS (coalesce(json_extract(json,'$.top_p'), json_extract(json,'$.sampling.top_p'))),"
    " top_k ANY AS (coalesce(json_extract(json,'$.top_k'), json_extract(json,'$.sampling.top_k'))),"
    " min_p ANY AS (coalesce(json_extract(json,'$.min_p'), json_extract(json,'$.sampling.min_p'))),"
    " items_sha256 ANY AS (json_extract(json,'$.items_sha256'))"
    ") STRICT",

    "CREATE TABLE run("
    " id INTEGER PRIMARY KEY,"
    " uuid TEXT NOT NULL UNIQUE,"         /* of identity and ordinal */
    " identity_sha256 BLOB NOT NULL,"     /* of the configuration and the model */
    " ordinal INTEGER NOT NULL,"          /* among runs of the same identity */
    " config_sha256 BLOB NOT NULL,"
    " config_json TEXT NOT NULL CHECK(json_valid(config_json)),"
    " seed ANY AS (json_extract(config_json,'$.seed')),"
    " think ANY AS (json_extract(config_json,'$.think')),"
    " reasoning_tokens ANY AS (json_extract(config_json,'$.reasoning_tokens')),"
    " model_id INTEGER NOT NULL REFERENCES model(id),"
    " backend_id INTEGER NOT NULL REFERENCES backend(id),"
    " host_id INTEGER NOT NULL REFERENCES host(id),"
    " build_id INTEGER NOT NULL REFERENCES build(id),"
    " argv TEXT NOT NULL,"
    " status TEXT NOT NULL,"
    " created TEXT NOT NULL,"
    " finished TEXT,"
    " UNIQUE(identity_sha256, ordinal)"
    ") STRICT",

    /* host_id, build_id, backend_id: of this start, which may differ from the run's first. seen_ns:
     * when something was last committed, so that a killed session's length is known too. */
    "CREATE TABLE session("
    " run_id INTEGER NOT NULL REFERENCES run(id),"
    " session INTEGER NOT NULL,"
    " host_id INTEGER NOT NULL REFERENCES host(id),"
    " build_id INTEGER NOT NULL REFERENCES build(id),"
    " backend_id INTEGER NOT NULL REFERENCES backend(id),"
    " argv TEXT NOT NULL,"
    " pid INTEGER NOT NULL,"
    " started_ns INTEGER NOT NULL,"
    " seen_ns INTEGER NOT NULL,"
    " status TEXT NOT NULL,"
    " wall_ns INTEGER,"
    " client_cpu_ns INTEGER,"
    " PRIMARY KEY(run_id, session)"
    ") STRICT, WITHOUT ROWID",

    "CREATE TABLE task("
    " id INTEGER PRIMARY KEY,"
    " run_id INTEGER NOT NULL REFERENCES run(id),"
    " protocol_id INTEGER NOT NULL REFERENCES protocol(id),"
    " dataset_id INTEGER NOT NULL REFERENCES dataset(id),"
    " scorer TEXT NOT NULL,"
    " scorer_version INTEGER NOT NULL,"
    " n_items INTEGER NOT NULL,"
    " repeats INTEGER NOT NULL CHECK(repeats > 0),"
    " items_sha256 BLOB NOT NULL,"
    " UNIQUE(run_id, protocol_id)"
    ") STRICT",

    "CREATE TABLE item("
    " task_id INTEGER NOT NULL REFERENCES task(id),"
    " position INTEGER NOT NULL,"
    " item TEXT NOT NULL,"
    " grp TEXT NOT NULL,"
    " n_choices INTEGER NOT NULL,"
    " target TEXT NOT NULL,"
    " origin TEXT NOT NULL,"
    " PRIMARY KEY(task_id, position)"
    ") STRICT, WITHOUT ROWID",

    /* Questions and choices of 64 items each: a JSON array of [question, [choice, …] or null]. */
    "CREATE TABLE item_page("
    " task_id INTEGER NOT NULL REFERENCES task(id),"
    " page INTEGER NOT NULL,"
    " texts BLOB NOT NULL REFERENCES blob(sha256),"
    " PRIMARY KEY(task_id, page)"
    ") STRICT, WITHOUT ROWID",

    /* counts: 1 for the last try, the one that is scored. seed: the 64 bits as a signed number. */
    "CREATE TABLE attempt("
    " task_id INTEGER NOT NULL,"
    " position INTEGER NOT NULL,"
    " repeat INTEGER NOT NULL,"
    " try INTEGER NOT NULL,"
    " counts INTEGER NOT NULL CHECK(counts IN (0,1)),"
    " finish TEXT NOT NULL,"
    " error TEXT NOT NULL,"
    " message TEXT NOT NULL,"
    " http_status INTEGER NOT NULL,"
    " is_chat INTEGER NOT NULL,"
    " seed INTEGER,"
    " n_choices INTEGER NOT NULL," /* as the answer was scored, after what the recording says */
    " recorded_target TEXT,"
    " prompt_tokens INTEGER,"
    " completion_tokens INTEGER,"
    " reasoning_tokens INTEGER,"
    " cached_tokens INTEGER,"
    " prefix BLOB REFERENCES blob(sha256),"
    " prompt BLOB REFERENCES blob(sha256),"
    " reasoning BLOB REFERENCES blob(sha256),"
    " answer BLOB REFERENCES blob(sha256),"
    " session INTEGER NOT NULL,"
    " started_wall_ns INTEGER,"
    " queue_ns INTEGER,"
    " connect_ns INTEGER,"
    " first_token_ns INTEGER,"
    " total_ns INTEGER,"
    " client_cpu_ns INTEGER,"
    " PRIMARY KEY(task_id, position, repeat, try),"
    " FOREIGN KEY(task_id, position) REFERENCES item(task_id, position)"
    ") STRICT, WITHOUT ROWID",

    "CREATE TABLE score("
    " task_id INTEGER NOT NULL,"
    " position INTEGER NOT NULL,"
    " repeat INTEGER NOT NULL,"
    " scorer TEXT NOT NULL,"
    " scorer_version INTEGER NOT NULL,"
    " try INTEGER NOT NULL,"
    " verdict TEXT NOT NULL,"
    " value REAL NOT NULL,"
    " prediction TEXT," /* NULL: nothing was read from the answer */
    " target TEXT NOT NULL,"
    " rule INTEGER NOT NULL,"
    " note TEXT NOT NULL,"
    " PRIMARY KEY(task_id, position, repeat, scorer, scorer_version),"
    " FOREIGN KEY(task_id, position, repeat, try)"
    "  REFERENCES attempt(task_id, position, repeat, try) ON DELETE CASCADE"
    ") STRICT, WITHOUT ROWID",

    /* group_no 0 is all items, metric_no 0 is the score itself; only (0, 0) has the interval, the
     * number of items and the anatomy. value NULL: not defined for these data. */
    "CREATE TABLE metric("
    " task_id INTEGER NOT NULL REFERENCES task(id),"
    " scorer TEXT NOT NULL,"
    " scorer_version INTEGER NOT NULL,"
    " group_no INTEGER NOT NULL,"
    " metric_no INTEGER NOT NULL,"
    " grp TEXT NOT NULL,"
    " name TEXT NOT NULL,"
    " n INTEGER NOT NULL,"
    " value REAL,"
    " se REAL, lo REAL, hi REAL,"
    " n_items INTEGER,"
    " n_right INTEGER, n_wrong INTEGER, n_truncated INTEGER, n_empty INTEGER,"
    " n_unparsed INTEGER, n_refused INTEGER, n_error INTEGER, n_ungraded INTEGER,"
    " PRIMARY KEY(task_id, scorer, scorer_version, group_no, metric_no)"
    ") STRICT, WITHOUT ROWID",

    "CREATE TABLE event("
    " id INTEGER PRIMARY KEY,"
    " run_id INTEGER NOT NULL REFERENCES run(id),"
    " at_ns INTEGER NOT NULL,"
    " level TEXT NOT NULL,"
    " kind TEXT NOT NULL,"
    " text TEXT NOT NULL"
    ") STRICT",

    "CREATE TABLE mem("
    " run_id INTEGER NOT NULL REFERENCES run(id),"
    " session INTEGER NOT NULL,"
    " sample INTEGER NOT NULL,"
    " at_ns INTEGER NOT NULL,"
    " peak_rss_bytes INTEGER,"
    " weights_bytes INTEGER,"
    " kv_bytes INTEGER,"
    " scratch_bytes INTEGER,"
    " PRIMARY KEY(run_id, session, sample)"
    ") STRICT, WITHOUT ROWID",

    "CREATE INDEX item_by_name ON item(task_id, item)",
    "CREATE INDEX event_by_run ON event(run_id)",

    /* The circumstances of every task in one row. */
    "CREATE VIEW v_task AS SELECT"
    " t.id AS task_id, r.id AS run_id, r.uuid, r.status, p.suite, p.name AS protocol,"
    " lower(hex(p.sha256)) AS protocol_sha256, p.n_shot, p.temperature, p.top_p, p.top_k, p.min_p,"
    " p.max_tokens, r.think, r.reasoning_tokens, r.seed, t.repeats, t.n_items,"
    " d.name AS dataset, d.revision AS dataset_revision, d.content_sha256 AS dataset_sha256,"
    " m.name AS model, m.scheme, m.architecture, m.quantization,"
    " m.weights_sha256 AS model_sha256, m.template_sha256, t.scorer, t.scorer_version,"
    " lower(hex(r.config_sha256)) AS config_sha256,"
    " b.version AS build_version, b.git AS build_git, b.compiler AS build_compiler,"
    " h.cpu AS host_cpu, h.cores AS host_cores, h.os AS host_os"
    " FROM task t JOIN run r ON r.id = t.run_id JOIN protocol p ON p.id = t.protocol_id"
    " JOIN dataset d ON d.id = t.dataset_id JOIN model m ON m.id = r.model_id"
    " JOIN build b ON b.id = r.build_id JOIN host h ON h.id = r.host_id",

    /* One row per scored answer, with the column names of lm-eval's sample files where they fit. */
    "CREATE VIEW v_samples AS SELECT"
    " v.run_id, v.task_id, v.suite || ':' || v.protocol AS task_name, a.position AS doc_id,"
    " i.item, i.grp, a.repeat, s.scorer AS filter, s.scorer_version, s.target,"
    " s.prediction AS filtered_resps, s.value AS acc, s.verdict, s.rule, a.finish, a.error,"
    " a.prompt_tokens, a.completion_tokens, a.reasoning_tokens, a.total_ns / 1e9 AS seconds,"
    " v.model, v.model_sha256, v.dataset_sha256, v.protocol_sha256"
    " FROM attempt a JOIN item i ON i.task_id = a.task_id AND i.position = a.position"
    " JOIN v_task v ON v.task_id = a.task_id"
    " JOIN score s ON s.task_id = a.task_id AND s.position = a.position"
    "  AND s.repeat = a.repeat AND s.try = a.try"
    " WHERE a.counts = 1",

    "CREATE VIEW v_score_anatomy AS SELECT"
    " v.run_id, v.task_id, v.suite, v.protocol, v.model, s.scorer, s.scorer_version,"
    " count(*) AS n, avg(s.value) AS score,"
    " sum(s.verdict = 'right') AS \"right\", sum(s.verdict = 'wrong') AS wrong,"
    " sum(s.verdict = 'truncated') AS truncated, sum(s.verdict = 'empty') AS empty,"
    " sum(s.verdict = 'unparsed') AS unparsed, sum(s.verdict = 'refused') AS refused,"
    " sum(s.verdict = 'error') AS error, sum(s.verdict = 'ungraded') AS ungraded"
    " FROM score s JOIN v_task v ON v.task_id = s.task_id"
    " GROUP BY s.task_id, s.scorer, s.scorer_version",
    NULL,
};

/* What servers add: more times, what was not honoured, who answered; the server's counters before
 * and after; how the client kept up. What programs add: how each ran. */
static const char *const version_2[] = {
    /* Times: ns since the request was handed over, as total_ns; gap_*: between the pieces of one
     * answer; server_*: the server's own word. dropped: AS_DROPPED_ names, comma-separated. */
    "ALTER TABLE attempt ADD COLUMN first_byte_ns INTEGER",
    "ALTER TABLE attempt ADD COLUMN first_answer_ns INTEGER",
    "ALTER TABLE attempt ADD COLUMN last_token_ns INTEGER",
    "ALTER TABLE attempt ADD COLUMN n_pieces INTEGER",
    "ALTER TABLE attempt ADD COLUMN gap_median_ns INTEGER",
    "ALTER TABLE attempt ADD COLUMN gap_p95_ns INTEGER",
    "ALTER TABLE attempt ADD COLUMN gap_max_ns INTEGER",
    "ALTER TABLE attempt ADD COLUMN server_queue_ns INTEGER",
    "ALTER TABLE attempt ADD COLUMN server_prompt_ns INTEGER",
    "ALTER TABLE attempt ADD COLUMN server_generation_ns INTEGER",
    "ALTER TABLE attempt ADD COLUMN server_load_ns INTEGER",
    "ALTER TABLE attempt ADD COLUMN dropped TEXT",
    "ALTER TABLE attempt ADD COLUMN finish_raw TEXT",
    "ALTER TABLE attempt ADD COLUMN model TEXT",
    "ALTER TABLE attempt ADD COLUMN fingerprint TEXT",
    "ALTER TABLE attempt ADD COLUMN endpoint TEXT",

    /* concurrency: requests in flight, the last choice where it was adapted. work_*: from the first
     * request to the last answer, which client_cpu_ns is of too. */
    "ALTER TABLE session ADD COLUMN concurrency INTEGER",
    "ALTER TABLE session ADD COLUMN work_wall_ns INTEGER",

    /* A server's counters: sample 0 before the first request, 1 after the last. NULL: not told. */
    "CREATE TABLE server("
    " run_id INTEGER NOT NULL REFERENCES run(id),"
    " session INTEGER NOT NULL,"
    " sample INTEGER NOT NULL,"
    " at_ns INTEGER NOT NULL,"
    " running REAL, waiting REAL,"
    " prompt_tokens REAL, generated_tokens REAL, cached_tokens REAL,"
    " prompt_seconds REAL, generation_seconds REAL,"
    " kv_used REAL,"
    " first_token_seconds REAL, first_token_count REAL,"
    " drafted REAL, accepted REAL,"
    " model_bytes REAL, gpu_bytes REAL, resident_bytes REAL,"
    " PRIMARY KEY(run_id, session, sample)"
    ") STRICT, WITHOUT ROWID",

    /* How often gaps between pieces fell in a bucket (gaps.c), over answers without a failed try. */
    "CREATE TABLE gap("
    " run_id INTEGER NOT NULL REFERENCES run(id),"
    " bucket INTEGER NOT NULL,"
    " n INTEGER NOT NULL,"
    " PRIMARY KEY(run_id, bucket)"
    ") STRICT, WITHOUT ROWID",

    /* Where programs run: one row for each combination of sandbox, tool and limits. */
    "CREATE TABLE box("
    " sha256 BLOB NOT NULL PRIMARY KEY,"  /* of the columns below */
    " sandbox TEXT NOT NULL,"             /* "namespaces+cgroup1", …; "none": in nothing */
    " toolchain TEXT NOT NULL,"           /* what the interpreter or compiler says of itself */
    " tool_sha256 TEXT NOT NULL,"         /* hex, of its file; '' unknown */
    " limits TEXT NOT NULL CHECK(json_valid(limits)),"
    " cpu_ms ANY AS (json_extract(limits,'$.cpu_ms')),"
    " wall_ms ANY AS (json_extract(limits,'$.wall_ms')),"
    " memory_mb ANY AS (json_extract(limits,'$.memory_mb'))"
    ") STRICT, WITHOUT ROWID",

    /* One row per process that was run to judge an answer, in the order of their tests. first_test
     * counts from 1; a compiler has none. codes: what came of its tests, as far as it got (1 passed;
     * scorers/code/judge.h). exit_code, signal: NULL unless it ended so. n_runs: above 1, it came
     * near its time limit and ran again. errors: the head of standard error. */
    "CREATE TABLE exec("
    " task_id INTEGER NOT NULL,"
    " position INTEGER NOT NULL,"
    " repeat INTEGER NOT NULL,"
    " scorer TEXT NOT NULL,"
    " scorer_version INTEGER NOT NULL,"
    " no INTEGER NOT NULL,"
    " kind TEXT NOT NULL CHECK(kind IN ('compile','run')),"
    " first_test INTEGER NOT NULL,"
    " n_tests INTEGER NOT NULL,"
    " codes TEXT NOT NULL CHECK(json_valid(codes)),"
    " verdict TEXT NOT NULL,"
    " detail TEXT NOT NULL,"
    " exit_code INTEGER,"
    " signal INTEGER,"
    " cpu_ns INTEGER,"
    " wall_ns INTEGER,"
    " peak_bytes INTEGER,"
    " output_bytes INTEGER,"
    " n_runs INTEGER NOT NULL,"
    " errors TEXT NOT NULL,"
    " box BLOB NOT NULL REFERENCES box(sha256),"
    " PRIMARY KEY(task_id, position, repeat, scorer, scorer_version, no),"
    " FOREIGN KEY(task_id, position, repeat, scorer, scorer_version)"
    "  REFERENCES score(task_id, position, repeat, scorer, scorer_version) ON DELETE CASCADE"
    ") STRICT, WITHOUT ROWID",

    "CREATE VIEW v_exec AS SELECT"
    " v.run_id, v.task_id, v.suite, v.protocol, v.model, i.item, e.position, e.repeat, e.scorer,"
    " e.scorer_version, e.no, e.kind, e.first_test, e.n_tests, e.codes, e.verdict, e.detail,"
    " e.exit_code, e.signal, e.cpu_ns / 1e6 AS cpu_ms, e.wall_ns / 1e6 AS wall_ms, e.peak_bytes,"
    " e.output_bytes, e.n_runs, e.errors, b.sandbox, b.toolchain, b.tool_sha256, b.limits"
    " FROM exec e JOIN box b ON b.sha256 = e.box JOIN v_task v ON v.task_id = e.task_id"
    " JOIN item i ON i.task_id = e.task_id AND i.position = e.position",

    /* As before, and what its programs ran in: NULL where there were none. */
    "DROP VIEW v_samples",
    "CREATE VIEW v_samples AS SELECT"
    " v.run_id, v.task_id, v.suite || ':' || v.protocol AS task_name, a.position AS doc_id,"
    " i.item, i.grp, a.repeat, s.scorer AS filter, s.scorer_version, s.target,"
    " s.prediction AS filtered_resps, s.value AS acc, s.verdict, s.rule, a.finish, a.error,"
    " a.prompt_tokens, a.completion_tokens, a.reasoning_tokens, a.total_ns / 1e9 AS seconds,"
    " v.model, v.model_sha256, v.dataset_sha256, v.protocol_sha256,"
    " (SELECT group_concat(DISTINCT b.sandbox) FROM exec e JOIN box b ON b.sha256 = e.box"
    "   WHERE e.task_id = s.task_id AND e.position = s.position AND e.repeat = s.repeat"
    "   AND e.scorer = s.scorer AND e.scorer_version = s.scorer_version) AS sandbox"
    " FROM attempt a JOIN item i ON i.task_id = a.task_id AND i.position = a.position"
    " JOIN v_task v ON v.task_id = a.task_id"
    " JOIN score s ON s.task_id = a.task_id AND s.position = a.position"
    "  AND s.repeat = a.repeat AND s.try = a.try"
    " WHERE a.counts = 1",

    /* A run that has answers without a verdict is not complete. */
    "UPDATE run SET status = 'incomplete' WHERE status = 'complete' AND id IN"
    " (SELECT t.run_id FROM task t JOIN score s ON s.task_id = t.id AND s.scorer = t.scorer"
    " AND s.scorer_version = t.scorer_version WHERE s.verdict = 'ungraded')",
    NULL,
};
/* clang-format on */

const db_migration db_migrations[] = {
    {1, "runs, tasks, items, attempts, scores, metrics", version_1},
    {2, "times, counters and words of servers; runs of programs", version_2},
};

const int db_n_migrations = (int)(sizeof db_migrations / sizeof db_migrations[0]);

int db_schema_version(void)
{
    return db_migrations[db_n_migrations - 1].version;
}
