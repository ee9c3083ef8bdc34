/* SPDX-License-Identifier: MIT */
/*
 * The kinds of values of configuration keys that more than one section has, and what they are made of.
 * Private to config/.
 */
#ifndef CONFIG_TYPE_H
#define CONFIG_TYPE_H

#include "config/schema.h"

enum { DAY = 24 * 3600 * 1000, HOUR = 3600 * 1000 };
#define MB	((int64_t)1 << 20)
#define TB	((int64_t)1 << 40)

enum { TYPE_PLAIN_MAX = 8 * 1024 };	/* bytes of a line, a field, a name or a path */

/* Into msec, uint64_t, unsigned, unsigned thousandths, bool. */
extern const struct type type_msec, type_size, type_number, type_weight, type_bool;
/* Words: into bool, unsigned; unsigned that is printed as number. */
extern const struct type type_switch, type_enum, type_status;
/* Texts, into struct str: any; one that may stand in a line; and of a special form. */
extern const struct type type_text, type_plain, type_method, type_host;
/* Into struct template, struct address (a port alone: of every interface, or of loopback), struct
 * network. */
extern const struct type type_template, type_listen, type_listen_local, type_network;
/* Lists, into struct array, of row->element; a single value is a list of one. */
extern const struct type type_list;
/* Mappings by row->rows, at row->offset: one below a key, one that is an element. */
extern const struct type type_section, type_map;
/* Into struct status_set; stale may be "updating" too. */
extern const struct type type_set, type_stale;

extern const struct row network_element;

/* parse and print of those, for types that read or print a little more. */
bool type_parse_msec(struct reading *, const struct row *, const struct node *, void *base);
bool type_parse_size(struct reading *, const struct row *, const struct node *, void *base);
bool type_parse_text(struct reading *, const struct row *, const struct node *, void *base);
bool type_parse_plain(struct reading *, const struct row *, const struct node *, void *base);
bool type_parse_list(struct reading *, const struct row *, const struct node *, void *base);
bool type_parse_section(struct reading *, const struct row *, const struct node *, void *base);
void type_print_text(FILE *, int indent, const struct row *, const void *base);
void type_print_list(FILE *, int indent, const struct row *, const void *base);
void type_print_section(FILE *, int indent, const struct row *, const void *base);
void type_print_map(FILE *, int indent, const struct row *, const void *base);
void type_print_address(FILE *, int indent, const struct row *, const void *base);
void type_set_print(FILE *, int indent, const struct row *, const void *base);

/* What a node must be; each complains, and says false, when it is not. */
bool type_want_scalar(struct reading *, const struct node *, const char *what);
/* No byte that ends a line or a C string; nothing that is no text but a tab; not too long. */
bool type_want_line(struct reading *, const struct node *);
/* The same without tabs: what will stand in a field, a name or a path. */
bool type_want_plain(struct reading *, const struct node *);
/* RFC 9110, 5.6.2. */
bool type_is_token(struct str);
bool type_is_bool(struct str, bool *value);
/* Decimals with at most digits places, as that many tenths: no floating point, no rounding. */
bool type_parse_decimal(struct str, unsigned digits, uint64_t *out);
void type_print_decimal(FILE *, unsigned value, unsigned one);
/* Durations and sizes in the largest unit that fits exactly. */
void type_format_msec(char *buf, size_t size, int64_t);
void type_format_size(char *buf, size_t size, int64_t);

/* The value of the word, after a complaint false; the word of a value that is among them. */
bool type_find_word(struct reading *, const struct word *, const struct node *, int *value);
const char *type_word_of(const struct word *, int value);

/* A text with $variables; out is filled unless it complains. */
bool type_compile(struct reading *, const struct node *, struct template *out);
void type_print_template(FILE *, const struct template *);


/* What tells requests apart, "client_ip" or "header:NAME"; words say what is possible. */
bool type_key_take(struct reading *, const struct node *, const struct word *, struct key_conf *);
void type_key_print(FILE *, const struct word *, const struct key_conf *);

#endif
