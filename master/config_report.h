/* What the running server says about its configuration files. */
#ifndef MSGSERVER_MASTER_CONFIG_REPORT_H
#define MSGSERVER_MASTER_CONFIG_REPORT_H

#include "master/config/config.h"

/* One log line for each, with file, line and column. */
void config_report_diagnostics(const struct diagnostics *diagnostics);

/* Reads and checks the files again, and logs every mistake, or each key whose value differs from
 * the running one: a restart is needed for those. Changes nothing. */
void config_report_changes(const struct config_source *source, const struct settings *running);

#endif
