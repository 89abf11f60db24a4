/* Writing YAML: values in the flow style, so that they fit on one line and any parser reads them.
 */
#ifndef MSGSERVER_MASTER_CONFIG_YAML_TEXT_H
#define MSGSERVER_MASTER_CONFIG_YAML_TEXT_H

#include <jansson.h>

#include "base/buffer.h"

/* Append in double quotes, everything but printable ASCII escaped; and a JSON value. Return 0, or
 * -1 with errno ENOMEM. */
int yaml_text_string(struct buffer *out, struct slice utf8);
int yaml_text_json(struct buffer *out, const json_t *value);

#endif
