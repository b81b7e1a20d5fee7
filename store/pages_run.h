/* pages_run: runs of pages of 4 KiB, cut from regions of 2 MiB. The lower half of pages.h, whose
 * lock is held in all of these.
 *
 * Each region is asked of the system as one huge page. Memory of free pages can be given back to it
 * ("cold" pages); what takes these again gets fresh memory. */
#ifndef VARVE_STORE_PAGES_RUN_H
#define VARVE_STORE_PAGES_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RUN_PAGE_BYTES = 4 << 10,
    RUN_REGION_BYTES = 2 << 20,
    RUN_PAGES_MAX = RUN_REGION_BYTES / RUN_PAGE_BYTES,
};

/* 1 to RUN_PAGES_MAX pages, not initialised. Does not fail, as mem_alloc(). */
uint8_t *run_take(uint32_t pages);
/* As it was taken. `cool`: its memory goes back to the system. */
void run_put(uint8_t *run, uint32_t pages, bool cool);
/* Some pages of a run that is taken, which nobody uses: their memory goes back; it comes again with
 * run_warm(), which is to be called before they are used. */
void run_cool(uint8_t *from, uint32_t pages);
void run_warm(uint8_t *from, uint32_t pages);

/* What a page belongs to: of the run's holder. */
void run_set_owner(uint8_t *run, uint32_t pages, void *owner);
void *run_owner(const uint8_t *page);

/* Whole regions, any number of them, that are no runs. */
uint8_t *run_map(size_t bytes);
void run_unmap(uint8_t *p, size_t bytes);

/* Gives back one region that is free as a whole; false if there is none. */
bool run_trim(void);
/* Gives back the memory of all free pages of some region; false if none became fewer: no region has
 * any, or the system did not take them. */
bool run_cool_free(void);

/* What there is of address space, what of that has no memory, and what of the rest is free. */
uint64_t run_held_bytes(void);
uint64_t run_cold_bytes(void);
uint64_t run_free_bytes(void);

#endif
