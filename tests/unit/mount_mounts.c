/* /proc/self/mountinfo, as this system has it. */
#include "mount/mounts.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static void root(void **state)
{
    struct mount_point m, whole;
    (void)state;
    assert_ok(mounts_at("/", &m));
    assert_string_equal(m.dir, "/");
    assert_true(*m.type && *m.root == '/');
    assert_false(mounts_is_ours(&m));
    assert_int_equal(mounts_whole(&m, &whole) < 0, false);
    mounts_release(&whole);
    mounts_release(&m);
    assert_null(m.dir);
    mounts_release(&m); /* again is fine */
}

static void around(void **state)
{
    struct mount_point m;
    (void)state;
    assert_ok(mounts_around("/proc/self/status", &m));
    assert_string_equal(m.dir, "/proc");
    assert_string_equal(m.type, "proc");
    mounts_release(&m);
    assert_ok(mounts_around("/proc", &m));
    assert_string_equal(m.dir, "/proc");
    mounts_release(&m);
    assert_ok(mounts_around("/procession", &m)); /* begins alike, is not in it */
    assert_string_not_equal(m.dir, "/proc");
    mounts_release(&m);
}

static void none(void **state)
{
    struct mount_point m;
    (void)state;
    assert_absent(mounts_at("/proc/self", &m));
    assert_null(m.dir);
    assert_absent(mounts_of_volume("/there/is/no/such/volume", &m));
    assert_errno(mounts_unmount("/there/is/no/such/mount", false), ENOENT);
}

static void dead(void **state)
{
    (void)state;
    assert_false(mounts_is_dead("/"));
    assert_false(mounts_is_dead("/there/is/no/such/folder"));
}

static void real_is(const char *path, const char *expected)
{
    char *real = mounts_real_path(path);
    if (expected) {
        assert_non_null(real);
        assert_string_equal(real, expected);
    } else {
        assert_null(real);
    }
    free(real);
}

static void paths(void **state)
{
    char dir[] = "/tmp/varve-unit.XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(mkdir("a", 0700), 0);
    assert_int_equal(symlink("a", "link"), 0);
    char *a = mem_printf("%s/a", dir), *new = mem_printf("%s/a/new", dir),
         *here = mem_printf("%s/new", dir);
    real_is("a", a);
    real_is("./a//", a);
    real_is("link", a);
    real_is("a/../link/.", a);
    real_is("a/new", new);
    real_is("link/new/", new);
    real_is("new", here);
    real_is("/there-is-no-such-folder", "/there-is-no-such-folder");
    real_is("missing/new", NULL);
    real_is("/", "/");
    real_is("", NULL);
    free(a);
    free(new);
    free(here);
    assert_int_equal(unlink("link") | rmdir("a") | chdir("/") | rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root), cmocka_unit_test(around), cmocka_unit_test(none),
        cmocka_unit_test(dead), cmocka_unit_test(paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
