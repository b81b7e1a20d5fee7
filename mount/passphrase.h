/* passphrase: where a passphrase comes from: a file, a command, the terminal without echo, or a
 * line of standard input; never an argument, which every process can see. */
#ifndef VARVE_MOUNT_PASSPHRASE_H
#define VARVE_MOUNT_PASSPHRASE_H

#include "fs/fs.h"
#include "mount/cmd.h"

/* Borrowed strings; both NULL: the terminal, or standard input if that is none. */
struct passphrase_source {
    const char *file;    /* its first line; "-" is standard input */
    const char *command; /* of sh(1); the first line that it prints */
};

/* For the options of a command: `case`s for CMD_PASSFILE and CMD_EXTPASS are passphrase_option()'s.
 */
enum { CMD_PASSFILE = CMD_OPTION + 100, CMD_EXTPASS };
#define CMD_PASSPHRASE                                   \
    {"passfile", required_argument, NULL, CMD_PASSFILE}, \
    {                                                    \
        "extpass", required_argument, NULL, CMD_EXTPASS  \
    }
#define CMD_PASSPHRASE_HELP                                                                     \
    "  --passfile=FILE       the passphrase is the first line of FILE (-: of standard input)\n" \
    "  --extpass=COMMAND     ... the first line that COMMAND prints\n"
/* Takes the option if it is one of these. */
void passphrase_option(struct passphrase_source *source, int option, const char *value);

/* A passphrase in locked memory, kept out of core dumps. Zero-initialised: none. */
struct passphrase {
    uint8_t *bytes; /* STORE_SECRET_MAX */
    size_t len;
    struct store_secret secret; /* gives it; to be passed on while this struct stays where it is */
};
void passphrase_wipe(struct passphrase *p);

/* Reads one; at a terminal it is asked for as `what` ("Passphrase for /vault"), twice if `twice`.
 * 0, or an exit status after telling why. From then on the process writes no core dump. */
int passphrase_read(const struct passphrase_source *source, const char *what, bool twice,
                    struct passphrase *p);
/* The passphrase of a volume, if it is encrypted; otherwise none, and the volume is to be refused
 * if a source was given. 0, or an exit status after telling why. */
int passphrase_of_volume(const struct passphrase_source *source, const char *volume,
                         struct passphrase *p);
/* Can one be had without waiting for somebody who is not there? */
bool passphrase_is_at_hand(const struct passphrase_source *source);

#endif
