/* The columns, the result and the duration of one line: what leader.py and calls.py match with patterns.
 *
 * All text is hostile. Each loop ends at a character that the NUL behind every bytes object is not, or at an end that it is
 * told. 0 or NULL says "not for me": Python then reads the line.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memrchr */
#endif
#include <stddef.h>
#include <string.h>

enum { PID_NONE, PID_BARE, PID_BRACKET };
enum { CLOCK_NONE, CLOCK_EPOCH, CLOCK_OF_DAY, CLOCK_UNKNOWN };
typedef struct {
    const char *at;
    ptrdiff_t size;
} Text;

typedef struct {
    Text pid, clock, fraction, name;
    const char *arguments; /* behind the parenthesis */
} Columns;

static int is_digit(char c) { return c >= '0' && c <= '9'; }
static int is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); } /* of bytes.rstrip */
static int begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '?'; }

/* How many digits, most + 1 at the most. The NUL behind the line is none. */
static ptrdiff_t digits(const char *at, ptrdiff_t most) {
    ptrdiff_t count = 0;
    while (count <= most && is_digit(at[count]))
        count++;
    return count;
}

static long long number(Text text) {
    long long value = 0;
    for (ptrdiff_t i = 0; i < text.size; i++)
        value = value * 10 + (text.at[i] - '0');
    return value;
}

static long long nanoseconds(Text fraction) {
    static const long long unit[] = {1000000000, 100000000, 10000000, 1000000, 100000, 10000, 1000, 100, 10, 1};
    return fraction.size ? number(fraction) * unit[fraction.size] : 0;
}

/* The plain patterns of leader.py. 0: this line has other columns, or none. */
static int columns_of(int pid, int clock, const char *at, Columns *found) {
    ptrdiff_t count;
    memset(found, 0, sizeof *found);
    for (count = 0; count < 8 && *at == ' '; count++)
        at++;
    if (pid == PID_BRACKET && strncmp(at, "[pid ", 5) == 0) {
        at += 5;
        while (*at == ' ')
            at++;
        count = digits(at, 8);
        if (count < 1 || count > 8 || at[count] != ']' || at[count + 1] != ' ')
            return 0;
        found->pid = (Text){at, count};
        at += count + 2;
    } else if (pid == PID_BARE) {
        count = digits(at, 8);
        if (count < 1 || count > 8 || at[count] != ' ')
            return 0;
        found->pid = (Text){at, count};
        at += count;
        while (*at == ' ')
            at++;
    }
    if (clock != CLOCK_NONE) {
        if (clock == CLOCK_EPOCH) {
            count = digits(at, 11);
            if (count < 9 || count > 11)
                return 0;
        } else {
            for (count = 0; count < 8; count++)
                if (count % 3 == 2 ? at[count] != ':' : !is_digit(at[count]))
                    return 0;
        }
        found->clock = (Text){at, count};
        at += count;
        if (*at == '.') {
            count = digits(++at, 9);
            if (count < 3 || count > 9)
                return 0;
            found->fraction = (Text){at, count};
            at += count;
        }
        if (*at++ != ' ')
            return 0;
    }
    if (!begins_name(*at))
        return 0;
    found->name.at = at;
    while (begins_name(*at) || is_digit(*at))
        at++;
    found->name.size = at - found->name.at;
    if (strncmp(at, "#64", 3) == 0)
        at += 3;
    if (*at != '(')
        return 0;
    found->arguments = at + 1;
    return 1;
}

/* " <0.000017>" at the end of a text without trailing white space: its start, and the duration; NULL: there is none. */
static const char *duration_in(const char *start, const char *end, long long *duration) {
    if (end - start < 4 || end[-1] != '>')
        return NULL;
    const char *open = memrchr(start, '<', (size_t)(end - start));
    if (open == NULL || open == start || open[-1] != ' ')
        return NULL;
    Text seconds = {open + 1, digits(open + 1, 9)}, fraction = {NULL, 0};
    if (seconds.size < 1 || seconds.size > 9)
        return NULL;
    const char *at = seconds.at + seconds.size;
    if (*at == '.') {
        fraction = (Text){at + 1, digits(at + 1, 9)};
        if (fraction.size < 1 || fraction.size > 9)
            return NULL;
        at = fraction.at + fraction.size;
    }
    if (at != end - 1)
        return NULL;
    *duration = number(seconds) * 1000000000 + nanoseconds(fraction);
    return open - 1;
}

/* Where the last " = " begins, not before `start`. */
static const char *result_mark(const char *start, const char *end) {
    const char *at = end - 1;
    while (at > start && (at = memrchr(start + 1, '=', (size_t)(at - start - 1))) != NULL)
        if (at[-1] == ' ' && at[1] == ' ' && at + 1 < end)
            return at - 1;
    return NULL;
}

/* Whether all of it is one annotation: `</etc/hosts>`. A call that was cut may end in the same way. */
static int is_note(Text text) {
    if (text.size < 2 || text.at[0] != '<' || text.at[text.size - 1] != '>')
        return 0;
    if (text.size >= 5 && memcmp(text.at + text.size - 5, " ...>", 5) == 0)
        return 0;
    for (ptrdiff_t i = 1; i + 1 < text.size; i++)
        if (text.at[i] == '>' && text.at[i + 1] == ' ')
            return 0;
    return 1;
}
