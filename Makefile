# varvefs: `make help` lists what can be made here.

ifeq ($(origin CC),default)
CC       := gcc
endif
CFLAGS   ?= $(if $(SANITIZE),-O1,-O2) -g
PREFIX   ?= /usr/local
BINDIR   ?= $(PREFIX)/bin
SBINDIR  ?= $(PREFIX)/sbin
MANDIR   ?= $(PREFIX)/share/man

# SANITIZE=address,undefined or SANITIZE=thread works with every target. WERROR=1 turns warnings into
# errors, V=1 shows the commands, JOBS is how many compilers and unit tests run at once.
SANITIZE ?=
WERROR   ?=
JOBS     ?= $(shell nproc)
FUZZ_TOTAL ?= 60
FUZZ_SEED ?= 0
FUZZ_SECONDS ?= $(shell n=$(words $(FUZZ)); echo $$(( ($(FUZZ_TOTAL) + n - 1) / (n > 0 ? n : 1) )))

comma := ,
BUILD ?= build$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
Q     := $(if $(V),,@)

# What is compiled: three layers, and what tests them ------------------------------------------------

STORE_SRC := $(wildcard store/*.c)
FS_SRC    := $(wildcard fs/*.c)
MOUNT_SRC := $(wildcard mount/*.c)
SIM_SRC   := $(filter-out tests/sim/test_%,$(wildcard tests/sim/*.c))

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
tests   = $(patsubst %.c,$(BUILD)/%,$(1))

LIBSTORE := $(BUILD)/libstore.a
LIBFS    := $(BUILD)/libfs.a
LIBSIM   := $(BUILD)/libsim.a
PROGRAM  := $(if $(wildcard mount/main.c),$(BUILD)/varvefs)
ALIASES  := mkfs.varvefs fsck.varvefs mount.varvefs mount.fuse.varvefs

# A test is linked with its own layer and what is below it, which proves that they need nothing above.
UNIT_STORE := $(call tests,$(wildcard tests/unit/store_*.c))
UNIT_FS    := $(call tests,$(wildcard tests/unit/fs_*.c))
UNIT_MOUNT := $(call tests,$(wildcard tests/unit/mount_*.c))
UNIT       := $(UNIT_STORE) $(UNIT_FS) $(UNIT_MOUNT)
# The thread sanitizer, which is slow, has nothing to find where a test starts no thread and opens no store.
WITH_THREADS := pthread|thread_start|squad|(store|fs)_open|(store_rig|vol|vol_real|vol_raw|vol_site|sliced|secret_rig|past|history|kin)\.h
UNIT_CHOSEN = $(if $(filter thread,$(SANITIZE)),$(call tests,$(shell grep -lE '$(WITH_THREADS)' tests/unit/*.c)),$(UNIT))
SIM        := $(call tests,$(wildcard tests/sim/test_*.c))
FUZZ       := $(call tests,$(wildcard tests/fuzz/fuzz_*.c))
TIDY       := $(wildcard tests/tidy/test_*)
MOUNT      := $(wildcard tests/mount/test_*.sh)

C_FILES := $(wildcard $(foreach dir,store fs mount tests/*,$(dir)/*.[ch]))
HEADERS := $(patsubst %.h,$(BUILD)/obj/%.h.ok,$(filter %.h,$(C_FILES)))

# How it is compiled ---------------------------------------------------------------------------------

# pkg-config is asked at first use, and not while this file is read: `make setup` may yet install it.
lazy = $(eval $(1) := $$(shell { $(2); } 2>/dev/null))$($(1))
STORE_PKGS   := libzstd 'libcrypto >= 3.0' libxxhash libisal
STORE_CFLAGS  = $(call lazy,STORE_CFLAGS,pkg-config --cflags $(STORE_PKGS))
STORE_LIBS    = $(call lazy,STORE_LIBS,pkg-config --libs $(STORE_PKGS))
FUSE_PKGS    := 'fuse3 >= 3.10' liburing
FUSE_CFLAGS   = $(call lazy,FUSE_CFLAGS,pkg-config --cflags-only-I $(FUSE_PKGS) | sed 's/-I */-isystem /g')
FUSE_LIBS     = $(call lazy,FUSE_LIBS,pkg-config --libs $(FUSE_PKGS))

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wredundant-decls -Wpointer-arith -Wcast-qual \
	-Wwrite-strings -Wvla -Wundef -Wformat=2 -Wimplicit-fallthrough

# Hardened as Debian's own programs are; the sanitizers do that work themselves.
HARDENING := -fstack-protector-strong \
	$(if $(filter-out -O0,$(filter -O%,$(CFLAGS))),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
SANITIZING := -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
EXTRA := $(if $(SANITIZE),$(SANITIZING) -DVARVE_SANITIZED=1,$(HARDENING))

# Assertions stay on in every build: there is no -DNDEBUG.
ALL_CFLAGS = $(CPPFLAGS) -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 $(STORE_CFLAGS) $(LAYER_CFLAGS) \
	-std=gnu11 -fPIE -pthread $(WARNINGS) $(EXTRA) $(CFLAGS)
ALL_LDFLAGS = -pie -pthread $(EXTRA) $(CFLAGS) -Wl,-z,relro,-z,now $(LDFLAGS)

# Targets --------------------------------------------------------------------------------------------

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
.PHONY: FORCE

LINKS := $(if $(PROGRAM),$(addprefix $(BUILD)/,$(ALIASES)))

.PHONY: all
all: $(LIBSTORE) $(LIBFS) $(PROGRAM) $(LINKS) ## the program, build/varvefs (the default)

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z][a-z_.-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-24s%s\n", $$1, $$2 }'
	@echo 'Variables: CC= CFLAGS= WERROR=1 SANITIZE=address,undefined|thread PREFIX= DESTDIR= V=1 SETUP=no'

.PHONY: setup
setup: ## install the packages that building takes (Debian; needs root or sudo)
	@tests/setup.sh build

# These start from a bare system: first the packages, then a second make that may rely on them.
again = +@$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))
run = @CC='$(CC)' BUILD='$(BUILD)' SANITIZE='$(SANITIZE)' VARVEFS='$(abspath $(BUILD)/varvefs)' tests/run.sh

.PHONY: demo
demo: ## set up, build, and show every feature on a real mount
	@tests/setup.sh demo
	$(again) all
	@VARVEFS='$(abspath $(BUILD)/varvefs)' tests/demo.sh

.PHONY: check
check: ## set up, build with WERROR=1, and run all the tests below
	@tests/setup.sh check
	$(again) WERROR=1 all headers tests
	$(run) -j $(JOBS) $(TIDY) $(UNIT) $(SIM) -j 1 $(MOUNT)

.PHONY: check-tidy check-unit check-sim check-mount
check-tidy: ## format, layers, headers, linkage
	@tests/setup.sh check
	$(again) WERROR=1 all headers
	$(run) -j $(JOBS) $(TIDY)

check-unit: ## one test program for each module; with SANITIZE=thread, those with several threads
	@tests/setup.sh check
	$(again) WERROR=1 $(UNIT_CHOSEN)
	$(run) -j $(JOBS) $(UNIT_CHOSEN)

check-sim: ## the store and the file system on a simulated disk that fails
	@tests/setup.sh check
	$(again) WERROR=1 $(SIM)
	$(run) -j $(JOBS) $(SIM)

check-mount: ## real programs on a real mount
	@tests/setup.sh check
	$(again) WERROR=1 all
	$(run) -j 1 $(MOUNT)

.PHONY: tests headers
tests: $(UNIT) $(SIM)
headers: $(HEADERS)

.PHONY: bench
bench: ## build/kvbench: our store beside the peers whose development files are installed
	@tests/setup.sh bench
	$(again) $(BUILD)/kvbench $(BUILD)/fsbench-ops $(BUILD)/memll

.PHONY: bench-store
bench-store: ## our store against RocksDB, LevelDB and LMDB in one run: the table of bars (half an hour)
	@tests/setup.sh bench
	$(again) $(BUILD)/kvbench
	@tests/bench/bench_store.py --kvbench $(BUILD)/kvbench $(BENCH_ARGS)

.PHONY: bench-fs
bench-fs: ## our mount beside ext4, btrfs, gocryptfs, libfuse's passthrough and a daemon that does nothing: the table of bars
	@tests/setup.sh bench
	$(again) $(BUILD)/varvefs $(BUILD)/memll
	@tests/bench/bench_fs.py --varvefs $(BUILD)/varvefs --memll $(BUILD)/memll $(BENCH_ARGS)

.PHONY: fuzz
fuzz: ## run the fuzz targets with clang, for FUZZ_TOTAL (60) seconds in all or FUZZ_SECONDS each; FUZZ_SEED=0 is random
	@tests/setup.sh ci
	$(again) BUILD=build-fuzz CC=clang SANITIZE=fuzzer-no-link,address,undefined fuzz-run

.PHONY: fuzz-run
fuzz-run: $(FUZZ)
	@failed=; for target in $(notdir $(FUZZ)); do \
		echo "== $$target, $(FUZZ_SECONDS) s"; mkdir -p $(BUILD)/corpus/$$target; \
		$(BUILD)/tests/fuzz/$$target -seed=$(FUZZ_SEED) -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=4096 \
			-print_final_stats=0 -verbosity=0 -artifact_prefix=$(BUILD)/$$target- $(BUILD)/corpus/$$target || failed="$$failed $$target"; \
	done; [ -z "$$failed" ] || { echo "fuzz: failed:$$failed"; exit 1; }

.PHONY: lint
lint: ## clang-format and cppcheck
	@tests/setup.sh ci
	clang-format --dry-run -Werror $(C_FILES)
	cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 \
		--suppress=missingIncludeSystem --suppress=memleak:store/bytes.c -j $(JOBS) -I. -D_GNU_SOURCE store fs mount

.PHONY: format
format: ## rewrite all C sources in the house format
	clang-format -i $(C_FILES)

.PHONY: install
install: all ## install under PREFIX (/usr/local), within DESTDIR
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man8
	install -m 755 $(BUILD)/varvefs $(DESTDIR)$(BINDIR)/varvefs
	for name in $(ALIASES); do ln -sfr $(DESTDIR)$(BINDIR)/varvefs $(DESTDIR)$(SBINDIR)/$$name || exit; done
	$(foreach page,$(MAN_PAGES),install -m 644 $(page) $(DESTDIR)$(call man_file,$(page)) &&) true
	@[ '$(SBINDIR)' = /sbin -o '$(SBINDIR)' = /usr/sbin ] || echo "note: mount(8) looks for" \
		"its helpers in /sbin only: for /etc/fstab, install with SBINDIR=/sbin as well"

.PHONY: uninstall
uninstall: ## remove what install has put there
	rm -f $(DESTDIR)$(BINDIR)/varvefs $(addprefix $(DESTDIR)$(SBINDIR)/,$(ALIASES)) \
		$(foreach page,$(MAN_PAGES),$(DESTDIR)$(call man_file,$(page)))

MAN_PAGES := $(wildcard docs/man/*.1 docs/man/*.8)
man_file = $(MANDIR)/man$(patsubst .%,%,$(suffix $(1)))/$(notdir $(1))

.PHONY: clean
clean: ## remove everything that was built
	rm -rf build build-* compile_commands.json

compile_commands.json: FORCE ## for clangd and other tools that want to know the flags
	@{ $(foreach src,$(filter %.c,$(C_FILES)),echo '{"directory": "$(CURDIR)", "file": "$(src)",' \
		'"command": "$(CC) $(subst ",\",$(ALL_CFLAGS)) $(FUSE_CFLAGS) -c $(src)"},';) } \
		| sed '1s/^/[/; $$s/,$$/]/' >$@

# Rules ----------------------------------------------------------------------------------------------

# What everything depends on: is the compiler there, and are these flags the ones of the last build?
$(BUILD)/flags: FORCE
	@command -v $(firstword $(CC)) >/dev/null || { echo "varvefs: no compiler '$(CC)'. $(HINT)" >&2; exit 1; }
	@command -v pkg-config >/dev/null || { echo "varvefs: no pkg-config. $(HINT)" >&2; exit 1; }
	@pkg-config --print-errors --exists $(STORE_PKGS) $(FUSE_PKGS) || { echo "varvefs: $(HINT)" >&2; exit 1; }
	@mkdir -p $(@D)
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' >$@
FLAGS = $(CC) $(ALL_CFLAGS) $(FUSE_CFLAGS) $(ALL_LDFLAGS)
HINT = Type 'make setup' to install what building takes, or see .ci/packages for the list.

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@$(if $(V),,echo '  CC    $<')
	$(Q)$(CC) $(ALL_CFLAGS) $(if $(WERROR),-Werror) -MMD -MP -c -o $@ $< 2>$@.log; status=$$?; \
		cat $@.log >&2; [ -s $@.log ] || rm -f $@.log; exit $$status

# What was compiled with warnings is compiled again once they are errors.
$(if $(WERROR),$(patsubst %.log,%,$(wildcard $(BUILD)/obj/*/*.log $(BUILD)/obj/tests/*/*.log))): FORCE

# Headers stand alone: each one is compiled with nothing before it.
$(BUILD)/obj/%.h.ok: %.h $(BUILD)/flags
	@mkdir -p $(@D)
	@$(if $(V),,echo '  HDR   $<')
	$(Q)echo '#include "$<"' | $(CC) $(ALL_CFLAGS) -Werror -MMD -MP -MF $(@:.ok=.d) -MT $@ -fsyntax-only -x c - && touch $@

$(foreach dir,mount/ tests/unit/mount_,$(BUILD)/obj/$(dir)%.o $(BUILD)/obj/$(dir)%.h.ok): private LAYER_CFLAGS = $(FUSE_CFLAGS)

# The list of members is kept beside an archive, so that a module that is gone leaves it.
$(BUILD)/%.members: FORCE
	@mkdir -p $(@D)
	@echo '$(MEMBERS)' | cmp -s - $@ || echo '$(MEMBERS)' >$@

$(BUILD)/lib%.a: $(BUILD)/lib%.members
	@$(if $(V),,echo '  AR    $@')
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(LIBSTORE): $(call objects,$(STORE_SRC))
$(LIBFS): $(call objects,$(FS_SRC))
$(LIBSIM): $(call objects,$(SIM_SRC))
$(LIBSTORE:.a=.members): MEMBERS = $(STORE_SRC)
$(LIBFS:.a=.members): MEMBERS = $(FS_SRC)
$(LIBSIM:.a=.members): MEMBERS = $(SIM_SRC)

link = @mkdir -p $(@D); $(if $(V),,echo '  LD    $@';) $(if $(V),set -x;) \
	$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^)

$(BUILD)/varvefs: $(call objects,$(MOUNT_SRC)) $(LIBFS) $(LIBSTORE)
	$(link) $(FUSE_LIBS) $(STORE_LIBS)

$(LINKS): $(BUILD)/varvefs
	@ln -sf varvefs $@

$(UNIT_STORE): $(BUILD)/%: $(BUILD)/obj/%.o $(LIBSIM) $(LIBSTORE)
	$(link) $(STORE_LIBS) -lcmocka

$(UNIT_FS) $(SIM): $(BUILD)/%: $(BUILD)/obj/%.o $(LIBSIM) $(LIBFS) $(LIBSTORE)
	$(link) $(STORE_LIBS) -lcmocka

$(UNIT_MOUNT): $(BUILD)/%: $(BUILD)/obj/%.o $(call objects,$(filter-out mount/main.c,$(MOUNT_SRC))) $(LIBSIM) $(LIBFS) $(LIBSTORE)
	$(link) $(FUSE_LIBS) $(STORE_LIBS) -lcmocka

$(FUZZ): $(BUILD)/%: $(BUILD)/obj/%.o $(LIBSIM) $(LIBFS) $(LIBSTORE)
	$(link) -fsanitize=fuzzer $(STORE_LIBS)

# Benchmarks: they know nothing of ours but the door, and keep their own, looser warnings.
BENCH_WARNINGS := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes
bench_has = $(shell printf '\043include <%s>\n' $(1) | $(CC) -E -x c - >/dev/null 2>&1 && echo $(2))
BENCH_PEERS = $(call lazy,BENCH_PEERS,echo $(call bench_has,rocksdb/c.h,rocksdb) $(call bench_has,leveldb/c.h,leveldb) \
	$(call bench_has,lmdb.h,lmdb) $(call bench_has,wiredtiger.h,wiredtiger))
BENCH_ENGINES = varve null $(BENCH_PEERS)
BENCH_CC = $(CC) -std=gnu11 -I. -pthread $(BENCH_WARNINGS) $(EXTRA) $(CFLAGS)

$(BUILD)/kvbench: tests/bench/kvbench.c $(wildcard tests/bench/drv_*.c) tests/bench/kv_driver.h $(LIBSTORE)
	@$(if $(V),,echo '  LD    $@')
	$(Q)$(BENCH_CC) '-DKV_ENGINES=$(foreach e,$(BENCH_ENGINES),X($(e)))' -D_GNU_SOURCE -o $@ $< \
		$(foreach e,$(BENCH_ENGINES),tests/bench/drv_$(e).c) $(LIBSTORE) $(BENCH_PEERS:%=-l%) $(STORE_LIBS) -lpthread -lm

$(BUILD)/fsbench-ops: tests/bench/fsbench-ops.c
	$(Q)$(BENCH_CC) -o $@ $<

$(BUILD)/memll: tests/bench/memll.c
	$(Q)$(BENCH_CC) $(FUSE_CFLAGS) -o $@ $< $(FUSE_LIBS)

-include $(wildcard $(BUILD)/obj/*/*.d $(BUILD)/obj/tests/*/*.d)
