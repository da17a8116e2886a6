// SPDX-License-Identifier: Apache-2.0
/*
 * A BackupPolicy as the engine obeys it: the same YAML that kubectl applies. All of it is checked
 * when it is read: unknown fields, wrong types, values out of bounds and rules that hold together
 * are errors that name file, line, path, value and remedy. What only the operator acts on
 * (schedules, drills …) is checked and forgotten; what would change what the engine does
 * and cannot be obeyed yet is refused, never ignored. Reference: docs/policy.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/priority.h"
#include "common/yaml.h"
#include "sidecar/retention.h"

enum { POLICY_REGIONS_MAX = 8, POLICY_KEYS_MAX = 16 };

enum policy_prefer { POLICY_PREFER_REPLICA, POLICY_PREFER_PRIMARY };

/* Texts are lent from the policy; those that may be missing are NULL then. */
struct policy_connection {
    unsigned port;
    const char *user, *database;
    const char *password_key; /* in the Secret; may be missing */
    const char *ssl_mode;     /* libpq's word */
};

enum policy_store { POLICY_STORE_S3, POLICY_STORE_AZURE, POLICY_STORE_FILE };

enum policy_s3_auth { POLICY_S3_STATIC, POLICY_S3_WEB_IDENTITY, POLICY_S3_INSTANCE };

struct policy_s3 {
    const char *bucket;
    const char *prefix;   /* "" or parts between single slashes, none at either end */
    const char *endpoint; /* "https://host[:port]"; missing: AWS in the region */
    const char *region;
    bool path_style;
    enum policy_s3_auth auth;
    const char *credentials; /* start of the keys in the Secret: see secrets_get_s3; NULL unless
                                auth is Static */
    const char *ca_key;      /* PEM in the Secret; may be missing */
    const char *storage_class, *server_side_encryption; /* header values; may be missing */
    const char *kms_key;   /* likewise, of server_side_encryption with KMS */
    const char *lock_mode; /* a header value, of Object Lock … */
    unsigned lock_days;    /* … after which retention ends; 0: the bucket's own rule */
};

enum policy_azure_auth {
    POLICY_AZURE_STATIC,       /* an account key or a shared access signature of the Secret */
    POLICY_AZURE_WEB_IDENTITY, /* the pod's service account, by workload identity */
    POLICY_AZURE_INSTANCE,     /* the machine's managed identity */
};

struct policy_azure {
    const char *container, *account;
    const char *prefix;   /* as of policy_s3 */
    const char *endpoint; /* "https://host[:port]"; missing: the account's in the public cloud */
    enum policy_azure_auth auth;
    const char *credentials; /* start of the key in the Secret: see secrets_get_azure; NULL unless
                                POLICY_AZURE_STATIC */
    const char *ca_key;      /* PEM in the Secret; may be missing */
};

struct policy_region {
    const char *name;
    bool read_only;
    enum policy_store store;
    struct policy_s3 s3;       /* POLICY_STORE_S3 */
    struct policy_azure azure; /* POLICY_STORE_AZURE */
    const char *file_path;     /* POLICY_STORE_FILE: absolute */
};

struct policy_encryption {
    bool enabled;                      /* AES256GCM; false: None */
    const char *active_key;            /* one of keys; NULL unless enabled */
    const char *keys[POLICY_KEYS_MAX]; /* in the Secret */
    size_t key_count;                  /* at least 1 if enabled, else 0 */
};

/* Bytes per second of one process, 0: no limit. */
struct policy_limits {
    uint64_t read_bytes_per_second;   /* from the database's files */
    uint64_t upload_bytes_per_second; /* objects into each region */
    uint64_t fetch_bytes_per_second;  /* objects from each region */
    uint64_t write_bytes_per_second;  /* into what is restored */
    enum priority priority;           /* of those that run beside a database: backup, verify */
};

enum policy_wal_mode { POLICY_WAL_UNSAID, POLICY_WAL_STREAM, POLICY_WAL_BACKUP_ONLY };

struct policy_wal {
    enum policy_wal_mode mode;
    unsigned flush_seconds; /* for how long WAL that came may be in no region */
};

struct policy {
    const char *namespace, *name;
    int64_t generation;  /* of the resource; 0 in a file that no API server has seen */
    const char *uid;     /* likewise; may be NULL */
    const char *cluster; /* that backs up by this policy, as the operator says; NULL: none */
    struct policy_connection connection;
    enum policy_prefer prefer;
    struct policy_region regions[POLICY_REGIONS_MAX]; /* at least one; names are unique */
    size_t region_count;
    unsigned quorum;       /* 1 to the number of writable regions; 0 if there is none */
    int compression_level; /* of zstd, 1 to 19 */
    struct policy_encryption encryption;
    unsigned workers, uploads; /* 1 to 64 each */
    struct retention_rules retention;
    struct policy_limits limits;
    struct policy_wal wal;
    struct yaml document; /* owns all texts */
};

/* PERMANENT; also NOT_FOUND from policy_load when there is no such file. file is only named. */
MUST_CHECK int policy_parse(struct policy **ret_policy, const char *file, const char *text,
                            size_t size, struct error *err);
MUST_CHECK int policy_load(struct policy **ret_policy, const char *path, struct error *err);
void policy_freep(struct policy **policy);

/* NULL if there is no region of that name: PERMANENT "no region 'x' in the policy, which has eu,
 * us". */
MUST_CHECK const struct policy_region *policy_find_region(const struct policy *policy,
                                                          const char *name, struct error *err);
