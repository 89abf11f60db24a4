#include "codecs/control_frames.h"

CONTROL_FRAMES(FRAME_DEFINE)

static const struct frame_rule RULES[FRAME_CONTROL_TYPES] = {CONTROL_FRAMES(FRAME_RULE)};

const struct frame_rule *control_frame_rule(uint16_t type)
{
    return type < FRAME_CONTROL_TYPES && RULES[type].name ? &RULES[type] : NULL;
}
