/* SPDX-License-Identifier: MIT */
/* Text for manual pages.  Lines that mandoc -T lint has nothing to say about. */
#include "base/mdoc.h"

#include <stdbool.h>
#include <string.h>

enum { WIDTH = 78, LONG = 40 };

/* A word, with what roff would read otherwise escaped. */
static size_t
put_word(FILE *out, struct str word, bool first)
{
	size_t i, width = 0;

	if (first && (word.p[0] == '.' || word.p[0] == '\''))
		width += (size_t)fprintf(out, "\\&");
	for (i = 0; i < word.len; i++)
		if (word.p[i] == '\\')
			width += (size_t)fprintf(out, "\\e");
		else if (word.p[i] == '-' && i > 0)
			width += (size_t)fprintf(out, "\\-");
		else {
			fputc(word.p[i], out);
			width++;
			/* Where a long one may be broken. */
			if (word.p[i] == ':' && word.len > LONG)
				width += (size_t)fprintf(out, "\\:");
		}
	return width;
}

void
mdoc_text(FILE *out, struct str text)
{
	bool ended = false;
	size_t width = 0;

	while (text.len > 0) {
		ptrdiff_t space = str_find(text, ' ');
		struct str word = space < 0 ? text : str_first(text, (size_t)space);

		text = str_from(text, word.len + 1);
		if (word.len == 0)
			continue;
		if (width > 0 && (ended || width + 1 + word.len > WIDTH)) {
			fputc('\n', out);
			width = 0;
		} else if (width > 0) {
			fputc(' ', out);
			width++;
		}
		width += put_word(out, word, width == 0);
		ended = word.p[word.len - 1] == '.';
	}
	if (width > 0)
		fputc('\n', out);
}

/* A word of the language, not of a file: letters only. */
static bool
begins_plain(struct str s)
{
	size_t i;

	for (i = 0; i < s.len && s.p[i] != ' '; i++)
		if (s.p[i] < 'a' || s.p[i] > 'z')
			return false;
	return i < s.len;
}

void
mdoc_sentence(FILE *out, struct str text)
{
	char line[1024];
	int n;

	if (text.len == 0)
		return;
	n = snprintf(line, sizeof(line), "%.*s%s", STR_ARG(text), str_ends(text, STR(".")) ? "" : ".");
	if (begins_plain(text))
		line[0] = (char)(line[0] & ~0x20);
	mdoc_text(out, str_make(line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1));
}

void
mdoc_item(FILE *out, const char *name, const char *help)
{
	fprintf(out, ".It Ic %s\n", name);
	mdoc_sentence(out, str_of(help));
}
