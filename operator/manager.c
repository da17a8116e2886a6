// SPDX-License-Identifier: Apache-2.0
#include "operator/manager.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <jansson.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/own.h"
#include "operator/agents.h"
#include "operator/arguments.h"
#include "operator/authority.h"
#include "operator/certificate.h"
#include "operator/channel.h"
#include "operator/controller.h"
#include "operator/informers.h"
#include "operator/kube.h"
#include "operator/kube_config.h"
#include "operator/lease.h"
#include "operator/nodes.h"
#include "operator/policy_memory.h"
#include "operator/recorder.h"
#include "operator/reviewer.h"
#include "operator/runs.h"

enum {
    WORKERS = 4,
    TICK_MS = 1000,
    SYNC_POLL_MS = 20,
    RESYNC_MS = 10 * 60000,
    STUCK_MS = 10 * 60000,      /* a worker with one object for so long hangs */
    CERTIFICATE_MS = 30000,     /* between looks at the Secret */
    CERTIFICATE_SOON_MS = 500,  /* the same before the first one is there */
    UNREACHABLE_MS = 3 * 60000, /* without an answer of the API server */
    RETRY_MS = 2000,
};

struct manager {
    const struct arguments *arguments;
    struct cancel *stop;  /* of all but the lease, which is released last */
    struct cancel resign; /* of the lease */
    struct kube_config *config;
    struct kube *kube, *review_kube; /* the reviewer is less patient */
    struct metrics *metrics;
    struct metric_family *leader, *depth, *connected;
    struct workqueue *queue;
    struct agents *agents;
    struct informers *informers;
    struct nodes *nodes;
    struct policy_memory *policy_memory;
    struct runs *runs;
    struct recorder *recorder;
    struct reviewer *reviewer;
    struct certificate *certificate;
    char *names[3]; /* of the server; NULL-terminated */
    struct channel *channel;
    struct lease *lease;
    struct crew *crew, *lease_crew;
    struct controller controller;
    char *cluster_uid;
    atomic_bool leading;             /* sidecars are welcome */
    atomic_int_least64_t reached_ms; /* when the API server last answered (monotonic) */
};

/* What the channel asks, from its thread. */

static bool is_live(void *arg)
{
    const struct manager *manager = arg;
    return controller_busy_ms(&manager->controller) < STUCK_MS;
}

static bool is_leading(void *arg)
{
    const struct manager *manager = arg;
    return atomic_load(&manager->leading) && lease_held(manager->lease);
}

static bool is_ready(void *arg)
{
    struct manager *manager = arg;
    bool reaches = clock_monotonic_ms() - atomic_load(&manager->reached_ms) < UNREACHABLE_MS;
    bool works = !lease_held(manager->lease) || atomic_load(&manager->leading);
    return certificate_ready(manager->certificate) && reaches && works;
}

static void on_agent(void *arg, const struct agent_identity *who)
{
    const struct manager *manager = arg;
    if (atomic_load(&manager->leading))
        informers_wake_agent(manager->informers, who);
}

/* The certificate's thread. */

static int serve_certificate(struct manager *manager, struct error *err)
{
    CLEANUP(own_freep) char *chain = certificate_chain(manager->certificate);
    CLEANUP(authority_wipe) char *key = certificate_key(manager->certificate);
    informers_wake_policies(manager->informers); /* their ConfigMaps hold the bundle */
    return channel_set_certificate(manager->channel, chain, key, err);
}

static int keep_certificate(void *arg, struct error *err)
{
    struct manager *manager = arg;
    bool complained = false;
    for (int wait_ms = 0; cancel_sleep(manager->stop, wait_ms, err) == 0;) {
        struct error failure = {0};
        int changed = certificate_refresh(manager->certificate, lease_held(manager->lease),
                                          clock_now_ms(), &failure);
        if (changed > 0 && serve_certificate(manager, &failure) < 0)
            changed = -1;
        if (changed < 0 && !complained && failure.kind != ERROR_CANCELED)
            log_error(&failure, "Failed to refresh certificate");
        complained = changed < 0;
        if (changed >= 0 || failure.kind != ERROR_TRANSIENT)
            atomic_store(&manager->reached_ms, clock_monotonic_ms());
        bool settled = changed >= 0 && certificate_ready(manager->certificate);
        wait_ms = settled ? CERTIFICATE_MS : CERTIFICATE_SOON_MS;
    }
    return 0;
}

/* Leading. */

static int keep_lease(void *arg, struct error *err)
{
    struct manager *manager = arg;
    if (lease_hold(manager->lease, &manager->resign, err) == 0)
        return 0;
    atomic_store(&manager->leading, false);
    crew_fail(manager->crew, err); /* all of it ends now */
    return -1;
}

static int get_cluster_uid(struct manager *manager, struct error *err)
{
    struct kube_ref ref = {.resource = &kube_namespaces, .name = "kube-system"};
    json_auto_t *namespace = NULL;
    if (kube_get(manager->kube, &ref, &namespace, err) < 0)
        return error_wrap(err, "find the cluster's uid");
    manager->cluster_uid = own_strdup(
        json_string_value(json_object_get(json_object_get(namespace, "metadata"), "uid")));
    return 0;
}

static int find_cluster_uid(struct manager *manager, struct error *err)
{
    for (;;) {
        struct error failure;
        if (get_cluster_uid(manager, &failure) == 0)
            return 0;
        log_error(&failure, "Failed to start leading, trying again");
        if (cancel_sleep(manager->stop, RETRY_MS, err) < 0)
            return -1;
    }
}

static int wait_for_caches(struct manager *manager, struct error *err)
{
    while (!informers_synced(manager->informers))
        if (cancel_sleep(manager->stop, SYNC_POLL_MS, err) < 0)
            return -1;
    return 0;
}

static int start_workers(struct manager *manager, int64_t epoch, struct error *err)
{
    struct reconcile *reconcile = &manager->controller.reconcile;
    reconcile->kube = manager->kube;
    reconcile->nodes = manager->nodes;
    reconcile->policy_memory = manager->policy_memory;
    reconcile->agents = manager->agents;
    reconcile->recorder = manager->recorder;
    reconcile->metrics = manager->metrics;
    reconcile->queue = manager->queue;
    reconcile->certificate = manager->certificate;
    reconcile->runs = manager->runs;
    reconcile->epoch = epoch;
    reconcile->started_ms = clock_monotonic_ms();
    reconcile->namespace = manager->arguments->namespace;
    reconcile->cluster_uid = manager->cluster_uid;
    reconcile->sidecar_image = manager->arguments->sidecar_image;
    manager->controller.reconcilers[WORK_POLICY] = reconcile_policy;
    manager->controller.reconcilers[WORK_BACKUP] = reconcile_backup;
    manager->controller.reconcilers[WORK_RESTORE] = reconcile_restore;
    manager->controller.workers = WORKERS;
    return controller_start(&manager->controller, manager->crew, err);
}

static int start_leading(struct manager *manager, int64_t epoch, struct error *err)
{
    int64_t begin_ms = clock_monotonic_ms();
    agents_set_epoch(manager->agents, epoch);
    if (crew_start(manager->lease_crew, "lease", keep_lease, manager, err) < 0 ||
        find_cluster_uid(manager, err) < 0 ||
        informers_start(manager->informers, manager->crew, err) < 0 ||
        wait_for_caches(manager, err) < 0 || start_workers(manager, epoch, err) < 0)
        return -1;
    atomic_store(&manager->leading, true);
    log_info("Became leader", I("epoch", epoch),
             I("milliseconds", clock_monotonic_ms() - begin_ms));
    return 0;
}

static void tick(struct manager *manager)
{
    metric_set(manager->leader, NULL, is_leading(manager));
    metric_set(manager->depth, NULL, (double)workqueue_depth(manager->queue));
    metric_set(manager->connected, NULL, (double)agents_connected(manager->agents));
}

/* Ends only with an error: CANCELED, or what made us start not. */
static int lead(struct manager *manager, struct error *err)
{
    int64_t epoch;
    tick(manager);
    if (lease_acquire(manager->lease, manager->stop, &epoch, err) < 0 ||
        start_leading(manager, epoch, err) < 0)
        return -1;
    for (int64_t resync_ms = clock_monotonic_ms() + RESYNC_MS;;) {
        tick(manager);
        if (cancel_sleep(manager->stop, TICK_MS, err) < 0)
            return -1;
        if (clock_monotonic_ms() < resync_ms)
            continue;
        informers_wake_all(manager->informers);
        resync_ms = clock_monotonic_ms() + RESYNC_MS;
    }
}

/* Making and ending. */

static void declare_metrics(struct manager *manager)
{
    struct metrics *metrics = manager->metrics;
    manager->leader = metrics_declare(metrics, METRIC_GAUGE, "lifeboat_leader",
                                      "1 if this replica is the leader.", NULL, NULL);
    manager->depth = metrics_declare(metrics, METRIC_GAUGE, "lifeboat_workqueue_depth",
                                     "Objects that wait to be looked at.", NULL, NULL);
    manager->connected = metrics_declare(metrics, METRIC_GAUGE, "lifeboat_connected_sidecars",
                                         "Sidecars that are connected.", NULL, NULL);
}

static void make_parts(struct manager *manager)
{
    const struct arguments *arguments = manager->arguments;
    manager->metrics = metrics_new();
    declare_metrics(manager);
    manager->queue = workqueue_new(manager->stop);
    manager->agents = agents_new(on_agent, manager);
    manager->informers = informers_new(
        &(struct informers_options){.kube = manager->kube,
                                    .namespaces = arguments->watch_namespaces,
                                    .namespace_count = arguments->watch_namespace_count,
                                    .queue = manager->queue,
                                    .agents = manager->agents,
                                    .cancel = manager->stop});
    informers_lend(manager->informers, &manager->controller.reconcile);
    manager->nodes = nodes_new(manager->kube);
    manager->policy_memory = policy_memory_new(manager->metrics);
    manager->runs = runs_new(manager->metrics);
    manager->recorder = recorder_new(manager->kube, arguments->identity, manager->stop);
    manager->reviewer = reviewer_new(
        &(struct reviewer_options){.kube = manager->review_kube,
                                   .pods = manager->controller.reconcile.pods,
                                   .restore_pods = manager->controller.reconcile.restore_pods,
                                   .cancel = manager->stop});
    manager->names[0] = own_format("lifeboat-channel.%s.svc", arguments->namespace);
    manager->names[1] = own_format("*.lifeboat-channel.%s.svc", arguments->namespace);
    manager->certificate = certificate_new(
        &(struct certificate_options){.kube = manager->kube,
                                      .namespace = arguments->namespace,
                                      .names = (const char *const *)manager->names});
}

static int make_channel(struct manager *manager, struct error *err)
{
    const struct channel_options options = {
        .port = manager->arguments->channel_port,
        .probe_port = manager->arguments->probe_port,
        .agents = manager->agents,
        .reviewer = manager->reviewer,
        .metrics = manager->metrics,
        .cancel = manager->stop,
        .live = is_live,
        .ready = is_ready,
        .leading = is_leading,
        .arg = manager,
    };
    return channel_new(&manager->channel, &options, err);
}

static int make_lease(struct manager *manager, struct error *err)
{
    const struct lease_options options = {.config = manager->config,
                                          .namespace = manager->arguments->namespace,
                                          .name = "lifeboat-operator",
                                          .identity = manager->arguments->identity};
    return lease_new(&manager->lease, &options, err);
}

static int make(struct manager *manager, struct error *err)
{
    if (cancel_init(&manager->resign, err) < 0 ||
        kube_config_load(&manager->config, manager->arguments->kubeconfig, err) < 0 ||
        kube_new(&manager->kube, manager->config, manager->stop, err) < 0 ||
        kube_new(&manager->review_kube, manager->config, manager->stop, err) < 0 ||
        make_lease(manager, err) < 0)
        return -1;
    make_parts(manager);
    manager->crew = crew_new(manager->stop);
    manager->lease_crew = crew_new(&manager->resign);
    return make_channel(manager, err);
}

/* Threads first; then those who lend after those who borrow. */
static void manager_done(struct manager *manager)
{
    crew_freep(&manager->crew);
    crew_freep(&manager->lease_crew);
    channel_freep(&manager->channel);
    reviewer_freep(&manager->reviewer);
    certificate_freep(&manager->certificate);
    recorder_freep(&manager->recorder);
    runs_freep(&manager->runs);
    policy_memory_freep(&manager->policy_memory);
    nodes_freep(&manager->nodes);
    informers_freep(&manager->informers);
    agents_freep(&manager->agents);
    workqueue_freep(&manager->queue);
    metrics_freep(&manager->metrics);
    lease_freep(&manager->lease);
    kube_freep(&manager->review_kube);
    kube_freep(&manager->kube);
    kube_config_freep(&manager->config);
    for (size_t i = 0; i < ARRAY_SIZE(manager->names); i++)
        own_freep(&manager->names[i]);
    own_freep(&manager->cluster_uid);
    own_closep(&manager->resign.fd);
}

static int serve(struct manager *manager, struct error *err)
{
    if (crew_start(manager->crew, "channel", channel_run, manager->channel, err) < 0 ||
        crew_start(manager->crew, "recorder", recorder_run, manager->recorder, err) < 0 ||
        reviewer_start(manager->reviewer, manager->crew, err) < 0 ||
        crew_start(manager->crew, "certificate", keep_certificate, manager, err) < 0)
        return -1;
    return lead(manager, err);
}

/* Workers end before the lease is given to somebody else. */
static int end(struct manager *manager, struct error *err)
{
    atomic_store(&manager->leading, false);
    cancel_trigger(manager->stop);
    int result = crew_join(manager->crew, err);
    cancel_trigger(&manager->resign);
    struct error ignored; /* the crew was told already */
    (void)!crew_join(manager->lease_crew, &ignored);
    return result;
}

int manager_run(const struct arguments *arguments, struct cancel *stop, struct error *err)
{
    CLEANUP(manager_done)
    struct manager manager = {.arguments = arguments, .stop = stop, .resign = {.fd = -1}};
    atomic_init(&manager.reached_ms, clock_monotonic_ms());
    if (make(&manager, err) < 0)
        return -1;
    log_info("Started", S("version", LIFEBOAT_VERSION), S("identity", arguments->identity),
             S("server", kube_config_server(manager.config)));
    struct error cause = {0};
    if (serve(&manager, &cause) < 0 && cause.kind != ERROR_CANCELED)
        crew_fail(manager.crew, &cause);
    int result = end(&manager, err);
    log_info("Stopped");
    return result;
}
