// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/http.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "operator/kube_config.h"

struct fixture {
    char *directory;
    struct kube_config *config;
    struct buf token;
};

static int set_up(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    f->directory = helper_directory_new();
    f->token = BUF_SECRET(KUBE_CONFIG_TOKEN_MAX);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    kube_config_freep(&f->config);
    buf_done(&f->token);
    helper_directory_remove(f->directory);
    clock_fake(-1);
    own_freep(&f);
    return 0;
}

static void write_file(const struct fixture *f, const char *name, const char *text)
{
    helper_directory_write(f->directory, name, text);
}

/* A kubeconfig with one context; cluster and user are its members in YAML. */
static char *kubeconfig(const char *cluster, const char *user)
{
    return own_format("apiVersion: v1\n"
                      "kind: Config\n"
                      "current-context: main\n"
                      "preferences: {}\n"
                      "contexts:\n"
                      "- {name: other, context: {cluster: none, user: none}}\n"
                      "- {name: main, context: {cluster: c, user: u, namespace: shop}}\n"
                      "clusters:\n"
                      "- name: c\n"
                      "  cluster: {%s}\n"
                      "users:\n"
                      "- name: u\n"
                      "  user: {%s}\n",
                      cluster, user);
}

static int load(struct fixture *f, const char *text, struct error *err)
{
    CLEANUP(own_freep) char *path = own_format("%s/config", f->directory);
    write_file(f, "config", text);
    return kube_config_load(&f->config, path, err);
}

static int parse(struct fixture *f, const char *text, struct error *err)
{
    const struct kube_config_text from = {
        .file = "config", .directory = "/d", .text = text, .size = strlen(text)};
    kube_config_freep(&f->config);
    return kube_config_parse(&f->config, &from, err);
}

static const char *token(struct fixture *f)
{
    struct error err;
    static char text[128];
    assert_int_equal(kube_config_token(f->config, &f->token, &err), 0);
    snprintf(text, sizeof(text), "%.*s", (int)f->token.size,
             f->token.data ? (const char *)f->token.data : "");
    return text;
}

static void data_of_a_kubeconfig_is_kept_in_memory(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct http_options options = {0};
    CLEANUP(own_freep)
    char *text = kubeconfig("server: 'https://api.example.org:6443/', "
                            "certificate-authority-data: Q0E=, certificate-authority: no/file",
                            "client-certificate-data: Q0VSVA==, client-key-data: S0VZ, "
                            "token: abc.def");
    assert_int_equal(parse(f, text, &err), 0);
    kube_config_identify(f->config, &options);
    assert_string_equal(kube_config_server(f->config), "https://api.example.org:6443");
    assert_string_equal(options.ca_pem, "CA");
    assert_null(options.ca_file);
    assert_string_equal(options.certificate_pem, "CERT");
    assert_string_equal(options.key_pem, "KEY");
    assert_string_equal(token(f), "abc.def");
}

static void files_of_a_kubeconfig_are_found_beside_it(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct http_options options = {0};
    CLEANUP(own_freep)
    char *text = kubeconfig("server: 'https://[::1]:6443', certificate-authority: ca.pem",
                            "client-certificate: me.pem, client-key: me.key, tokenFile: token");
    write_file(f, "me.pem", "CERT");
    write_file(f, "me.key", "KEY");
    write_file(f, "token", "t1\n");
    assert_int_equal(load(f, text, &err), 0);
    kube_config_identify(f->config, &options);
    CLEANUP(own_freep) char *ca = own_format("%s/ca.pem", f->directory);
    assert_string_equal(options.ca_file, ca);
    assert_null(options.ca_pem);
    assert_string_equal(options.certificate_pem, "CERT");
    assert_string_equal(options.key_pem, "KEY");
    assert_string_equal(token(f), "t1");
}

static void a_user_may_be_nobody(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct http_options options = {0};
    assert_int_equal(parse(f,
                           "current-context: m\n"
                           "contexts: [{name: m, context: {cluster: c}}]\n"
                           "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:8001'}}]\n",
                           &err),
                     0);
    kube_config_identify(f->config, &options);
    assert_null(options.certificate_pem);
    assert_null(options.key_pem);
    assert_string_equal(token(f), "");
}

static void what_cannot_be_used_is_refused_with_a_remedy(void **state)
{
    struct fixture *f = *state;
    static const char good[] = "server: 'https://a'";
    static const struct {
        const char *cluster, *user, *text;
    } cases[] = {
        {"", "", "config:10: clusters[0].cluster.server: required, but missing"},
        {"server: 'http://api.example.org'", "",
         "config:10: clusters[0].cluster.server: expected https://host:port (http only on "
         "loopback), not \"http://api.example.org\""},
        {"server: 'http://localhost.example.org'", "",
         "config:10: clusters[0].cluster.server: expected https://host:port (http only on "
         "loopback), not \"http://localhost.example.org\""},
        {"server: 'https://me:secret@a'", "",
         "config:10: clusters[0].cluster.server: expected a URL of scheme, host, port and path "
         "alone, not \"https://me:secret@a\""},
        {"server: 'https://a', insecure-skip-tls-verify: true", "",
         "config:10: clusters[0].cluster.insecure-skip-tls-verify: not supported: give the CA of "
         "the API server in certificate-authority-data"},
        {"server: 'https://a', proxy-url: 'http://p'", "",
         "config:10: clusters[0].cluster.proxy-url: not supported: set HTTPS_PROXY in the "
         "environment"},
        {"server: 'https://a', tls-server-name: b", "",
         "config:10: clusters[0].cluster.tls-server-name: not supported: let server be a name "
         "that the API server's certificate has"},
        {"server: 'https://a', certificate-authority-data: '%%%'", "",
         "config:10: clusters[0].cluster.certificate-authority-data: expected PEM in base64"},
        {good, "exec: {command: aws}",
         "config:13: users[0].user.exec: not supported: plug-ins are not run; use a client "
         "certificate, or a token (kubectl create token) in tokenFile"},
        {good, "auth-provider: {name: gcp}",
         "config:13: users[0].user.auth-provider: not supported: plug-ins are not run; use a "
         "client certificate, or a token (kubectl create token) in tokenFile"},
        {good, "as: root",
         "config:13: users[0].user.as: not supported: no impersonation; use that user's own "
         "credentials"},
        {good, "username: me, password: p",
         "config:13: users[0].user.username: not supported: Kubernetes has no passwords any more; "
         "use a token"},
        {good, "client-certificate: a.pem",
         "config:13: users[0].user: client-certificate and client-key belong together"},
        {good, "client-key-data: S0VZ",
         "config:13: users[0].user: client-certificate and client-key belong together"},
        {good, "token: \"a\\nb\"",
         "config:13: users[0].user.token: the token has bytes that no token has"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err;
        CLEANUP(own_freep) char *text = kubeconfig(cases[i].cluster, cases[i].user);
        assert_int_equal(parse(f, text, &err), -1);
        assert_string_equal(err.text, cases[i].text);
        assert_int_equal(err.kind, ERROR_PERMANENT);
    }
}

static void a_context_that_leads_nowhere_is_named(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *config, *text;
    } cases[] = {
        {"apiVersion: v1\n",
         "config:1: current-context: no context is chosen: run kubectl config use-context"},
        {"current-context: x\ncontexts: []\n", "config:2: contexts: none of them has the name 'x'"},
        {"current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n",
         "config:1: clusters: none of them has the name 'c'"},
        {"current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
         "clusters: [{name: c, cluster: {server: 'https://a'}}]\n",
         "config:1: users: none of them has the name 'u'"},
        {"kind: BackupPolicy\n", "config:1: kind: expected Config, not \"BackupPolicy\""},
        {"- a\n", "config:1: expected an object, not a list"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err;
        assert_int_equal(parse(f, cases[i].config, &err), -1);
        assert_string_equal(err.text, cases[i].text);
    }
}

static void a_file_that_is_missing_is_named(void **state)
{
    struct fixture *f = *state;
    struct error err;
    char expected[256];
    CLEANUP(own_freep)
    char *text =
        kubeconfig("server: 'https://a'", "client-certificate: me.pem, client-key: me.key");
    assert_int_equal(load(f, text, &err), -1);
    snprintf(expected, sizeof(expected), "%s/me.pem", f->directory);
    assert_non_null(strstr(err.text, expected));
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_int_equal(kube_config_load(&f->config, "/nonexistent/config", &err), -1);
    assert_non_null(strstr(err.text, "/nonexistent/config"));
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

static void load_pod(struct fixture *f, const char *host)
{
    struct error err;
    setenv("KUBERNETES_SERVICE_HOST", host, 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    assert_int_equal(kube_config_load_pod(&f->config, f->directory, &err), 0);
}

static void a_pod_finds_its_server_in_the_environment(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct http_options options = {0};
    write_file(f, "token", "t1");
    load_pod(f, "10.96.0.1");
    assert_string_equal(kube_config_server(f->config), "https://10.96.0.1:443");
    kube_config_identify(f->config, &options);
    CLEANUP(own_freep) char *ca = own_format("%s/ca.crt", f->directory);
    assert_string_equal(options.ca_file, ca);
    kube_config_freep(&f->config);
    load_pod(f, "fd00::1");
    assert_string_equal(kube_config_server(f->config), "https://[fd00::1]:443");
    kube_config_freep(&f->config);

    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_int_equal(kube_config_load(&f->config, NULL, &err), -1);
    assert_string_equal(err.text, "not in a pod of Kubernetes (KUBERNETES_SERVICE_HOST and _PORT "
                                  "are not set): give --kubeconfig FILE");
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

static void a_new_token_is_taken_within_a_minute(void **state)
{
    struct fixture *f = *state;
    clock_fake(1000000);
    write_file(f, "token", "t1");
    load_pod(f, "h");
    write_file(f, "token", "t2\n");
    clock_fake(1000000 + 59999);
    assert_string_equal(token(f), "t1");
    clock_fake(1000000 + 60000);
    assert_string_equal(token(f), "t2");
}

static void a_refused_token_is_read_again_at_once(void **state)
{
    struct fixture *f = *state;
    clock_fake(1000000);
    write_file(f, "token", "t1");
    load_pod(f, "h");
    write_file(f, "token", "t2");
    kube_config_refused(f->config);
    assert_string_equal(token(f), "t2");
}

static void a_token_lasts_while_its_file_cannot_be_read(void **state)
{
    struct fixture *f = *state;
    clock_fake(1000000);
    CLEANUP(own_freep) char *path = own_format("%s/token", f->directory);
    write_file(f, "token", "t1");
    load_pod(f, "h");
    unlink(path);
    clock_fake(2000000);
    assert_string_equal(token(f), "t1");
    write_file(f, "token", "\n");
    clock_fake(3000000);
    assert_string_equal(token(f), "t1");
}

static void a_pod_without_a_token_is_told_why(void **state)
{
    struct fixture *f = *state;
    struct error err;
    setenv("KUBERNETES_SERVICE_HOST", "h", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    assert_int_equal(kube_config_load_pod(&f->config, f->directory, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "automountServiceAccountToken"));
    assert_non_null(strstr(err.text, "/token'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(data_of_a_kubeconfig_is_kept_in_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_of_a_kubeconfig_are_found_beside_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_user_may_be_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_used_is_refused_with_a_remedy, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_context_that_leads_nowhere_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_missing_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pod_finds_its_server_in_the_environment, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_new_token_is_taken_within_a_minute, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refused_token_is_read_again_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_lasts_while_its_file_cannot_be_read, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_pod_without_a_token_is_told_why, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
