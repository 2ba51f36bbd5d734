/* Answers for one name as the file FAKE_DNS says: "ok" (127.0.0.1), "fail", or "slow" (fails after 3 s).
 * Preloaded, because the event loop resolves names in the C library and not in Python. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int (*resolver)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    resolver next = (resolver)dlsym(RTLD_NEXT, "getaddrinfo");
    char mode[8] = "";
    FILE *file;

    if (node == NULL || strcmp(node, "model.test") != 0)
        return next(node, service, hints, found);
    file = fopen(getenv("FAKE_DNS"), "r");
    if (file != NULL) {
        if (fscanf(file, "%7s", mode) != 1)
            mode[0] = '\0';
        fclose(file);
    }
    if (strcmp(mode, "ok") == 0)
        return next("127.0.0.1", service, hints, found);
    if (strcmp(mode, "slow") == 0)
        sleep(3);
    return EAI_AGAIN;
}
