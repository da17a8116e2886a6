// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "operator/arguments.h"

enum { ARGUMENTS_MAX = 16 };

static int parse(struct arguments *ret_arguments, const char *const *given, struct error *err)
{
    char *argv[ARGUMENTS_MAX + 2] = {(char[]){"lifeboat-operator"}};
    int argc = 1;
    for (; given[argc - 1]; argc++)
        argv[argc] = strdup(given[argc - 1]);
    static char *kept[ARGUMENTS_MAX]; /* texts are lent from argv */
    for (int i = 0; i < ARGUMENTS_MAX; i++) {
        free(kept[i]);
        kept[i] = i + 1 < argc ? argv[i + 1] : NULL;
    }
    return arguments_parse(ret_arguments, argc, argv, err);
}

#define PARSE(ret, err, ...) parse(ret, (const char *const[]){__VA_ARGS__, NULL}, err)

static int as_in_a_pod(void **state)
{
    (void)state;
    setenv("POD_NAMESPACE", "lifeboat-system", 1);
    setenv("POD_NAME", "lifeboat-operator-0", 1);
    setenv("LIFEBOAT_SIDECAR_IMAGE", "lifeboat-sidecar:1", 1);
    return 0;
}

static void in_a_pod_nothing_has_to_be_said(void **state)
{
    (void)state;
    struct arguments arguments;
    struct error err;
    assert_int_equal(parse(&arguments, (const char *const[]){NULL}, &err), 0);
    assert_null(arguments.kubeconfig);
    assert_string_equal(arguments.namespace, "lifeboat-system");
    assert_string_equal(arguments.identity, "lifeboat-operator-0");
    assert_string_equal(arguments.sidecar_image, "lifeboat-sidecar:1");
    assert_int_equal(arguments.watch_namespace_count, 0);
    assert_int_equal(arguments.channel_port, 8443);
    assert_int_equal(arguments.probe_port, 8081);
    assert_int_equal(arguments.log_level, LOG_LEVEL_INFO);
}

static void the_command_line_goes_before_the_environment(void **state)
{
    (void)state;
    struct arguments arguments;
    struct error err;
    assert_int_equal(PARSE(&arguments, &err, "--kubeconfig", "/k", "--namespace=own", "--identity",
                           "me", "--watch-namespace", "a", "--watch-namespace", "b",
                           "--channel-port", "1", "--probe-port=65535", "--log-level", "debug"),
                     0);
    assert_string_equal(arguments.kubeconfig, "/k");
    assert_string_equal(arguments.namespace, "own");
    assert_string_equal(arguments.identity, "me");
    assert_int_equal(arguments.watch_namespace_count, 2);
    assert_string_equal(arguments.watch_namespaces[1], "b");
    assert_int_equal(arguments.channel_port, 1);
    assert_int_equal(arguments.probe_port, 65535);
    assert_int_equal(arguments.log_level, LOG_LEVEL_DEBUG);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *given[4], *text;
    } cases[] = {
        {{"--channel-port", "0"}, "--channel-port '0': expected a number from 1 to 65535"},
        {{"--probe-port", "65536"}, "--probe-port '65536': expected a number from 1 to 65535"},
        {{"--probe-port", "8443"}, "--channel-port and --probe-port are the same: 8443"},
        {{"--log-level", "loud"}, "--log-level 'loud': expected debug, info, warn or error"},
        {{"--watch-namespace", "A"}, "--watch-namespace 'A': not a namespace's name"},
        {{"--watch-namespace=a", "--watch-namespace=a"}, "--watch-namespace 'a': given twice"},
        {{"--namespace", "../x"}, "namespace '../x': not a namespace's name"},
        {{"--nonsense"}, "unknown option '--nonsense': see 'lifeboat-operator --help'"},
        {{"--namespace"}, "'--namespace' needs a value"},
        {{"run"}, "unexpected argument 'run'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arguments arguments;
        struct error err;
        assert_int_equal(parse(&arguments, cases[i].given, &err), -1);
        assert_int_equal(err.kind, ERROR_PERMANENT);
        assert_string_equal(err.text, cases[i].text);
    }
}

static void who_and_where_it_is_must_be_known(void **state)
{
    (void)state;
    struct arguments arguments;
    struct error err;
    setenv("POD_NAME", "", 1);
    assert_int_equal(PARSE(&arguments, &err, "--namespace", "own"), -1);
    assert_string_equal(err.text, "no identity: give --identity or set POD_NAME");
    unsetenv("POD_NAMESPACE");
    assert_int_equal(PARSE(&arguments, &err, "--identity", "me"), -1);
    assert_string_equal(err.text, "no namespace: give --namespace or set POD_NAMESPACE");
    assert_int_equal(PARSE(&arguments, &err, "--help"), 0);
    assert_true(arguments.help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(in_a_pod_nothing_has_to_be_said, as_in_a_pod),
        cmocka_unit_test_setup(the_command_line_goes_before_the_environment, as_in_a_pod),
        cmocka_unit_test_setup(what_is_wrong_is_named, as_in_a_pod),
        cmocka_unit_test_setup(who_and_where_it_is_must_be_known, as_in_a_pod),
    };
    return cmocka_run_group_tests_name("arguments", tests, NULL, NULL);
}
