#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H
/*
 * schema.h — the tables of a store file, as numbered migrations.
 *
 * Format     SQLite, WAL, STRICT tables. application_id says that the file is ours, user_version
 *            which migration was applied last.
 * Changing   a released migration is never edited; append one to db_migrations and add a test that
 *            opens a file of the version before it.
 * Threads    constant data.
 */
#include <stdint.h>

enum { DB_APPLICATION_ID = 0x41535359 }; /* "ASSY" */

/* statements ends in NULL; applied in order, in one transaction with the new user_version. */
typedef struct db_migration {
    int version;
    const char *what;
    const char *const *statements;
} db_migration;

extern const db_migration db_migrations[];
extern const int db_n_migrations;

/* The version this program writes: that of the last migration. */
int db_schema_version(void);

#endif
