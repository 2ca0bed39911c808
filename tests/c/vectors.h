/* vectors.h - a row of tests/vectors turned into arguments, specs, bytes
 *
 * The form is described in tests/vectors/README.md. Used by vector_*.c.
 */
#ifndef XT_VECTORS_H
#define XT_VECTORS_H

#include "fixture.h"

/* What a row's placeholders stand for; made on first use. */
struct xt_places {
    char *dir; /* NULL until {dir} is used */
};
void xt_places_dispose(struct xt_places *places);

struct xt_bytes {
    char *data; /* followed by a NUL */
    size_t length;
};

/* The column as bytes: unescaped, placeholders replaced. free() the data. */
struct xt_bytes xt_text(struct xt_places *places, const char *column);

/* A spec out of the columns settings and verbs, with what it points to. */
struct xt_made_spec {
    libxl_childproc_spec spec;
    const char **argv;
    const char **env;
    libxl_childproc_fd fds[16];
    libxl_childproc_rlimit rlimits[16];
    gid_t groups[16];
    sigset_t sigmask, sigignore;
    char *kept[64]; /* texts to free */
    int nkept;
};
void xt_make_spec(struct xt_made_spec *made, struct xt_places *places,
                  const char *settings, const char *verbs);
void xt_made_spec_dispose(struct xt_made_spec *made);

int xt_signal(const char *text); /* a name or a number */
int xt_errno(const char *name);
libxl_kill_scope xt_scope(const char *text);

/* The row's kind and value against a result. */
void xt_ended(const libxl_childproc_result *r, const char *kind,
              const char *value);

/* Skips the case unless it is root where the row needs that; gives root up
 * where it needs an ordinary user. */
void xt_needs(const char *needs);

#endif
