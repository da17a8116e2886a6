// SPDX-License-Identifier: Apache-2.0
#include "common/crew.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/cancel.h"
#include "common/own.h"

enum { NAME_BYTES = 16 }; /* pthread_setname_np(3), with the NUL */

struct member {
    struct crew *crew;
    crew_main main;
    void *arg;
    pthread_t thread;
    char name[NAME_BYTES];
};

struct crew {
    struct cancel *cancel;
    struct member **members; /* not joined yet; only the owner's thread touches them */
    size_t count;
    pthread_mutex_t lock; /* guards what follows */
    bool failed;
    struct error first;
};

static void *run_member(void *arg)
{
    struct member *member = arg;
    pthread_setname_np(pthread_self(), member->name);
    struct error err = {0};
    if (member->main(member->arg, &err) < 0)
        crew_fail(member->crew, &err);
    return NULL;
}

/* Signals are the business of the thread that started the crew: members are born with all blocked.
 */
static int create_thread(struct member *member)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int errnum = pthread_create(&member->thread, NULL, run_member, member);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return errnum;
}

static void join_all(struct crew *crew)
{
    for (size_t i = 0; i < crew->count; i++) {
        pthread_join(crew->members[i]->thread, NULL);
        free(crew->members[i]);
    }
    crew->count = 0;
}

int crew_join(struct crew *crew, struct error *err)
{
    join_all(crew);
    pthread_mutex_lock(&crew->lock);
    bool failed = crew->failed;
    if (failed)
        *err = crew->first;
    pthread_mutex_unlock(&crew->lock);
    return failed ? -1 : 0;
}

void crew_fail(struct crew *crew, const struct error *err)
{
    pthread_mutex_lock(&crew->lock);
    if (!crew->failed)
        crew->first = *err;
    crew->failed = true;
    pthread_mutex_unlock(&crew->lock);
    cancel_trigger(crew->cancel); /* after the error is kept: what this makes fail comes later */
}

int crew_start(struct crew *crew, const char *name, crew_main main, void *arg, struct error *err)
{
    assert(strlen(name) < NAME_BYTES);
    CLEANUP(own_freep) struct member *member = own_alloc(sizeof(*member));
    *member = (struct member){.crew = crew, .main = main, .arg = arg};
    memcpy(member->name, name, strlen(name));
    int errnum = create_thread(member);
    if (errnum != 0)
        return error_errno(err, errnum, "start thread '%s'", name);
    crew->members = own_resize(crew->members, crew->count + 1, sizeof(crew->members[0]));
    crew->members[crew->count++] = TAKE(member);
    return 0;
}

void crew_freep(struct crew **crew)
{
    struct crew *c = TAKE(*crew);
    if (!c)
        return;
    if (c->count > 0)
        cancel_trigger(c->cancel);
    join_all(c);
    pthread_mutex_destroy(&c->lock);
    free(c->members);
    free(c);
}

struct crew *crew_new(struct cancel *cancel)
{
    struct crew *crew = own_alloc(sizeof(*crew));
    crew->cancel = cancel;
    pthread_mutex_init(&crew->lock, NULL);
    return crew;
}
