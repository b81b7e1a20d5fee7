/* store_settings: settings behind the door: by name, before a store is opened and while it is open.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "store/store_priv.h"

/* ---- one value ---- */

/* -ENOENT: no such setting. */
static int parse(const char *name, const char *text, const struct setting **row, uint64_t *value,
                 char message[STORE_MESSAGE_MAX])
{
    *row = setting_find(name);
    if (*row)
        return setting_parse(*row, text, value, message);
    snprintf(message, STORE_MESSAGE_MAX, "%.64s: there is no such setting", name);
    return -ENOENT;
}

int store_options_set(struct store_options *o, const char *name, const char *value,
                      char message[STORE_MESSAGE_MAX])
{
    const struct setting *row;
    uint64_t v;
    int err = parse(name, value, &row, &v, message);
    if (err == 0)
        setting_store(row, o, v);
    return err;
}

/* What is left of the cache's memory by store_lend_memory(). [setting held] */
static void apply_cache(struct store *s, struct store_options now)
{
    now.cache_bytes -= s->lent < now.cache_bytes / 2 ? s->lent : now.cache_bytes / 2;
    cache_set_capacity(s->tree.cache, now.cache_bytes);
    values_set_capacity(s->tree.values, now.cache_bytes);
    tree_expect_memory(&s->tree, &now);
}

/* Who keeps something that follows from a setting is told here. */
static int apply(struct store *s, const struct store_options *now)
{
    apply_cache(s, *now);
    if (s->writable)
        autosync_wake(&s->commit.autosync);
    int err = store_adjust_workers(s);
    tree_wake(&s->tree); /* there may be more to do, or less to wait for */
    return err;
}

static bool fixed(const struct store *s, const struct setting *row)
{
    bool pulled = row->offset == offsetof(struct store_options, workers) && s->pulled;
    return row->when == SETTING_AT_OPEN || pulled;
}

static void tell_change(struct store *s, const struct setting *row, uint64_t before, uint64_t now)
{
    char from[STORE_SETTING_TEXT_MAX], to[STORE_SETTING_TEXT_MAX];
    if (before == now)
        return;
    setting_print(row, before, from);
    setting_print(row, now, to);
    log_message(LOG_INFO, "%s: %s changed from %s to %s", s->tree.dir, row->name, from, to);
    events_say(s->tree.events, "setting", "%s changed from %s to %s", row->name, from, to);
    events_write(s->tree.events);
}

int store_set(struct store *s, const char *name, const char *value, char message[STORE_MESSAGE_MAX])
{
    const struct setting *row;
    uint64_t v;
    int err = parse(name, value, &row, &v, message);
    if (err == 0 && fixed(s, row)) {
        snprintf(message, STORE_MESSAGE_MAX, "%s: it cannot change while the store is open",
                 row->name);
        err = -EPERM;
    }
    if (err < 0)
        return err;
    pthread_mutex_lock(&s->setting);
    uint64_t before = settings_change(&s->tree.settings, row, v);
    struct settings *now = settings_get(&s->tree.settings);
    err = apply(s, &now->o);
    settings_unref(now);
    pthread_mutex_unlock(&s->setting);
    tell_change(s, row, before, v);
    if (err < 0)
        snprintf(message, STORE_MESSAGE_MAX, "%s: %s", row->name, strerror(-err));
    return err;
}

void store_lend_memory(struct store *s, uint64_t bytes)
{
    pthread_mutex_lock(&s->setting);
    struct settings *now = settings_get(&s->tree.settings);
    s->lent = bytes;
    apply_cache(s, now->o);
    settings_unref(now);
    pthread_mutex_unlock(&s->setting);
}

/* ---- showing ---- */

static void describe(const struct setting *row, const struct store_options *o,
                     struct store_setting *out)
{
    *out = (struct store_setting){.name = row->name,
                                  .help = row->help,
                                  .kind = row->kind,
                                  .live = row->when == SETTING_LIVE,
                                  .value = setting_load(row, o),
                                  .min = row->min,
                                  .max = row->max,
                                  .preset = row->preset};
    setting_print(row, out->value, out->text);
    setting_print(row, out->preset, out->preset_text);
    setting_print_range(row, out->range_text);
}

int store_get_setting(struct store *s, const char *name, struct store_setting *out)
{
    const struct setting *row = setting_find(name);
    *out = (struct store_setting){0};
    if (!row)
        return 1;
    struct settings *now = settings_get(&s->tree.settings);
    describe(row, &now->o, out);
    settings_unref(now);
    return 0;
}

static int list(const struct store_options *o, store_setting_fn *fn, void *ctx)
{
    struct store_setting shown;
    int rc = 0;
    for (size_t i = 0; i < settings_count() && rc == 0; i++) {
        describe(&settings_table[i], o, &shown);
        rc = fn(ctx, &shown);
    }
    return rc;
}

int store_list_settings(struct store *s, store_setting_fn *fn, void *ctx)
{
    struct settings *now = settings_get(&s->tree.settings);
    int rc = list(&now->o, fn, ctx);
    settings_unref(now);
    return rc;
}

int store_options_list(const struct store_options *o, store_setting_fn *fn, void *ctx)
{
    return list(o, fn, ctx);
}

void store_options_init(struct store_options *o)
{
    *o = (struct store_options){.scrypt_log_n = KEY_COST_LOG_N_DEFAULT};
    for (size_t i = 0; i < settings_count(); i++)
        setting_store(&settings_table[i], o, settings_table[i].preset);
}
