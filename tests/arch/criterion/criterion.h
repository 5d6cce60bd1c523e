// SPDX-License-Identifier: Apache-2.0
// criterion: as much of Criterion as tests/unit uses, for machines where Criterion is not to be had, or whose emulator
// its runner does not run under (tests/arch/run.sh). Each test is a process, as there. The runner is runner.c.
#ifndef MCR_ARCH_CRITERION_H
#define MCR_ARCH_CRITERION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct arch_test {
    const char *suite, *name;
    void (*run)(void); // NULL: a suite
    struct arch_test *next;
    // Criterion's.
    void (*init)(void), (*fini)(void);
    double timeout; // seconds
};

void arch_add(struct arch_test *test);

// Tells of a comparison that did not hold, and with `last` ends the test. The text is a format.
void arch_failed(const char *file, int line, const char *what, bool last, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

// Tells what this machine cannot do. The text is a format.
void arch_lacks(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Whether what was redirected is `wanted`, from its beginning.
bool arch_printed(FILE *to, const char *wanted);

void cr_redirect_stdout(void);
void cr_redirect_stderr(void);
FILE *cr_get_redirected_stdout(void);
FILE *cr_get_redirected_stderr(void);

#define Test(suite_name, test_name, ...)                                                                               \
    static void suite_name##_##test_name##_test(void);                                                                 \
    __attribute__((constructor)) static void suite_name##_##test_name##_add(void)                                      \
    {                                                                                                                  \
        static struct arch_test test = {                                                                               \
            .suite = #suite_name, .name = #test_name, .run = suite_name##_##test_name##_test, ##__VA_ARGS__};          \
        arch_add(&test);                                                                                               \
    }                                                                                                                  \
    static void suite_name##_##test_name##_test(void)

// What all tests of a suite do before and after.
#define TestSuite(suite_name, ...)                                                                                     \
    __attribute__((constructor)) static void suite_name##_add(void)                                                    \
    {                                                                                                                  \
        static struct arch_test suite = {.suite = #suite_name, ##__VA_ARGS__};                                         \
        arch_add(&suite);                                                                                              \
    }                                                                                                                  \
    struct arch_test

#define ARCH_CHECK(last, holds, what, ...)                                                                             \
    do {                                                                                                               \
        if (!(holds))                                                                                                  \
            arch_failed(__FILE__, __LINE__, what, last, " " __VA_ARGS__);                                               \
    } while (0)
#define ARCH_COMPARE(last, a, op, b, ...) ARCH_CHECK(last, (a) op(b), #a " " #op " " #b, __VA_ARGS__)

#define cr_log_warn(...) arch_lacks(__VA_ARGS__)

#define cr_assert(x, ...)              ARCH_CHECK(true, x, #x, __VA_ARGS__)
#define cr_assert_not(x, ...)          ARCH_CHECK(true, !(x), "! " #x, __VA_ARGS__)
#define cr_assert_null(x, ...)         ARCH_CHECK(true, (x) == NULL, #x " is NULL", __VA_ARGS__)
#define cr_assert_not_null(x, ...)     ARCH_CHECK(true, (x) != NULL, #x " is not NULL", __VA_ARGS__)
#define cr_assert_eq(a, b, ...)        ARCH_COMPARE(true, a, ==, b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...)       ARCH_COMPARE(true, a, !=, b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...)        ARCH_COMPARE(true, a, <, b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...)       ARCH_COMPARE(true, a, <=, b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...)        ARCH_COMPARE(true, a, >, b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...)       ARCH_COMPARE(true, a, >=, b, __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)    ARCH_CHECK(true, strcmp(a, b) == 0, #a " is " #b, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...) ARCH_CHECK(true, memcmp(a, b, n) == 0, #a " is " #b, __VA_ARGS__)
#define cr_assert_stdout_eq_str(wanted, ...)                                                                           \
    ARCH_CHECK(true, arch_printed(cr_get_redirected_stdout(), wanted), "stdout is " #wanted, __VA_ARGS__)
#define cr_assert_stderr_eq_str(wanted, ...)                                                                           \
    ARCH_CHECK(true, arch_printed(cr_get_redirected_stderr(), wanted), "stderr is " #wanted, __VA_ARGS__)

#define cr_expect(x, ...)           ARCH_CHECK(false, x, #x, __VA_ARGS__)
#define cr_expect_not(x, ...)       ARCH_CHECK(false, !(x), "! " #x, __VA_ARGS__)
#define cr_expect_null(x, ...)      ARCH_CHECK(false, (x) == NULL, #x " is NULL", __VA_ARGS__)
#define cr_expect_not_null(x, ...)  ARCH_CHECK(false, (x) != NULL, #x " is not NULL", __VA_ARGS__)
#define cr_expect_eq(a, b, ...)     ARCH_COMPARE(false, a, ==, b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...)    ARCH_COMPARE(false, a, !=, b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...)     ARCH_COMPARE(false, a, <, b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...)    ARCH_COMPARE(false, a, <=, b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...)     ARCH_COMPARE(false, a, >, b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...)    ARCH_COMPARE(false, a, >=, b, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) ARCH_CHECK(false, strcmp(a, b) == 0, #a " is " #b, __VA_ARGS__)

#endif
