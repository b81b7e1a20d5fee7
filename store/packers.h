/* packers: how many threads compress values for writers at this moment, against how many processors
 * there are.
 *
 * Values of `direct_min` bytes and more are compressed by the threads that bring them, side by
 * side. When as many do so as there are processors, compression is what writers wait for, and those
 * who read and write have no processor left: the codec may then do with less (struct pack_how).
 *
 * The count is the process's: its stores share the processors, and a batch may outlive the store
 * that it was made for. */
#ifndef VARVE_STORE_PACKERS_H
#define VARVE_STORE_PACKERS_H

#include <stdbool.h>
#include <stdint.h>

/* This thread begins, and has to call packers_end(). True: there are as many as `processors` now,
 * and two at least. 0: that is not known, and nobody is in a hurry. */
bool packers_begin(uint32_t processors);
void packers_end(void);

#endif
