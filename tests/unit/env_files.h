/* env_files: short words for what tests do with the files of any env. Failures fail the test. */
#ifndef VARVE_UNIT_ENV_FILES_H
#define VARVE_UNIT_ENV_FILES_H

#include <errno.h>

#include "store/env.h"
#include "tests/unit/unit.h"

static inline struct env_file *file_open(struct env *env, const char *path, enum env_open_mode mode)
{
    struct env_file *f;
    assert_ok(env->open(env, path, mode, &f));
    assert_non_null(f);
    return f;
}

static inline void file_write(struct env_file *f, uint64_t offset, const char *text)
{
    assert_ok(f->ops->write(f, offset, text, strlen(text)));
}

/* The file has just this text. */
static inline void file_assert(struct env_file *f, const char *text)
{
    char got_text[256];
    size_t got;
    uint64_t size;
    assert_true(strlen(text) < sizeof got_text);
    assert_ok(f->ops->size(f, &size));
    assert_int_equal(size, strlen(text));
    assert_ok(f->ops->read(f, 0, got_text, sizeof got_text, &got));
    assert_slice_str(slice_of(got_text, got), text);
}

/* A new file with this text, written but not synced. */
static inline void file_make(struct env *env, const char *path, const char *text)
{
    struct env_file *f = file_open(env, path, ENV_OPEN_CREATE);
    file_write(f, 0, text);
    f->ops->close(f);
}

static inline void file_sync(struct env *env, const char *path)
{
    struct env_file *f = file_open(env, path, ENV_OPEN_WRITE);
    assert_ok(f->ops->sync(f));
    f->ops->close(f);
}

static inline void file_assert_at(struct env *env, const char *path, const char *text)
{
    struct env_file *f = file_open(env, path, ENV_OPEN_READ);
    file_assert(f, text);
    f->ops->close(f);
}

static inline void file_assert_none(struct env *env, const char *path)
{
    uint64_t size;
    assert_errno(env->file_size(env, path, &size), ENOENT);
}

#endif
