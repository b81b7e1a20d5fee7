/* What is written as JSON can be read as JSON. */
#include "mount/json.h"

#include "tests/unit/unit.h"

/* A writer into memory. */
struct page {
    struct json json;
    char *text;
    size_t len;
};

static void page_open(struct page *p)
{
    p->text = NULL;
    json_init(&p->json, open_memstream(&p->text, &p->len));
}

/* What was written, in `p->text`; to be freed. */
static const char *page_close(struct page *p)
{
    assert_int_equal(p->json.depth, 0);
    fclose(p->json.out);
    return p->text;
}

static void nesting(void **state)
{
    struct page p;
    (void)state;
    page_open(&p);
    json_object(&p.json, NULL);
    json_string(&p.json, "name", "x");
    json_uint(&p.json, "big", UINT64_MAX);
    json_int(&p.json, "small", INT64_MIN);
    json_bool(&p.json, "yes", true);
    json_bool(&p.json, "no", false);
    json_list(&p.json, "list");
    json_uint(&p.json, NULL, 1);
    json_object(&p.json, NULL);
    json_close(&p.json);
    json_list(&p.json, NULL);
    json_close(&p.json);
    json_close(&p.json);
    json_object(&p.json, "object");
    json_string(&p.json, "k", "v");
    json_close(&p.json);
    json_close(&p.json);
    assert_string_equal(page_close(&p), "{\n"
                                        "  \"name\": \"x\",\n"
                                        "  \"big\": 18446744073709551615,\n"
                                        "  \"small\": -9223372036854775808,\n"
                                        "  \"yes\": true,\n"
                                        "  \"no\": false,\n"
                                        "  \"list\": [\n"
                                        "    1,\n"
                                        "    {},\n"
                                        "    []\n"
                                        "  ],\n"
                                        "  \"object\": {\n"
                                        "    \"k\": \"v\"\n"
                                        "  }\n"
                                        "}\n");
    free(p.text);
}

static void empty(void **state)
{
    struct page p;
    (void)state;
    page_open(&p);
    json_list(&p.json, NULL);
    json_close(&p.json);
    assert_string_equal(page_close(&p), "[]\n");
    free(p.text);
}

static void escape(const char *value, const char *expected)
{
    struct page p;
    char *wanted = mem_printf("[\n  \"%s\"\n]\n", expected);
    page_open(&p);
    json_list(&p.json, NULL);
    json_string(&p.json, NULL, value);
    json_close(&p.json);
    assert_string_equal(page_close(&p), wanted);
    free(p.text);
    free(wanted);
}

static void plain(void **state)
{
    (void)state;
    escape("", "");
    escape("plain text /with\\slashes", "plain text /with\\\\slashes");
    escape("a\"b", "a\\\"b");
    escape("tab\tnewline\nbell\a\x7f", "tab\\u0009newline\\u000abell\\u0007\\u007f");
}

/* Valid: as it is. Otherwise: each byte that belongs to nothing on its own. */
static void utf8(void **state)
{
    (void)state;
    escape("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    escape("\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
           "\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
    escape("\xff", "\\u00ff");
    escape("\x80x", "\\u0080x");
    escape("\xc3", "\\u00c3");            /* cut off */
    escape("\xe2\x82", "\\u00e2\\u0082"); /* cut off */
    escape("\xf0\x9f\x98z", "\\u00f0\\u009f\\u0098z");
    escape("\xc0\xaf", "\\u00c0\\u00af"); /* too long a form of '/' */
    escape("\xe0\x80\xaf", "\\u00e0\\u0080\\u00af");
    escape("\xed\xa0\x80", "\\u00ed\\u00a0\\u0080");            /* half of a surrogate pair */
    escape("\xf4\x90\x80\x80", "\\u00f4\\u0090\\u0080\\u0080"); /* beyond U+10FFFF */
    escape("\xf5\x80\x80\x80", "\\u00f5\\u0080\\u0080\\u0080");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nesting),
        cmocka_unit_test(empty),
        cmocka_unit_test(plain),
        cmocka_unit_test(utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
