/* strength: see strength.h. */
#include "store/strength.h"

#include <assert.h>

#include "store/settings.h"

/* The classes that stand for a level each. */
static void fill_levels(struct strength *s)
{
    for (int i = 0; i < STORE_ZSTD_LEVELS; i++)
        s->levels[STORE_CLASS_ZSTD + i] = (uint8_t)i;
}

struct strength strength_plain(int zstd_level)
{
    struct strength s = {.rest = (uint8_t)zstd_level};
    memset(s.levels, zstd_level, STORE_CLASSES);
    fill_levels(&s);
    return s;
}

/* A choice of the settings: 0 is none, anything else a level and one. */
static int chosen(const uint32_t *field, int otherwise)
{
    uint32_t choice = setting_u32(field);
    return choice > 0 ? (int)choice - 1 : otherwise;
}

/* `otherwise`: for classes of which nothing is said. */
static void fill(struct strength *s, const struct store_options *set, int otherwise)
{
    s->classes = set->classes;
    s->rest = (uint8_t)otherwise;
    for (int i = 0; i < STORE_CLASSES; i++)
        s->levels[i] = (uint8_t)chosen(&set->class_zstd[i], otherwise);
    fill_levels(s);
}

void strength_of_tables(struct strength *s, const struct store_options *set, int tree_level)
{
    assert(tree_level >= 0 && tree_level < STORE_LEVELS);
    fill(s, set, chosen(&set->level_zstd[tree_level], setting_int(&set->zstd_level)));
}

void strength_of_values(struct strength *s, const struct store_options *set)
{
    fill(s, set, setting_int(&set->zstd_level));
}

int strength_of_mask(const struct strength *s, uint32_t mask)
{
    int most = 0;
    assert(mask > 0 && mask < 1U << STRENGTH_CLASSES);
    for (int i = 0; i < STRENGTH_CLASSES; i++)
        if ((mask >> i & 1) && s->levels[i] > most)
            most = s->levels[i];
    return most;
}
