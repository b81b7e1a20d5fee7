/* temp: a folder beside a volume that a command has for as long as it runs.
 *
 * A command that is killed cannot remove it. So there is a file beside the folder, NAME.lock, made
 * before the folder and removed after it, which the command has locked (flock(2)): who can lock the
 * file of another knows that that one is gone, and removes both. Numbers of processes tell nothing:
 * they are used again. */
#ifndef VARVE_MOUNT_TEMP_H
#define VARVE_MOUNT_TEMP_H

struct temp {
    char *path; /* of the folder, which the owner makes; NULL: there is none */
    char *lock_path;
    int lock;
};

/* Takes a name that nobody has, on the file system of `volume`, an absolute path: beside it, or in
 * it if it is one by itself. 0 or a negative errno. */
int temp_take(const char *volume, struct temp *out);
/* Removes the folder, if it was made, with the files in it. 0, or a negative errno: it is left for
 * temp_sweep(). Of an empty struct nothing. */
int temp_drop(struct temp *t);
/* Removes what those who are gone have left where `volume` has its own. What cannot be removed
 * stays for the next time. */
void temp_sweep(const char *volume);

#endif
