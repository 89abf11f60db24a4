/* What msgserverd tells the service manager: sd_notify(3)'s protocol, a datagram of lines to the
 * Unix socket named by NOTIFY_SOCKET. Without that variable nothing happens. */
#ifndef MSGSERVER_MASTER_NOTIFY_H
#define MSGSERVER_MASTER_NOTIFY_H

/* `lines` like "READY=1\nSTATUS=serving". Never blocks; a failure is logged. */
void notify_service_manager(const char *lines);

#endif
