#include "master/announcer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

void announcer_relay_ready(struct announcer *announcer, struct slice cluster_id)
{
    if (announcer->discovery && slice_equals_string(cluster_id, announcer->cluster_id))
        return;
    announcer_stop(announcer);
    announcer->cluster_id = strndup(cluster_id.data, cluster_id.len);
    if (announcer->cluster_id)
        announcer->discovery = discovery_start(announcer->loop, announcer->settings, cluster_id,
                                               announcer->handlers, announcer->context);
    if (!announcer->discovery)
        LOG_ERROR("discovery-not-started", "cluster_id=%s error=\"%s\"", LOG_TEXT(cluster_id),
                  strerror(errno));
    else if (announcer->serving)
        discovery_announce(announcer->discovery);
}

void announcer_serving(struct announcer *announcer)
{
    announcer->serving = true;
    if (announcer->discovery)
        discovery_announce(announcer->discovery);
}

bool announcer_withdraw(struct announcer *announcer)
{
    if (!announcer->discovery)
        return false;
    discovery_withdraw(announcer->discovery);
    return true;
}

void announcer_stop(struct announcer *announcer)
{
    discovery_stop(announcer->discovery);
    free(announcer->cluster_id);
    announcer->discovery = NULL;
    announcer->cluster_id = NULL;
}
