/* Apart, because czmq.h brings syslog.h along, whose LOG_* names are base/log.h's too. */
#include <czmq.h>

#include "workers/relay/versions.h"

void print_library_versions(void)
{
    int czmq[3], zmq[3];
    zsys_version(&czmq[0], &czmq[1], &czmq[2]);
    zmq_version(&zmq[0], &zmq[1], &zmq[2]);
    printf("czmq %d.%d.%d\nlibzmq %d.%d.%d\n", czmq[0], czmq[1], czmq[2], zmq[0], zmq[1], zmq[2]);
}
