// SPDX-License-Identifier: Apache-2.0
#include "operator/arguments.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTION_KUBECONFIG = 256,
    OPTION_NAMESPACE,
    OPTION_IDENTITY,
    OPTION_WATCH_NAMESPACE,
    OPTION_SIDECAR_IMAGE,
    OPTION_CHANNEL_PORT,
    OPTION_PROBE_PORT,
    OPTION_LOG_LEVEL,
    OPTION_HELP,
    OPTION_VERSION,
    CHANNEL_PORT = 8443,
    PROBE_PORT = 8081,
    PORT_MAX = 65535,
    NAMESPACE_CHARACTERS_MAX = 63, /* RFC 1123, a label */
};

/* clang-format off */
static const struct option long_options[] = {
    {"kubeconfig", required_argument, NULL, OPTION_KUBECONFIG},
    {"namespace", required_argument, NULL, OPTION_NAMESPACE},
    {"identity", required_argument, NULL, OPTION_IDENTITY},
    {"watch-namespace", required_argument, NULL, OPTION_WATCH_NAMESPACE},
    {"sidecar-image", required_argument, NULL, OPTION_SIDECAR_IMAGE},
    {"channel-port", required_argument, NULL, OPTION_CHANNEL_PORT},
    {"probe-port", required_argument, NULL, OPTION_PROBE_PORT},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {0},
};
/* clang-format on */

static const char help_text[] =
    "usage: lifeboat-operator [options]\n"
    "\n"
    "Watches BackupPolicies, Backups and RestoreJobs and has the sidecars carry them out.\n"
    "\n"
    "  --kubeconfig FILE        where the API server is (else the pod's service account)\n"
    "  --namespace NS           the operator's own namespace (else $POD_NAMESPACE)\n"
    "  --identity NAME          the name of this replica (else $POD_NAME)\n"
    "  --watch-namespace NS     look at this namespace only; may be repeated (else at all)\n"
    "  --sidecar-image IMAGE    of the pods that restore (else $LIFEBOAT_SIDECAR_IMAGE)\n"
    "  --channel-port PORT      for sidecars and /metrics, with TLS (8443)\n"
    "  --probe-port PORT        for /livez and /readyz, in clear (8081)\n"
    "  --log-level LEVEL        debug, info, warn or error (info)\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 stopped on request, 1 failed or no longer the leader, 2 wrong usage.\n";

const char *arguments_help(void)
{
    return help_text;
}

static int parse_port(const char *option, const char *text, unsigned *ret_port, struct error *err)
{
    char *end;
    errno = 0;
    unsigned long port = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || port == 0 ||
        port > PORT_MAX)
        return error_set(err, ERROR_PERMANENT, "--%s '%s': expected a number from 1 to %d", option,
                         text, PORT_MAX);
    *ret_port = (unsigned)port;
    return 0;
}

static bool is_namespace(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size <= NAMESPACE_CHARACTERS_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == size && text[0] != '-' &&
           text[size - 1] != '-';
}

static int add_namespace(struct arguments *arguments, const char *name, struct error *err)
{
    if (!is_namespace(name))
        return error_set(err, ERROR_PERMANENT, "--watch-namespace '%s': not a namespace's name",
                         name);
    for (size_t i = 0; i < arguments->watch_namespace_count; i++)
        if (strcmp(arguments->watch_namespaces[i], name) == 0)
            return error_set(err, ERROR_PERMANENT, "--watch-namespace '%s': given twice", name);
    if (arguments->watch_namespace_count == ARGUMENTS_NAMESPACES_MAX)
        return error_set(err, ERROR_PERMANENT, "--watch-namespace: more than %d",
                         ARGUMENTS_NAMESPACES_MAX);
    arguments->watch_namespaces[arguments->watch_namespace_count++] = name;
    return 0;
}

static int set_option(struct arguments *arguments, int option, const char *value, struct error *err)
{
    switch (option) {
    case OPTION_KUBECONFIG:
        arguments->kubeconfig = value;
        return 0;
    case OPTION_NAMESPACE:
        arguments->namespace = value;
        return 0;
    case OPTION_IDENTITY:
        arguments->identity = value;
        return 0;
    case OPTION_WATCH_NAMESPACE:
        return add_namespace(arguments, value, err);
    case OPTION_SIDECAR_IMAGE:
        arguments->sidecar_image = value;
        return 0;
    case OPTION_CHANNEL_PORT:
        return parse_port("channel-port", value, &arguments->channel_port, err);
    case OPTION_PROBE_PORT:
        return parse_port("probe-port", value, &arguments->probe_port, err);
    case OPTION_LOG_LEVEL:
        if (log_parse_level(value, &arguments->log_level))
            return 0;
        return error_set(err, ERROR_PERMANENT,
                         "--log-level '%s': expected debug, info, warn or error", value);
    case OPTION_HELP:
        arguments->help = true;
        return 0;
    default: /* OPTION_VERSION */
        arguments->version = true;
        return 0;
    }
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] != '\0' ? value : NULL;
}

static int complete(struct arguments *arguments, struct error *err)
{
    if (!arguments->namespace)
        arguments->namespace = environment("POD_NAMESPACE");
    if (!arguments->identity)
        arguments->identity = environment("POD_NAME");
    if (!arguments->sidecar_image)
        arguments->sidecar_image = environment("LIFEBOAT_SIDECAR_IMAGE");
    if (!arguments->namespace)
        return error_set(err, ERROR_PERMANENT,
                         "no namespace: give --namespace or set POD_NAMESPACE");
    if (!is_namespace(arguments->namespace))
        return error_set(err, ERROR_PERMANENT, "namespace '%s': not a namespace's name",
                         arguments->namespace);
    if (!arguments->identity)
        return error_set(err, ERROR_PERMANENT, "no identity: give --identity or set POD_NAME");
    if (arguments->channel_port == arguments->probe_port)
        return error_set(err, ERROR_PERMANENT, "--channel-port and --probe-port are the same: %u",
                         arguments->channel_port);
    return 0;
}

int arguments_parse(struct arguments *ret_arguments, int argc, char **argv, struct error *err)
{
    struct arguments arguments = {
        .channel_port = CHANNEL_PORT, .probe_port = PROBE_PORT, .log_level = LOG_LEVEL_INFO};
    optind = 0; /* glibc: start anew, also when called twice */
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":", long_options, NULL)) != -1;) {
        if (option == ':')
            return error_set(err, ERROR_PERMANENT, "'%s' needs a value", argv[optind - 1]);
        if (option == '?')
            return error_set(err, ERROR_PERMANENT,
                             "unknown option '%s': see 'lifeboat-operator --help'",
                             argv[optind - 1]);
        if (set_option(&arguments, option, optarg, err) < 0)
            return -1;
    }
    if (optind < argc)
        return error_set(err, ERROR_PERMANENT, "unexpected argument '%s'", argv[optind]);
    if (!arguments.help && !arguments.version && complete(&arguments, err) < 0)
        return -1;
    *ret_arguments = arguments;
    return 0;
}
