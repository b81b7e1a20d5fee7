/* env_posix_map: a file's bytes as memory that the kernel keeps, for small writes without a system
 * call. For env_posix_file.c only. */
#ifndef VARVE_STORE_ENV_POSIX_MAP_H
#define VARVE_STORE_ENV_POSIX_MAP_H

#include <stddef.h>
#include <stdint.h>

/* Gives the file behind `fd`, open for reading and writing, `size` bytes with space of their own
 * (new ones are zeros; if it has that size already it stays as it is) and maps them. 0, or a
 * negative errno. */
int posix_map_file(int fd, size_t size, uint8_t **map);
/* `map` NULL is fine. */
void posix_unmap(uint8_t *map, size_t size);
/* Copies into a mapping. -EIO when the file behind it cannot take it (it was cut short, or the disk
 * fails), where a plain copy would end the process by SIGBUS. */
int posix_map_write(uint8_t *to, const void *data, size_t len);

#endif
