# SPDX-License-Identifier: MIT
# weir: "make help" lists the targets.

CC	?= cc
PREFIX	?= /usr/local
DESTDIR	?=
NEED	:= tests/need.sh
PYTHON	:= /usr/bin/python3

# The flavour: release (hardened), san (address + undefined), or plain for valgrind.
ifeq ($(SAN),1)
FLAVOUR	:= san
OPT	:= -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -Werror
else ifeq ($(VALGRIND),1)
FLAVOUR	:= valgrind
OPT	:= -O1 -g -fno-omit-frame-pointer
else
FLAVOUR	:= release
OPT	:= -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE -fcf-protection
LINKOPT	:= -pie -Wl,-z,relro,-z,now
endif
# Fuzz targets are clang's: every object says where it has been.  "fall through" is said in gcc's way.
ifeq ($(FUZZ),1)
FLAVOUR	:= fuzz
CC	:= clang
OPT	:= -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer \
	   -Wno-implicit-fallthrough
LINKOPT	:=
endif
FUZZ_SECONDS ?= 60
B	:= build/$(FLAVOUR)

# llhttp: Debian 13 has a library, Debian 12 the C sources (in node-llhttp).
LLHTTP_DIR	?= /usr/share/llhttp
ifeq ($(shell pkg-config --exists libllhttp 2>/dev/null && echo yes),yes)
LLHTTP_CFLAGS	:= $(shell pkg-config --cflags libllhttp)
LLHTTP_LIBS	:= $(shell pkg-config --libs libllhttp)
else
LLHTTP_CFLAGS	:= -isystem /usr/share/include/llhttp
LLHTTP_OBJ	:= $(patsubst %,$(B)/llhttp/%.o,api http llhttp)
endif

PKGS	:= libevent_core yaml-0.1 libssl libcrypto zlib libzstd libcares
WARN	:= -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual \
	   -Wpointer-arith -Wvla -Wimplicit-fallthrough
CFLAGS	?=
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -DLLHTTP_STRICT_MODE=1 -Iinclude $(WARN) $(OPT) \
	   $(LLHTTP_CFLAGS) $(shell pkg-config --cflags $(PKGS)) $(CFLAGS)
LIBS	= $(shell pkg-config --libs $(PKGS)) $(LLHTTP_LIBS) -lcrypt -lresolv -lm

SRC	:= $(wildcard src/*/*.c)
LIBOBJ	:= $(patsubst %.c,$(B)/%.o,$(filter-out src/daemon/main.c,$(SRC))) $(LLHTTP_OBJ)
FUZZERS	:= $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
UNIT	:= $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))

.PHONY: all help test test-long test-acme test-tls-grade test-systemd unit blackbox clients valgrind lint docs demo demo-stop bench \
	bench-overload bench-micro fuzz install uninstall deb clean need-% build programs

all: need-build		## build the daemon and the demo's model instance (installs what is missing)
	@$(MAKE) --no-print-directory build

help:			## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

# What is missing is installed from Debian's packages, before make looks for headers.
need-%:
	@sh $(NEED) $*

build: $(B)/weir $(B)/model

$(B)/load: bench/load/load.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE $(WARN) -O2 -g -o $@ $<

$(B)/weir: $(B)/src/daemon/main.o $(B)/libweir.a
	$(CC) $(OPT) $(LINKOPT) -o $@ $^ $(LIBS)

$(B)/libweir.a: $(LIBOBJ)
	@rm -f $@
	ar rcs $@ $^

$(B)/src/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Not our code: no warnings of ours.
$(B)/llhttp/%.o: $(LLHTTP_DIR)/%.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -DLLHTTP_STRICT_MODE=1 -w $(OPT) $(LLHTTP_CFLAGS) -c -o $@ $<

$(B)/unit/%: tests/unit/%.c $(B)/libweir.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(B)/libweir.a $(LIBS) -lcmocka

$(B)/model: $(wildcard bench/model/*.c) $(wildcard bench/model/*.h) $(wildcard bench/model/*.html)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -o $@ $(filter %.c,$^) $(LIBS)

# A fuzz target with a fuzzer, and one that is given the inputs kept.
$(B)/fuzz_%: tests/fuzz/fuzz_%.c $(B)/libweir.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -MMD -MP -o $@ $< $(B)/libweir.a $(LIBS)

$(B)/fuzz/replay_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c $(B)/libweir.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -o $@ $< tests/fuzz/replay.c $(B)/libweir.a $(LIBS)

.PHONY: fuzzers
fuzzers: $(FUZZERS:%=$(B)/%)

programs: build $(UNIT) $(B)/unit/json_lines $(FUZZERS:fuzz_%=$(B)/fuzz/replay_%)

# Real clients for the tests: the npm packages of a lock file, into build/ and nowhere else.
NPM	:= build/clients
$(NPM)/installed: tests/blackbox/k_clients/package-lock.json tests/blackbox/k_clients/package.json
	@mkdir -p $(NPM)
	@cp $^ $(NPM)
	@cd $(NPM) && npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1 || { cat npm.log; exit 1; }
	@touch $@

# Without the registry the tests that need them fail, and say so; the others run.
clients:
	@$(MAKE) --no-print-directory -s $(NPM)/installed || \
	echo "npm could not install the clients of tests/blackbox/k_clients: their tests will fail"

test: need-test		## lint, unit and black-box tests under ASan and UBSan
	@$(MAKE) --no-print-directory SAN=1 programs clients
	@$(PYTHON) tests/run.py --build build/san $(if $(T),-k $(T))

unit: need-test		## the unit tests alone
	@$(MAKE) --no-print-directory SAN=1 programs
	@$(PYTHON) tests/run.py --build build/san -k unit

blackbox: need-test	## black-box tests, T=d_reload for one folder
	@$(MAKE) --no-print-directory SAN=1 programs clients
	@$(PYTHON) tests/run.py --build build/san -k $(or $(T),blackbox)

test-long: need-test	## bodies of a gigabyte through the release build, and what memory they take
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tests/run.py --build build/release --long -j 1

# Some 15 minutes on two cores; not part of make test.
valgrind: need-valgrind	## black-box and unit tests with the daemon under memcheck, T=c_pool for a part
	@$(MAKE) --no-print-directory VALGRIND=1 programs clients
	@$(PYTHON) tests/run.py --valgrind --build build/valgrind $(if $(T),-k $(T))

test-acme: need-acme	## README's page on certificates with certbot too, against Debian's pebble
	@$(MAKE) --no-print-directory SAN=1 build
	@$(PYTHON) tests/run.py --build build/san -k g_tls/acme

test-tls-grade: need-grade	## testssl.sh against weir's defaults: nothing above LOW, grade A- or better (minutes)
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tests/tls_grade.py $(B)

# A minute or two; root, and a mirror of Debian.
test-systemd: need-systemd	## the package under a real systemd in namespaces: sandbox, sockets, reload, upgrade, removal
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tests/systemd_box.py

lint: need-test		## layers, banned functions, manual pages
	@$(MAKE) --no-print-directory SAN=1 build
	@$(PYTHON) tests/run.py --build build/san -k lint

# Written beside and moved, so that a failure leaves the old ones.
docs: need-build	## conf/reference.yaml and weir.yaml.5 from the tables of the program
	@$(MAKE) --no-print-directory $(B)/weir
	$(B)/weir --reference >conf/reference.yaml.new && mv conf/reference.yaml.new conf/reference.yaml
	awk -v weir=$(B)/weir -f src/config/manual.awk src/config/weir.yaml.5.in >src/config/weir.yaml.5.new
	mv src/config/weir.yaml.5.new src/config/weir.yaml.5

demo: need-demo		## four model instances and weir in front; Ctrl-C ends it
	@$(MAKE) -q build >/dev/null 2>&1 || echo "building weir and the model instance"
	@$(MAKE) --no-print-directory -s build
	@$(PYTHON) bench/demo.py

demo-stop:		## ends a running demo
	@$(PYTHON) bench/demo.py --stop

bench: need-bench	## weir, nginx and HAProxy side by side; S=streams for one scenario (bench/README)
	@$(MAKE) --no-print-directory build build/release/load
	@$(PYTHON) bench/compare.py $(S)

fuzz: need-fuzz		## every fuzz target for FUZZ_SECONDS (60) each; T=h1 for one
	@$(MAKE) --no-print-directory FUZZ=1 fuzzers
	@sh tests/fuzz/run.sh build/fuzz $(FUZZ_SECONDS) $(T)

bench-overload: need-bench	## more users than the instances can serve: plain proxies, and the line
	@$(MAKE) --no-print-directory build
	@$(PYTHON) bench/overload.py

MICRO	:= $(patsubst bench/%.c,$(B)/%,$(wildcard bench/micro_*.c))

bench-micro: need-build	## what single parts cost: cache keys, limits
	@$(MAKE) --no-print-directory $(MICRO)
	@for m in $(MICRO); do $$m || exit 1; done

$(B)/micro_%: bench/micro_%.c $(B)/libweir.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(B)/libweir.a $(LIBS)

SBINDIR	= $(PREFIX)/sbin
MANDIR	= $(PREFIX)/share/man
UNITDIR	= $(PREFIX)/lib/systemd/system
CONFDIR	?= /etc/weir
VERSION	= $(shell sed -n 's/^\#define WEIR_VERSION[^"]*"\(.*\)"/\1/p' include/daemon/version.h)

install: need-build	## into DESTDIR and PREFIX; a configuration that is there stays
	@$(MAKE) --no-print-directory build
	install -D -m 755 build/release/weir $(DESTDIR)$(SBINDIR)/weir
	install -D -m 644 src/daemon/weir.8 $(DESTDIR)$(MANDIR)/man8/weir.8
	install -D -m 644 src/config/weir.yaml.5 $(DESTDIR)$(MANDIR)/man5/weir.yaml.5
	install -D -m 644 conf/systemd/weir.service $(DESTDIR)$(UNITDIR)/weir.service
	sed -i 's,/usr/sbin/,$(SBINDIR)/,; s,/etc/weir/,$(CONFDIR)/,' $(DESTDIR)$(UNITDIR)/weir.service
	install -m 644 conf/systemd/weir.socket $(DESTDIR)$(UNITDIR)/weir.socket
	@test -e $(DESTDIR)$(CONFDIR)/weir.yaml || \
		{ echo 'install -D -m 644 conf/weir.yaml $(DESTDIR)$(CONFDIR)/weir.yaml'; \
		  install -D -m 644 conf/weir.yaml $(DESTDIR)$(CONFDIR)/weir.yaml; }

uninstall:		## what install put there; a configuration that was changed stays
	rm -f $(DESTDIR)$(SBINDIR)/weir $(DESTDIR)$(MANDIR)/man8/weir.8 \
		$(DESTDIR)$(MANDIR)/man5/weir.yaml.5 $(DESTDIR)$(UNITDIR)/weir.service \
		$(DESTDIR)$(UNITDIR)/weir.socket
	@if cmp -s conf/weir.yaml $(DESTDIR)$(CONFDIR)/weir.yaml; then \
		rm -f $(DESTDIR)$(CONFDIR)/weir.yaml; rmdir $(DESTDIR)$(CONFDIR) 2>/dev/null || true; \
	elif [ -e $(DESTDIR)$(CONFDIR)/weir.yaml ]; then \
		echo '$(DESTDIR)$(CONFDIR)/weir.yaml was changed and stays'; fi

deb: need-deb		## a Debian package, into build/
	@sh conf/debian/build.sh $(VERSION) build

clean:			## remove what was built
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
