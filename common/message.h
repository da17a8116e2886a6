// SPDX-License-Identifier: Apache-2.0
/*
 * The messages between operator and sidecars (docs/protocol.md): JSON text of at most
 * MESSAGE_BYTES_MAX, versioned. Parsing checks sizes, types and bounds of what it knows and ignores
 * members that it does not know, so that versions can differ; texts are lent from the message's own
 * JSON. Pure. Bad bytes are CORRUPT and nothing else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"

enum {
    MESSAGE_VERSION = 1,
    MESSAGE_BYTES_MAX = 64 * 1024,
    MESSAGE_HELLO_BYTES_MAX = 4 * 1024,
    MESSAGE_FINISHED_MAX = 8,
    MESSAGE_LOOKUP_MAX = 4,
    MESSAGE_REGIONS_MAX = 8,
    MESSAGE_WINDOWS_MAX = 4,
};

/* Codes with which a connection is closed: those of RFC 6455, 7.4.1, and ours. */
enum message_close {
    MESSAGE_CLOSE_NORMAL = 1000,
    MESSAGE_CLOSE_GOING_AWAY = 1001,  /* whoever says it is shutting down */
    MESSAGE_CLOSE_PROTOCOL = 1002,    /* not a message, or not one for now */
    MESSAGE_CLOSE_UNSUPPORTED = 1003, /* not text */
    MESSAGE_CLOSE_TOO_LARGE = 1009,
    MESSAGE_CLOSE_TRY_AGAIN = 1013,   /* too busy, or the API server did not answer */
    MESSAGE_CLOSE_NOT_LEADER = 4001,  /* go to the next address */
    MESSAGE_CLOSE_STALE_EPOCH = 4002, /* said by the sidecar: there is a newer leader */
    MESSAGE_CLOSE_REPLACED = 4003,    /* by a newer connection of the same pod */
    MESSAGE_CLOSE_UNAUTHENTICATED = 4401,
    MESSAGE_CLOSE_UNKNOWN_POD = 4403, /* never known, or gone */
};

enum message_type {
    MESSAGE_HELLO,    /* sidecar -> operator */
    MESSAGE_ASSIGN,   /* operator -> sidecar */
    MESSAGE_RUN,      /* operator -> sidecar */
    MESSAGE_CANCEL,   /* operator -> sidecar */
    MESSAGE_QUESTION, /* operator -> sidecar; on the wire "state" with an epoch */
    MESSAGE_STATE,    /* sidecar -> operator */
    MESSAGE_PROGRESS, /* sidecar -> operator */
    MESSAGE_DONE,     /* sidecar -> operator */
};

enum message_kind { MESSAGE_KIND_BACKUP, MESSAGE_KIND_RESTORE };

/* What a sidecar is to do about the WAL of its server. */
enum message_wal {
    MESSAGE_WAL_UNSAID, /* the operator says nothing: the sidecar decides by itself */
    MESSAGE_WAL_STREAM,
    MESSAGE_WAL_HOLD, /* keep a slot on the server, advanced to what the regions have */
    MESSAGE_WAL_NONE, /* drop it */
};

struct message_hello {
    const char *namespace, *pod, *uid, *sidecar_version;
    int64_t epoch; /* the highest that this sidecar ever saw */
};

struct message_assign {
    const char *policy_namespace, *policy;
    const char *region; /* of the pod; may be NULL */
    int64_t generation; /* of the policy */
    unsigned heartbeat_seconds;
    enum message_wal wal;
};

struct message_run {
    const char *id; /* backup id, or <RestoreJob>-<attempt> */
    enum message_kind kind;
    int64_t generation; /* of the configuration that it needs; 0: any */
    unsigned deadline_seconds;
    struct {
        const char *name, *uid, *type; /* of the Backup; "full", "differential", "incremental" */
    } backup;
    struct {
        const char *backup; /* id or "Latest" */
        const char *region; /* to read from first; NULL: any */
        const char *exclude_regions[MESSAGE_REGIONS_MAX];
        size_t exclude_count;
        const char *to;   /* directory */
        unsigned workers; /* 0: the policy's */
    } restore;
};

struct message_cancel {
    const char *id, *reason;
};

struct message_question {
    const char *lookup[MESSAGE_LOOKUP_MAX]; /* backup ids */
    size_t lookup_count;
};

struct message_progress {
    const char *id, *phase;
    uint64_t bytes, total_bytes /* 0: not known */, files;
};

/* How a job ended. backup and restore are the summaries of docs/protocol.md, lent JSON objects of
 * which the members were checked; NULL unless ok and of that kind, which then is there. */
struct message_done {
    const char *id;
    enum message_kind kind;
    bool ok;
    const char *error_kind, *error; /* unless ok */
    json_t *backup, *restore;
};

struct message_lookup {
    const char *backup_id;
    bool running;      /* the sidecar's job at that moment */
    const char *error; /* the buckets could not be asked; NULL */
    json_t *backup;    /* as message_done.backup; NULL: no region has it */
};

/* WAL that a backup can be recovered with, without a gap. */
struct message_window {
    uint32_t timeline;
    const char *from_lsn, *to_lsn;
    const char *from, *to; /* times; may be NULL */
    bool ended;            /* WAL that comes does not make it longer: a gap follows */
};

struct message_region {
    const char *name;
    bool reachable;
    const char *error; /* may be NULL */
    uint64_t backups, bytes;
    const char *last_backup;                            /* may be NULL */
    const char *recoverable_from, *recoverable_to;      /* may be NULL */
    struct message_window windows[MESSAGE_WINDOWS_MAX]; /* the newest, oldest first */
    size_t window_count;
};

/* How it goes with the WAL. LSNs may be NULL: not known. */
struct message_archiving {
    enum message_wal
        mode; /* UNSAID: nothing is done about WAL, and no more is said; STREAM; HOLD */
    bool streaming;
    const char *slot, *since;       /* it streams, or does not, since then; may be NULL */
    const char *error, *error_kind; /* what is wrong now; may be NULL */
    uint32_t timeline;              /* 0: not known */
    const char *server_lsn, *received_lsn, *durable_lsn;
    int64_t lag_seconds;  /* age of the oldest WAL that no quorum has; -1: not known */
    uint64_t kept_bytes;  /* of WAL on the server, for the slot */
    int64_t left_bytes;   /* … that may be written until the slot or the volume can take
                             no more; -1: not known, or without a limit */
    int64_t left_seconds; /* the same at the present rate; -1: not known */
    struct {
        const char *system_identifier; /* may be NULL */
        uint32_t timeline;
        const char *from, *to;                     /* LSNs; NULL: there is no gap */
    } gap;                                         /* in the WAL, the last that was found */
    const char *lost_regions[MESSAGE_REGIONS_MAX]; /* left out at present */
    size_t lost_count;
};

struct message_database {
    bool reachable;
    const char *error; /* may be NULL */
    bool standby;
    int version_num;
    const char *system_identifier; /* may be NULL */
    uint32_t timeline;
    const char *lsn;     /* may be NULL */
    int64_t lag_seconds; /* of a standby; -1: not known */
};

struct message_state {
    int64_t generation;            /* of the loaded configuration; 0: none */
    const char *policy_uid;        /* of its policy; NULL: not told */
    const char *config_error;      /* NULL: fine */
    const char *config_error_kind; /* as error_kind_name: "not-found", no policy is there, or a key
                                      of its Secret is missing; "conflict", it is not the one that
                                      was assigned; NULL: not told */
    struct message_database database;
    bool busy; /* job is valid */
    struct {
        const char *id, *started;
        enum message_kind kind;
        struct message_progress progress;
    } job;
    struct message_done finished[MESSAGE_FINISHED_MAX];
    size_t finished_count;
    struct message_lookup lookup[MESSAGE_LOOKUP_MAX]; /* answers to the question before, if any */
    size_t lookup_count;
    struct message_region regions[MESSAGE_REGIONS_MAX];
    size_t region_count;
    struct message_archiving archiving;
};

struct message {
    enum message_type type;
    int64_t epoch; /* of operator's messages */
    union {
        struct message_hello hello;
        struct message_assign assign;
        struct message_run run;
        struct message_cancel cancel;
        struct message_question question;
        struct message_state state;
        struct message_progress progress;
        struct message_done done;
    };
    json_t *root; /* owns all texts; NULL in a message that is to be formatted */
};

/* The generation of that policy which a sidecar has loaded; 0: none, or it has one of the same name
 * that was there before. */
int64_t message_state_generation(const struct message_state *state, const char *policy_uid);
bool message_from_operator(enum message_type type); /* else from a sidecar */
/* An LSN as messages have it, "0/3000028"; false if it is none. */
bool message_lsn(const char *text, uint64_t *ret_lsn);

/* CORRUPT names member, value and what was expected. */
MUST_CHECK int message_parse(struct message *ret_message, const char *text, size_t size,
                             struct error *err);
/* The same from JSON of which the caller gives its reference, whatever the outcome; whoever has
 * another one leaves it unchanged. */
MUST_CHECK int message_read(struct message *ret_message, json_t *root, struct error *err);
/* The object of a state's archiving alone, for whoever knows it and tells a sidecar's server; texts
 * are lent from object. */
MUST_CHECK int message_read_archiving(struct message_archiving *ret_archiving, json_t *object,
                                      struct error *err);
json_t *message_format_archiving(const struct message_archiving *archiving); /* the caller's */
void message_clear(struct message *message); /* for CLEANUP; zeroed is empty */
/* The text of a message, the caller's (own_freep); texts that are not UTF-8 are escaped. PERMANENT:
 * larger than allowed. */
MUST_CHECK int message_format(const struct message *message, char **ret_text, struct error *err);
