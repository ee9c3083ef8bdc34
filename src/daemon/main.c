/* SPDX-License-Identifier: MIT */
/* The command: arguments in, exit code out. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ares.h>
#include <event2/event.h>
#include <llhttp.h>
#include <openssl/crypto.h>
#include <yaml.h>
#include <zlib.h>
#include <zstd.h>

#include "config/config.h"
#include "daemon/tables.h"
#include "daemon/version.h"
#include "daemon/notify.h"
#include "daemon/worker.h"
#include "net/inherit.h"

#define DEFAULT_FILE	"/etc/weir/weir.yaml"

enum { EXIT_OK = 0, EXIT_CONFIG = 1, EXIT_USAGE = 2 };

enum mode { MODE_RUN, MODE_CHECK, MODE_PRINT, MODE_REFERENCE };

static void
print_help(FILE *out)
{
	fputs("usage: weir [-c FILE]            run in the foreground\n"
	      "       weir -t [-c FILE]         check the file: every error with its place\n"
	      "       weir -T [-c FILE]         print the whole effective configuration\n"
	      "       weir --listen ADDRESS --to SERVER[,SERVER...]\n"
	      "                                 run without a file\n"
	      "\n"
	      "  -c, --config FILE   configuration (" DEFAULT_FILE ")\n"
	      "  -t, --test          check and exit\n"
	      "  -T, --print         print and exit\n"
	      "      --reference     print every key with its default, bounds and meaning\n"
	      "      --listen A      8080, 127.0.0.1:8080, [::]:8080 or unix:/path\n"
	      "      --to LIST       servers, ADDRESS:PORT, separated by commas\n"
	      "      --version       weir's version and those of its libraries\n"
	      "  -h, --help          this text\n"
	      "\n"
	      "signals: HUP reload; TERM, INT finish and stop, a second one at once; USR1 reopen logs;\n"
	      "         USR2 start a new program on the same sockets\n"
	      "exit codes: 0 done, 1 configuration, 2 usage, 3 could not start\n",
	    out);
}

static void
print_version(void)
{
	printf("weir " WEIR_VERSION "\n"
	       "libevent %s\n"
	       "llhttp %d.%d.%d\n"
	       "libyaml %s\n"
	       "openssl %s\n"
	       "zlib %s\n"
	       "zstd %s\n"
	       "c-ares %s\n",
	    event_get_version(), LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR, LLHTTP_VERSION_PATCH,
	    yaml_get_version_string(), OpenSSL_version(OPENSSL_VERSION_STRING),
	    zlibVersion(), ZSTD_versionString(), ares_version(NULL));
}

static int
usage(const char *why, const char *what)
{
	fprintf(stderr, "weir: %s%s%s (weir --help tells more)\n", why, what != NULL ? ": " : "",
	    what != NULL ? what : "");
	return EXIT_USAGE;
}

/* -t and -T: the file is read, nothing is opened. */
static int
inspect(const struct source *source, enum mode mode)
{
	struct report report;
	struct config *conf;

	report_init(&report);
	conf = source_load(source, &report);
	report_print(&report, stderr);
	report_fini(&report);
	if (conf == NULL)
		return EXIT_CONFIG;
	if (mode == MODE_PRINT)
		config_print(conf, stdout);
	else
		printf("%s: configuration ok\n", source->listen != NULL ? "--listen/--to"
		    : source->path);
	config_unref(conf);
	return EXIT_OK;
}

enum { OPT_LISTEN = 256, OPT_TO, OPT_VERSION, OPT_REFERENCE };

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "test", no_argument, NULL, 't' },
	{ "print", no_argument, NULL, 'T' },
	{ "reference", optional_argument, NULL, OPT_REFERENCE },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "to", required_argument, NULL, OPT_TO },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

int
main(int argc, char **argv)
{
	struct source source = { NULL, NULL, NULL, argv };
	enum mode mode = MODE_RUN;
	const char *table = NULL;
	int c, code;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "c:tTh", options, NULL)) != -1)
		switch (c) {
		case 'c':
			source.path = optarg;
			break;
		case 't':
			mode = MODE_CHECK;
			break;
		case 'T':
			mode = MODE_PRINT;
			break;
		case OPT_REFERENCE:
			mode = MODE_REFERENCE;
			table = optarg;
			break;
		case OPT_LISTEN:
			source.listen = optarg;
			break;
		case OPT_TO:
			source.to = optarg;
			break;
		case OPT_VERSION:
			print_version();
			return EXIT_OK;
		case 'h':
			print_help(stdout);
			return EXIT_OK;
		default:
			return usage("that option is unknown or lacks its value", argv[optind - 1]);
		}
	if (optind < argc)
		return usage("there is no such command", argv[optind]);
	if ((source.listen == NULL) != (source.to == NULL))
		return usage("--listen and --to go together", NULL);
	if (source.listen != NULL && source.path != NULL)
		return usage("give either a file or --listen and --to", NULL);
	if (source.path == NULL)
		source.path = DEFAULT_FILE;
	if (mode == MODE_REFERENCE)
		return tables_print(table, stdout) ? EXIT_OK : usage("there is no such table", table);
	if (mode != MODE_RUN)
		return inspect(&source, mode);
	notify_init();
	inherit_init();
	code = worker_run(&source);
	inherit_fini();
	return code;
}
