#include "store/store_impl.h"

#include <string.h>

enum {
    CODEC_RAW = 0,
    CODEC_DEFLATE = 1,
    PACKED_MAX_BYTES = 1 << 30, /* SQLite's own limit on one value is just below */
    SHARED_MAX_BYTES = 1 << 20,
};

void db_packer_init(db_packer *p)
{
    *p = (db_packer){0};
    as_buf_init(&p->out, PACKED_MAX_BYTES);
    as_buf_init(&p->last, SHARED_MAX_BYTES);
}

void db_packer_release(db_packer *p)
{
    if (p->is_ready)
        (void)deflateEnd(&p->deflate);
    as_buf_release(&p->out);
    as_buf_release(&p->last);
    *p = (db_packer){0};
}

/* Level 1: texts are packed once and read rarely. Hash memory of 2^13 entries: clearing it is what
 * a reset costs, and most texts have a few hundred bytes. */
static as_code deflate_text(db_packer *p, as_str text, as_err *err)
{
    enum { LEVEL = 1, RAW_WINDOW = -15, MEM_LEVEL = 6 };
    if (!p->is_ready) {
        if (deflateInit2(&p->deflate, LEVEL, Z_DEFLATED, RAW_WINDOW, MEM_LEVEL,
                         Z_DEFAULT_STRATEGY) != Z_OK)
            return as_nomem(err);
        p->is_ready = true;
    } else {
        (void)deflateReset(&p->deflate);
    }
    if (text.n > PACKED_MAX_BYTES)
        return as_fail(err, AS_RANGE, "store: a text of %zu bytes is too long", text.n);
    const size_t bound = deflateBound(&p->deflate, (uLong)text.n);
    as_buf_reset(&p->out);
    char *room = as_buf_reserve(&p->out, bound);
    if (room == NULL)
        return as_nomem(err);
    p->deflate.next_in = (const Bytef *)text.p;
    p->deflate.avail_in = (uInt)text.n;
    p->deflate.next_out = (Bytef *)room;
    p->deflate.avail_out = (uInt)bound;
    if (deflate(&p->deflate, Z_FINISH) != Z_STREAM_END)
        return as_fail(err, AS_BUG, "store: deflate did not end within its own bound");
    p->out.n += bound - p->deflate.avail_out;
    return AS_OK;
}

as_code db_pack(db_packer *p, as_str text, db_packed *out, as_err *err)
{
    *out = (db_packed){
        .key = as_sha256_of(text), .codec = CODEC_RAW, .raw_bytes = text.n, .data = text};
    if (text.n < DB_BLOB_RAW_BYTES)
        return AS_OK;
    AS_TRY(deflate_text(p, text, err));
    if (p->out.n < text.n) {
        out->codec = CODEC_DEFLATE;
        out->data = as_buf_str(&p->out);
    }
    return AS_OK;
}

as_code db_blob_insert(db_conn *c, const db_packed *packed, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(c,
                      "INSERT INTO blob(sha256, codec, raw_bytes, data) VALUES(?,?,?,?)"
                      " ON CONFLICT DO NOTHING",
                      &a, err));
    db_sha(&a, &packed->key);
    db_i64(&a, packed->codec);
    db_i64(&a, (int64_t)packed->raw_bytes);
    db_bytes(&a, packed->data.p, packed->data.n);
    return db_run_args(&a, err);
}

as_code db_blob_put_new(db_conn *c, db_packer *p, as_str text, as_sha256 *key, as_err *err)
{
    db_packed packed;
    AS_TRY(db_pack(p, text, &packed, err));
    *key = packed.key;
    return db_blob_insert(c, &packed, err);
}

as_code db_blob_has(db_conn *c, const as_sha256 *key, bool *has, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(c, "SELECT 1 FROM blob WHERE sha256 = ?", &a, err));
    db_sha(&a, key);
    int64_t is_there = 0;
    AS_TRY(db_one_i64(&a, 0, &is_there, err));
    *has = is_there != 0;
    return AS_OK;
}

as_code db_blob_put_shared(db_conn *c, db_packer *p, as_str text, as_sha256 *key, as_err *err)
{
    if (p->has_last && as_str_eq(as_buf_str(&p->last), text)) {
        *key = p->last_sha;
        return AS_OK;
    }
    p->has_last = false;
    *key = as_sha256_of(text);
    bool has = false;
    AS_TRY(db_blob_has(c, key, &has, err));
    if (!has)
        AS_TRY(db_blob_put_new(c, p, text, key, err));
    as_buf_reset(&p->last);
    p->has_last = text.n <= SHARED_MAX_BYTES && as_buf_add(&p->last, text) == AS_OK;
    p->last_sha = *key;
    return AS_OK;
}

as_code db_blob_unpack(int codec, int64_t raw_bytes, as_str data, as_buf *out, as_err *err)
{
    if (raw_bytes < 0 || raw_bytes > PACKED_MAX_BYTES || data.n > PACKED_MAX_BYTES)
        return as_fail(err, AS_INTEGRITY, "a stored text has an impossible length");
    if (codec == CODEC_RAW)
        return (size_t)raw_bytes == data.n
                   ? as_buf_add(out, data) == AS_OK ? AS_OK : as_nomem(err)
                   : as_fail(err, AS_INTEGRITY, "a stored text is not as long as noted");
    char *room = as_buf_reserve(out, (size_t)raw_bytes + 1);
    if (room == NULL)
        return as_nomem(err);
    z_stream z = {0};
    z.next_in = (const Bytef *)data.p;
    z.avail_in = (uInt)data.n;
    z.next_out = (Bytef *)room;
    z.avail_out = (uInt)raw_bytes + 1;
    if (inflateInit2(&z, -15) != Z_OK)
        return as_nomem(err);
    const int rc = inflate(&z, Z_FINISH);
    (void)inflateEnd(&z);
    if (rc != Z_STREAM_END || z.total_out != (uLong)raw_bytes)
        return as_fail(err, AS_INTEGRITY, "a stored text does not unpack");
    out->n += (size_t)raw_bytes;
    return AS_OK;
}

as_code db_blob_get(db_conn *c, const as_sha256 *key, as_buf *out, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(c, "SELECT codec, raw_bytes, data FROM blob WHERE sha256 = ?", &a, err));
    db_sha(&a, key);
    bool has_row = false;
    as_code code = db_step(&a, &has_row, err);
    if (code == AS_OK && !has_row)
        code = as_fail(err, AS_INTEGRITY, "a text is missing");
    if (code == AS_OK)
        code = db_blob_unpack((int)db_col_i64(&a, 0, -1), db_col_i64(&a, 1, -1), db_col_str(&a, 2),
                              out, err);
    db_finish(&a);
    if (code == AS_INTEGRITY) {
        char hex[AS_SHA256_HEX];
        as_sha256_hex(hex, key);
        (void)as_wrap(err, "%s: text %.12s", c->path, hex);
    }
    return code;
}
