/* Runs a fuzz target over its corpus, without a fuzzer: $FUZZ_CORPUS/<target>/ and the files named
 * on the command line. Each file is one TAP line. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int tests;

static void replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        printf("not ok %d - %s cannot be read\n", ++tests, path);
        return;
    }
    size_t size = 0, room = 4096;
    uint8_t *data = malloc(room);
    size_t got;
    while (data && (got = fread(data + size, 1, room - size, file)) > 0) {
        size += got;
        if (size == room)
            data = realloc(data, room *= 2);
    }
    fclose(file);
    if (!data)
        abort();
    /* An exact copy, so that a sanitizer sees the first byte read past the end. */
    uint8_t *exact = malloc(size ? size : 1);
    memcpy(exact, data, size);
    free(data);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    printf("ok %d - %s\n", ++tests, path);
}

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    const char *corpus = getenv("FUZZ_CORPUS");
    char path[4096];
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    snprintf(path, sizeof path, "%s/%s", corpus ? corpus : "t/fuzz/corpus", name);
    DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        char file[8192];
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            replay(file);
    }
    if (directory)
        closedir(directory);
    if (tests == 0)
        printf("not ok %d - no corpus in %s\n", ++tests, path);
    printf("1..%d\n", tests);
    return 0;
}
