/* settings_text: values of settings as a person writes them.
 *
 * Guarantee: setting_parse() of what setting_print() wrote gives the value back, and a text that is
 * refused leaves a message that names the setting, the text and the range. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "store/settings.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first. */
static const struct unit byte_units[] = {{"T", UINT64_C(1) << 40}, {"G", 1 << 30}, {"M", 1 << 20},
                                         {"K", 1 << 10},           {"", 1},        {NULL, 0}};
static const struct unit time_units[] = {{"h", UINT64_C(3600000000000)},
                                         {"m", UINT64_C(60000000000)},
                                         {"s", 1000000000},
                                         {"ms", 1000000},
                                         {"us", 1000},
                                         {"ns", 1},
                                         {NULL, 0}};
static const struct unit percent_units[] = {{"%", 1}, {"", 1}, {NULL, 0}};
static const struct unit count_units[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(const struct setting *row)
{
    switch (row->kind) {
    case STORE_SETTING_BYTES:
        return byte_units;
    case STORE_SETTING_DURATION:
        return time_units;
    case STORE_SETTING_PERCENT:
        return percent_units;
    default:
        assert(row->kind == STORE_SETTING_COUNT);
        return count_units;
    }
}

/* ---- reading ---- */

/* Digits only: no sign, no space, no fraction. What is too large stays UINT64_MAX. */
static const char *take_number(const char *text, uint64_t *value)
{
    const char *p = text;
    *value = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        *value = *value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *value * 10 + digit;
    }
    return p == text ? NULL : p;
}

/* "KiB", "kb" and "k" are all K. */
static bool unit_is(const struct setting *row, const struct unit *u, const char *text)
{
    if (row->kind != STORE_SETTING_BYTES)
        return strcmp(u->name, text) == 0;
    size_t len = strlen(u->name);
    if (strncasecmp(text, u->name, len) != 0)
        return false;
    const char *rest = text + len;
    return *rest == 0 || strcasecmp(rest, "B") == 0 || (len > 0 && strcasecmp(rest, "iB") == 0);
}

static int parse_number(const struct setting *row, const char *text, uint64_t *value)
{
    const char *rest = take_number(text, value);
    if (!rest)
        return -EINVAL;
    if (row->kind == STORE_SETTING_DURATION && *value == 0 && *rest == 0)
        return 0;
    for (const struct unit *u = units_of(row); u->name; u++) {
        if (!unit_is(row, u, rest))
            continue;
        *value = *value > UINT64_MAX / u->factor ? UINT64_MAX : *value * u->factor;
        return 0;
    }
    return -EINVAL;
}

static int parse_choice(const struct setting *row, const char *text, uint64_t *value)
{
    for (uint64_t i = 0; i <= row->max; i++) {
        if (strcmp(row->choices[i], text) == 0) {
            *value = i;
            return 0;
        }
    }
    return -EINVAL;
}

int setting_parse(const struct setting *row, const char *text, uint64_t *value,
                  char message[STORE_MESSAGE_MAX])
{
    char range[STORE_RANGE_TEXT_MAX];
    *message = 0;
    *value = 0;
    int err = row->kind == STORE_SETTING_CHOICE ? parse_choice(row, text, value)
                                                : parse_number(row, text, value);
    if (err == 0 && (*value < row->min || *value > row->max))
        err = -ERANGE;
    if (err < 0) {
        *value = 0;
        setting_print_range(row, range);
        snprintf(message, STORE_MESSAGE_MAX, "%.48s: '%.32s' is %s; it takes %s", row->name, text,
                 err == -ERANGE ? "out of range" : "no such value", range);
    }
    return err;
}

/* ---- writing ---- */

static const struct unit *fitting_unit(const struct setting *row, uint64_t value)
{
    const struct unit *u = units_of(row);
    if (row->kind == STORE_SETTING_BYTES)
        return &byte_units[sizeof byte_units / sizeof *byte_units - 2];
    while (value % u->factor != 0 || (value == 0 && u->factor > 1))
        u++;
    return u;
}

char *setting_print(const struct setting *row, uint64_t value, char out[STORE_SETTING_TEXT_MAX])
{
    if (row->kind == STORE_SETTING_CHOICE) {
        assert(value <= row->max);
        snprintf(out, STORE_SETTING_TEXT_MAX, "%s", row->choices[value]);
        return out;
    }
    const struct unit *u = fitting_unit(row, value);
    assert(u->name && u->factor > 0);
    snprintf(out, STORE_SETTING_TEXT_MAX, "%" PRIu64 "%s", value / u->factor, u->name);
    return out;
}

static void print_choices(const struct setting *row, char out[STORE_RANGE_TEXT_MAX])
{
    size_t len = 0, size = STORE_RANGE_TEXT_MAX;
    *out = 0;
    for (uint64_t i = 0; i <= row->max && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i ? ", " : "", row->choices[i]);
}

void setting_print_range(const struct setting *row, char out[STORE_RANGE_TEXT_MAX])
{
    char low[STORE_SETTING_TEXT_MAX], high[STORE_SETTING_TEXT_MAX];
    if (row->kind == STORE_SETTING_CHOICE) {
        print_choices(row, out);
        return;
    }
    setting_print(row, row->min, low);
    setting_print(row, row->max, high);
    snprintf(out, STORE_RANGE_TEXT_MAX, "%s to %s%s", low, high,
             row->kind == STORE_SETTING_BYTES ? " bytes" : "");
}
