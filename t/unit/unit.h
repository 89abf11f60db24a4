/* Every unit test is one suite that prints TAP: UNIT_MAIN ("name", add_tests) at the file's end. */
#ifndef MSGSERVER_UNIT_H
#define MSGSERVER_UNIT_H

#include <check.h>
#include <stdlib.h>

#include "base/slice.h"

#define ck_assert_slice_eq(bytes, text)                                                            \
    do {                                                                                           \
        struct slice slice_ = (bytes);                                                             \
        ck_assert_msg(slice_equals_string(slice_, text), "got \"%.*s\", wanted \"%s\"",            \
                      (int)slice_.len, slice_.data ? slice_.data : "", text);                      \
    } while (0)

static inline int unit_run(const char *name, void (*add_tests)(TCase *))
{
    Suite *suite = suite_create(name);
    TCase *cases = tcase_create(name);
    tcase_set_timeout(cases, 60);
    add_tests(cases);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define UNIT_MAIN(name, add_tests)                                                                 \
    int main(void)                                                                                 \
    {                                                                                              \
        return unit_run(name, add_tests);                                                          \
    }

#endif
