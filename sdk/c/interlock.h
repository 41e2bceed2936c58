// interlock.h: policy modules in C. Include it in the one file of a module, define
// interlock_module and the rules, and compile for wasm32 without a library:
//
//   zig cc -target wasm32-freestanding -O2 -fno-builtin -nostdlib -Wl,--no-entry -Wl,-z,stack-size=8192 -s -o m.wasm m.c
//
// The contract is that of package sdk/abi. A rule reads the context with
// interlock_get and its like and writes its decision with interlock_put and its
// like. What an earlier rule of the same call patched is not shown to later ones;
// rules that come too late are skipped, as the contract has it.
#ifndef INTERLOCK_H
#define INTERLOCK_H

#include <stdbool.h>
#include <stdint.h>

// A value of the context; 0 is an absent one, from which only absent ones are read.
typedef uint32_t interlock_value;

// A rule writes what stands in its decision after "rule" and returns whether the
// proposal stands: whether its decision is ACCEPT.
typedef bool (*interlock_rule_function)(interlock_value context, interlock_value config);

struct interlock_rule {
	const char *name;
	interlock_rule_function decide;
};

// The module: its manifest as JSON, and its rules up to one without a name.
struct interlock_module {
	const char *manifest;
	const struct interlock_rule *rules;
};

extern const struct interlock_module interlock_module;

// What follows is the implementation: one file a module, so that the compiler sees
// all of it.

enum { // the kinds of value
	INTERLOCK_NULL = 1,
	INTERLOCK_BOOL,
	INTERLOCK_NUMBER,
	INTERLOCK_TEXT,
	INTERLOCK_ARRAY,
	INTERLOCK_OBJECT,
};

// A node is a value, or a key, which stands right before its value.
struct interlock_node {
	uint32_t start, end; // in the text; of a text without its quotes
	uint32_t next;       // after this value and all within it; while it is open, which one was open before
	uint8_t kind;
	bool escaped; // a text with backslashes
};

// What a call of usual size needs. One that is larger gets pages of its own.
#define INTERLOCK_INPUT (4 << 10)
#define INTERLOCK_NODES (INTERLOCK_INPUT / 2 + 4) // a text of n bytes has at most n/2 + 1 values and keys
#define INTERLOCK_OUTPUT (8 << 10)
#define INTERLOCK_DEPTH 128

static char interlock_usual_input[INTERLOCK_INPUT + 8]; // eight bytes are read at once
static struct interlock_node interlock_usual_nodes[INTERLOCK_NODES];
static char interlock_output[INTERLOCK_OUTPUT];

static char *interlock_text = interlock_usual_input;
static struct interlock_node *interlock_nodes = interlock_usual_nodes;
static uint32_t interlock_room = INTERLOCK_NODES;
static uint32_t interlock_written;
static char *interlock_large; // pages for large calls, kept for the next
static uint32_t interlock_large_size;

static inline const struct interlock_node *interlock_node_of(interlock_value v) { return &interlock_nodes[v]; }

static inline uint8_t interlock_kind(interlock_value v) { return v ? interlock_nodes[v].kind : 0; }

static inline bool interlock_is_null(interlock_value v) { return interlock_kind(v) <= INTERLOCK_NULL; }

// ---- Parsing: strict, without recursion.

static uint32_t interlock_escape_length(const char *p, const char *end) {
	if (end - p < 2) return 0;
	switch (p[1]) {
	case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
		return 2;
	case 'u':
		if (end - p < 6) return 0;
		for (int i = 2; i < 6; i++) {
			char c = p[i], lower = c | 0x20;
			if (!((c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'f'))) return 0;
		}
		return 6;
	}
	return 0;
}

// The length of a rune of more than one byte, 0 for what is none.
static uint32_t interlock_rune_length(const char *text, const char *end) {
	const uint8_t *p = (const uint8_t *)text;
	uint32_t n = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
	if (n == 0 || (uint32_t)(end - text) < n) return 0;
	for (uint32_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80) return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) return 0;
	return n;
}

// Where the next byte is that does not stand for itself in a string, eight looked
// at at once: what lies behind the text is ours too.
static inline const char *interlock_plain(const char *p) {
	const uint64_t ones = 0x0101010101010101, tops = ones << 7;
	for (;;) {
		uint64_t w;
		__builtin_memcpy(&w, p, 8);
		uint64_t odd = ((w - ones * 0x20) | ((w ^ ones * '"') - ones) | ((w ^ ones * '\\') - ones) | w) & tops;
		if (odd) return p + (__builtin_ctzll(odd) >> 3);
		p += 8;
	}
}

static inline const char *interlock_space(const char *p) {
	while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') p++;
	return p;
}

static const char *interlock_digits(const char *p) {
	while (*p >= '0' && *p <= '9') p++;
	return p;
}

static const char *interlock_number_end(const char *p) {
	if (*p == '-') p++;
	const char *whole = p;
	p = interlock_digits(p);
	if (p == whole || (*whole == '0' && p > whole + 1)) return 0;
	if (*p == '.') {
		const char *fraction = ++p;
		if ((p = interlock_digits(p)) == fraction) return 0;
	}
	if ((*p | 0x20) == 'e') {
		p++;
		if (*p == '+' || *p == '-') p++;
		const char *exponent = p;
		if ((p = interlock_digits(p)) == exponent) return 0;
	}
	return p;
}

// The end of the string that starts after p, 0 for none.
static inline const char *interlock_string_end(const char *p, const char *end, bool *escaped) {
	for (p = interlock_plain(p + 1); *p != '"'; p = interlock_plain(p)) {
		if (p >= end) return 0;
		uint32_t n = *p == '\\' ? interlock_escape_length(p, end) : interlock_rune_length(p, end);
		if (n == 0) return 0;
		*escaped = *escaped || *p == '\\';
		p += n;
	}
	return p < end ? p : 0;
}

static inline bool interlock_word(const char *p, const char *word, uint32_t size) {
	for (uint32_t i = 0; i < size; i++)
		if (p[i] != word[i]) return false;
	return true;
}

// Makes nodes of the text; false if it is no JSON. Zeros follow it, so that no
// reading goes past them. Node 0 is nobody's.
static bool interlock_parse(uint32_t size) {
	const char *text = interlock_text, *p = text, *end = text + size;
	struct interlock_node *nodes = interlock_nodes;
	uint32_t count = 1, open = 0, depth = 0;
	bool want_key = false;
	for (;;) {
		p = interlock_space(p);
		if (p >= end || count + 1 >= interlock_room) return false;
		struct interlock_node *n = &nodes[count];
		if (want_key) {
			bool escaped = false;
			const char *close = *p == '"' ? interlock_string_end(p, end, &escaped) : 0;
			if (!close) return false;
			*n = (struct interlock_node){p + 1 - text, close - text, ++count, INTERLOCK_TEXT, escaped};
			p = interlock_space(close + 1);
			if (*p != ':') return false;
			p = interlock_space(p + 1);
			n++;
		}
		uint32_t start = p - text;
		switch (*p) {
		case '"': {
			bool escaped = false;
			const char *close = interlock_string_end(p, end, &escaped);
			if (!close) return false;
			*n = (struct interlock_node){start + 1, close - text, ++count, INTERLOCK_TEXT, escaped};
			p = close + 1;
			break;
		}
		case '{':
		case '[': {
			bool object = *p == '{';
			if (depth++ == INTERLOCK_DEPTH) return false;
			*n = (struct interlock_node){start, start, open, object ? INTERLOCK_OBJECT : INTERLOCK_ARRAY, false};
			open = count++;
			p = interlock_space(p + 1);
			want_key = object;
			if (*p != (object ? '}' : ']')) continue;
			break;
		}
		case 'n':
			if (!interlock_word(p, "null", 4)) return false;
			p += 4;
			*n = (struct interlock_node){start, p - text, ++count, INTERLOCK_NULL, false};
			break;
		case 't':
		case 'f': {
			bool yes = *p == 't';
			if (!interlock_word(p, yes ? "true" : "false", yes ? 4 : 5)) return false;
			p += yes ? 4 : 5;
			*n = (struct interlock_node){start, p - text, ++count, INTERLOCK_BOOL, false};
			break;
		}
		default:
			p = interlock_number_end(p);
			if (!p) return false;
			*n = (struct interlock_node){start, p - text, ++count, INTERLOCK_NUMBER, false};
		}
		for (;;) { // what follows a value
			if (open == 0) return interlock_space(p) == end;
			struct interlock_node *o = &nodes[open];
			p = interlock_space(p);
			if (*p == ',') {
				p++;
				want_key = o->kind == INTERLOCK_OBJECT;
				break;
			}
			if (*p != (o->kind == INTERLOCK_OBJECT ? '}' : ']')) return false;
			p++;
			depth--;
			uint32_t before = o->next;
			o->end = p - text;
			o->next = count;
			open = before;
		}
	}
}

// ---- Reading

// Up to size bytes of a text, escapes undone; returns how many there are, or -1 if
// they are more, or if v is no text.
static int interlock_read_text(interlock_value v, char *to, int size) {
	if (interlock_kind(v) != INTERLOCK_TEXT) return -1;
	const char *p = interlock_text + interlock_nodes[v].start, *end = interlock_text + interlock_nodes[v].end;
	int n = 0;
	while (p < end) {
		if (n + 4 > size) return -1;
		if (*p != '\\') {
			to[n++] = *p++;
			continue;
		}
		char c = p[1];
		p += 2;
		if (c != 'u') {
			to[n++] = c == 'b' ? '\b' : c == 'f' ? '\f' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
			continue;
		}
		uint32_t units[2] = {0, 0};
		int used = 0;
		for (int u = 0; u < 2 && (u == 0 || (end - p >= 6 && p[0] == '\\' && p[1] == 'u')); u++) {
			const char *digits = u == 0 ? p : p + 2;
			for (int i = 0; i < 4; i++) {
				char d = digits[i];
				units[u] = units[u] << 4 | (uint32_t)(d <= '9' ? d - '0' : (d | 0x20) - 'a' + 10);
			}
			used = u + 1;
			if (units[0] < 0xd800 || units[0] > 0xdbff) break;
		}
		p += 4;
		uint32_t rune = units[0];
		if (rune >= 0xd800 && rune <= 0xdfff) {
			bool pair = used == 2 && rune <= 0xdbff && units[1] >= 0xdc00 && units[1] <= 0xdfff;
			rune = pair ? 0x10000 + ((rune - 0xd800) << 10) + (units[1] - 0xdc00) : 0xfffd;
			p += pair ? 6 : 0;
		}
		if (rune < 0x80) {
			to[n++] = (char)rune;
		} else if (rune < 0x800) {
			to[n++] = (char)(0xc0 | rune >> 6);
			to[n++] = (char)(0x80 | (rune & 0x3f));
		} else if (rune < 0x10000) {
			to[n++] = (char)(0xe0 | rune >> 12);
			to[n++] = (char)(0x80 | (rune >> 6 & 0x3f));
			to[n++] = (char)(0x80 | (rune & 0x3f));
		} else {
			to[n++] = (char)(0xf0 | rune >> 18);
			to[n++] = (char)(0x80 | (rune >> 12 & 0x3f));
			to[n++] = (char)(0x80 | (rune >> 6 & 0x3f));
			to[n++] = (char)(0x80 | (rune & 0x3f));
		}
	}
	return n;
}

static inline bool interlock_same(const char *a, uint32_t size, const char *s) {
	for (uint32_t i = 0; i < size; i++)
		if (s[i] == 0 || a[i] != s[i]) return false;
	return s[size] == 0;
}

// Whether v is the text s, of at most 255 bytes.
static inline bool interlock_is(interlock_value v, const char *s) {
	if (interlock_kind(v) != INTERLOCK_TEXT) return false;
	const struct interlock_node *n = interlock_node_of(v);
	if (!n->escaped) return interlock_same(interlock_text + n->start, n->end - n->start, s);
	char plain[260];
	int size = interlock_read_text(v, plain, sizeof plain);
	return size >= 0 && interlock_same(plain, (uint32_t)size, s);
}

// The member of an object: the first of that key.
static interlock_value interlock_get(interlock_value v, const char *key) {
	if (interlock_kind(v) != INTERLOCK_OBJECT) return 0;
	uint32_t end = interlock_nodes[v].next;
	for (uint32_t i = v + 1; i < end; i = interlock_nodes[i + 1].next)
		if (interlock_is(i, key)) return i + 1;
	return 0;
}

// The first element of an array, and the one after an element.
static interlock_value interlock_first(interlock_value v) {
	return interlock_kind(v) == INTERLOCK_ARRAY && interlock_nodes[v].next > v + 1 ? v + 1 : 0;
}

static interlock_value interlock_next(interlock_value array, interlock_value element) {
	uint32_t next = interlock_nodes[element].next;
	return next < interlock_nodes[array].next ? next : 0;
}

static double interlock_scaled(double x, int exponent) {
	for (; exponent > 0 && x != 0 && x < 1e300; exponent--) x *= 10;
	for (; exponent < 0 && x > 1e-300; exponent++) x /= 10;
	return x;
}

// A number, close to it: false for what is none.
static bool interlock_float(interlock_value v, double *x) {
	if (interlock_kind(v) != INTERLOCK_NUMBER) return false;
	const char *p = interlock_text + interlock_nodes[v].start, *end = interlock_text + interlock_nodes[v].end;
	bool negative = *p == '-';
	double sum = 0;
	int scale = 0, exponent = 0;
	for (p += negative; p < end && *p >= '0' && *p <= '9'; p++) sum = sum * 10 + (*p - '0');
	if (p < end && *p == '.')
		for (p++; p < end && *p >= '0' && *p <= '9'; p++, scale--) sum = sum * 10 + (*p - '0');
	if (p < end) {
		bool down = p[1] == '-';
		for (p += 1 + (p[1] == '-' || p[1] == '+'); p < end && exponent < 10000; p++) exponent = exponent * 10 + (*p - '0');
		if (down) exponent = -exponent;
	}
	sum = interlock_scaled(sum, scale + exponent);
	*x = negative ? -sum : sum;
	return true;
}

// A number that is whole; what does not fit is the bound.
static bool interlock_int(interlock_value v, int32_t *n) {
	double x;
	if (!interlock_float(v, &x)) return false;
	double bounded = x < INT32_MIN ? INT32_MIN : x > INT32_MAX ? INT32_MAX : x;
	*n = (int32_t)bounded;
	return bounded != x || *n == x;
}

// A time in microseconds since 1970: "2026-11-23T18:00:00.000000Z".
static bool interlock_time(interlock_value v, int64_t *us) {
	char s[40];
	if (interlock_read_text(v, s, sizeof s) != 27) return false;
	const char *form = "0000-00-00T00:00:00.000000Z";
	for (int i = 0; i < 27; i++)
		if (form[i] == '0' ? s[i] < '0' || s[i] > '9' : s[i] != form[i]) return false;
#define INTERLOCK_2(i) (int64_t)((s[i] - '0') * 10 + s[i + 1] - '0')
	int64_t y = INTERLOCK_2(0) * 100 + INTERLOCK_2(2), m = INTERLOCK_2(5), d = INTERLOCK_2(8);
	int64_t seconds = (INTERLOCK_2(11) * 60 + INTERLOCK_2(14)) * 60 + INTERLOCK_2(17);
	int64_t micros = (INTERLOCK_2(20) * 100 + INTERLOCK_2(22)) * 100 + INTERLOCK_2(24);
#undef INTERLOCK_2
	if (y < 1 || m < 1 || m > 12 || d < 1 || d > 31) return false;
	if (m < 3) y--, m += 12; // years from March on
	int64_t days = y * 365 + y / 4 - y / 100 + y / 400 + (153 * (m - 3) + 2) / 5 + d - 1 - 719468;
	*us = (days * 86400 + seconds) * 1000000 + micros;
	return true;
}

// The time so many seconds later, within the years 0001 to 9999.
static int64_t interlock_later(int64_t us, double seconds) {
	const int64_t first = -62135596800000000, last = 253402300799999999;
	double by = seconds * 1e6;
	if (!(by > (double)(first - us))) return first;
	if (by > (double)(last - us)) return last;
	return us + (int64_t)(by < 0 ? by - 0.5 : by + 0.5);
}

// ---- Writing: what does not fit any more makes the call an error.

static inline void interlock_put_bytes(const char *p, uint32_t size) {
	if (size > INTERLOCK_OUTPUT - interlock_written) {
		interlock_written = INTERLOCK_OUTPUT;
		return;
	}
	char *to = interlock_output + interlock_written;
	interlock_written += size;
	for (; size >= 8; size -= 8, p += 8, to += 8) __builtin_memcpy(to, p, 8);
	for (; size > 0; size--) *to++ = *p++;
}

static inline uint32_t interlock_length(const char *s) {
	uint32_t n = 0;
	while (s[n]) n++;
	return n;
}

static inline void interlock_put(const char *s) { interlock_put_bytes(s, interlock_length(s)); }

// A value as the context has it, null for an absent one.
static void interlock_put_value(interlock_value v) {
	if (v == 0) {
		interlock_put("null");
		return;
	}
	const struct interlock_node *n = interlock_node_of(v);
	uint32_t quote = n->kind == INTERLOCK_TEXT;
	interlock_put_bytes(interlock_text + n->start - quote, n->end - n->start + 2 * quote);
}

static char *interlock_digits_of(char *p, int64_t n, int width) {
	for (int i = width - 1; i >= 0; i--, n /= 10) p[i] = (char)('0' + n % 10);
	return p + width;
}

// A time with its quotes.
static void interlock_put_time(int64_t us) {
	us += 62162035200000000; // since 0000-03-01
	int64_t days = us / 86400000000, second = us / 1000000 % 86400;
	int64_t y = days / 146097 * 400, n;
	days %= 146097;
	n = (days - days / 1460 + days / 36524 - days / 146096) / 365;
	days -= n * 365 + n / 4 - n / 100;
	int64_t m = (5 * days + 2) / 153, d = days - (153 * m + 2) / 5 + 1;
	y += n, m += 3;
	if (m > 12) y++, m -= 12;
	char s[29], *p = s;
	*p++ = '"';
	p = interlock_digits_of(p, y, 4), *p++ = '-';
	p = interlock_digits_of(p, m, 2), *p++ = '-';
	p = interlock_digits_of(p, d, 2), *p++ = 'T';
	p = interlock_digits_of(p, second / 3600, 2), *p++ = ':';
	p = interlock_digits_of(p, second / 60 % 60, 2), *p++ = ':';
	p = interlock_digits_of(p, second % 60, 2), *p++ = '.';
	p = interlock_digits_of(p, us % 1000000, 6), *p++ = 'Z';
	*p++ = '"';
	interlock_put_bytes(s, (uint32_t)(p - s));
}

// ---- The exports

#define INTERLOCK_EXPORT(name) __attribute__((export_name(#name), used))

static uint64_t interlock_packed(const char *p, uint32_t size) { return (uint64_t)(uintptr_t)p << 32 | size; }

INTERLOCK_EXPORT(interlock_abi) int32_t interlock_export_abi(void) { return 1; }

INTERLOCK_EXPORT(interlock_manifest) uint64_t interlock_export_manifest(void) {
	return interlock_packed(interlock_module.manifest, interlock_length(interlock_module.manifest));
}

INTERLOCK_EXPORT(interlock_alloc) char *interlock_export_alloc(uint32_t size) {
	interlock_text = interlock_usual_input;
	interlock_nodes = interlock_usual_nodes;
	interlock_room = INTERLOCK_NODES;
	if (size <= INTERLOCK_INPUT) return interlock_text;
	uint32_t room = size / 2 + 4, aligned = (size + 8 + 15) & ~15u;
	uint32_t wanted = aligned + room * (uint32_t)sizeof(struct interlock_node);
	if (size > 64 << 20) return 0;
	if (wanted > interlock_large_size) {
		uint32_t pages = (wanted + 0xffff) >> 16, at = (uint32_t)__builtin_wasm_memory_grow(0, pages);
		if (at == UINT32_MAX) return 0;
		interlock_large = (char *)(at << 16);
		interlock_large_size = pages << 16;
	}
	interlock_text = interlock_large;
	interlock_nodes = (struct interlock_node *)(void *)(interlock_large + aligned);
	interlock_room = room;
	return interlock_text;
}

static const char *interlock_decide(uint32_t size) {
	for (int i = 0; i < 8; i++) interlock_text[size + (uint32_t)i] = 0;
	if (!interlock_parse(size)) return "the context is not JSON";
	const interlock_value context = 1;
	int32_t version;
	if (!interlock_int(interlock_get(context, "abi"), &version) || version != 1) return "the context's abi is not 1";
	interlock_value rules = interlock_get(context, "rules");
	interlock_value transition = interlock_get(context, "transition");
	if (interlock_kind(rules) != INTERLOCK_ARRAY || interlock_kind(transition) != INTERLOCK_OBJECT) return "the context lacks rules or a transition";
	bool stands = true;
	for (interlock_value asked = interlock_first(rules); asked; asked = interlock_next(rules, asked)) {
		interlock_value name = interlock_get(asked, "name");
		const struct interlock_rule *rule = interlock_module.rules;
		while (rule->name && !interlock_is(name, rule->name)) rule++;
		if (!rule->name) return "this module has no such rule";
		uint32_t before = interlock_written;
		interlock_put(interlock_output[before - 1] == '[' ? "{\"rule\":\"" : ",{\"rule\":\"");
		interlock_put(rule->name);
		interlock_put("\"");
		if (stands) {
			stands = rule->decide(context, interlock_get(asked, "config"));
		} else {
			interlock_put(",\"decision\":\"SKIPPED\"");
		}
		interlock_put("}");
		if (interlock_written > INTERLOCK_OUTPUT - 100) { // room for the end
			interlock_written = before;
			return "the decisions are too large";
		}
	}
	return 0;
}

INTERLOCK_EXPORT(interlock_evaluate) uint64_t interlock_export_evaluate(const char *at, uint32_t size) {
	interlock_written = 0;
	interlock_put("{\"decisions\":[");
	const char *failure = at == interlock_text ? interlock_decide(size) : "the input does not stand where interlock_alloc put it";
	interlock_put("]");
	if (failure) {
		interlock_put(",\"error\":\"");
		interlock_put(failure);
		interlock_put("\"");
	}
	interlock_put("}");
	return interlock_packed(interlock_output, interlock_written);
}

#endif
