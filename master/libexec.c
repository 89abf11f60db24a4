#include "master/libexec.h"

#include <stdlib.h>

const char *libexec_directory(void)
{
    const char *directory = getenv("MSGSERVER_LIBEXECDIR");
    return directory && *directory ? directory : PKGLIBEXECDIR;
}
