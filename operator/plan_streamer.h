// SPDX-License-Identifier: Apache-2.0
/*
 * Which pod of a policy streams the WAL of its database into the regions, while the others keep
 * only a slot: the primary; where there is none, the one that streams already, else the standby
 * with the least lag. The one that streams goes on while it can, unless it is no primary and there
 * is one. Two that stream for a moment do no harm; that nobody does, harms. Pure.
 */
#pragma once

#include <stddef.h>

#include "common/message.h"

struct policy_view;
struct policy_view_pod;

/* NULL: none has a sidecar that could be told. One whose database cannot be reached is taken where
 * no other can: it goes on as soon as it is back. Lent from view. */
const struct policy_view_pod *streamer_choose(const struct policy_view *view);
/* What the pod with that index is to do about the WAL of its server. */
enum message_wal streamer_word(const struct policy_view *view,
                               const struct policy_view_pod *streamer, size_t pod);
