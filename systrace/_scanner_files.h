/* Calls on files that tell nothing: what parser/files.py says and explains, for the lines that the scanner reads. */

#define MOST_NUMBER 9999
#define LONGEST 4096

typedef struct {
    PyObject *python; /* the Files; NULL: nothing is left out */
    PyObject *names, *others, *threads, *on_file, *opens, *harmless, *of_system, *libraries;
    long long handled, disturbed, last_ns; /* while C reads; Python's are brought up to date between lines */
    long long known_ns;                    /* last_ns as Python had it */
} Files;

typedef struct {
    PyObject *call, *args, *tid;
    Text told;            /* what follows the result's number */
    long long fd;         /* that number; -1: none that could be a descriptor */
    long long duration;   /* -1: not known */
    int went_well;
} Call;

static int files_new(Files *files, PyObject *python) {
    if (python == Py_None)
        return 1;
    files->python = Py_NewRef(python);
    return (files->names = PyObject_GetAttrString(python, "names")) != NULL &&
           (files->others = PyObject_GetAttrString(python, "others")) != NULL &&
           (files->threads = PyObject_GetAttrString(python, "threads")) != NULL && PyDict_Check(files->threads) &&
           (files->on_file = PyObject_GetAttrString(python, "ON_FILE")) != NULL &&
           (files->opens = PyObject_GetAttrString(python, "OPENS")) != NULL &&
           (files->harmless = PyObject_GetAttrString(python, "HARMLESS")) != NULL &&
           (files->of_system = PyObject_GetAttrString(python, "OF_SYSTEM")) != NULL &&
           (files->libraries = PyObject_GetAttrString(python, "LIBRARIES")) != NULL;
}

static void files_free(Files *files) {
    PyObject *held[] = {files->python, files->names, files->others, files->threads, files->on_file, files->opens,
                        files->harmless, files->of_system, files->libraries};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        Py_XDECREF(held[i]);
}

static long long attribute(PyObject *object, const char *name) {
    PyObject *found = PyObject_GetAttrString(object, name);
    int beyond = 0;
    long long value = found == NULL ? -1 : PyLong_AsLongLongAndOverflow(found, &beyond);
    Py_XDECREF(found);
    return beyond > 0 ? LLONG_MAX : value; /* of a clock that is far off */
}

static int set_attribute(PyObject *object, const char *name, long long value) {
    PyObject *number = PyLong_FromLongLong(value);
    int done = number != NULL && PyObject_SetAttrString(object, name, number) == 0;
    Py_XDECREF(number);
    return done;
}

/* What Python knows by now, and what C does. 0 is an exception. */
static int files_from_python(Files *files) {
    if (files->python == NULL)
        return 1;
    files->handled = attribute(files->python, "handled");
    files->disturbed = attribute(files->python, "disturbed");
    files->last_ns = files->known_ns = attribute(files->python, "last_ns");
    return !PyErr_Occurred();
}

static int files_to_python(Files *files) {
    return files->python == NULL || (set_attribute(files->python, "disturbed", files->disturbed) &&
                                     (files->last_ns == files->known_ns ||
                                      set_attribute(files->python, "last_ns", files->last_ns)));
}

/* `4</srv/a>` alone or before a comma: 4. -1: it is no file, or not shown to be one. */
static long long number_of_file(Text args) {
    Text text = {args.at, digits(args.at, 4)};
    ptrdiff_t at = text.size + 1;
    if (text.size < 1 || text.size > 4 || args.at[at - 1] != '<' || args.at[at] != '/')
        return -1;
    while (at < args.size && args.at[at] != '<' && args.at[at] != '>')
        at++;
    return at < args.size && args.at[at] == '>' && (at + 1 == args.size || args.at[at + 1] == ',') ? number(text) : -1;
}

static int is_standard(Text args) {
    return args.size && args.at[0] >= '0' && args.at[0] <= '2' && (args.size == 1 || args.at[1] == '<' || args.at[1] == ',');
}

static int is_question(Text args) {
    return args.size >= 9 && (memcmp(args.at + args.size - 9, ", F_GETFL", 9) == 0 || memcmp(args.at + args.size - 9, ", F_GETFD", 9) == 0);
}

static int disturb(Files *files, long long lineno) {
    files->disturbed = lineno;
    PyDict_Clear(files->threads);
    return 0;
}

/* Whether the thread's last call of that name was another one; which now is this one. -1 is an exception. */
static int is_new(Files *files, long long lineno, const Call *call) {
    PyObject *before = PyDict_GetItemWithError(files->threads, call->tid);
    if (before == NULL) {
        if (PyErr_Occurred() || (before = PyDict_New()) == NULL)
            return -1;
        int failed = PyDict_SetItem(files->threads, call->tid, before) < 0 || PyDict_SetItem(before, call->call, call->args) < 0;
        Py_DECREF(before);
        return failed ? -1 : 0;
    }
    PyObject *args = PyDict_GetItemWithError(before, call->call);
    int same = args == NULL ? 0 : PyObject_RichCompareBool(args, call->args, Py_EQ);
    if (same < 0 || PyErr_Occurred())
        return -1;
    if (same)
        return disturb(files, lineno);
    return PyDict_SetItem(before, call->call, call->args) < 0 ? -1 : 1;
}

/* Whether a text begins (0), or ends (1), with one of these bytes objects. */
static int has_one(PyObject *affixes, Text text, int at_end) {
    for (Py_ssize_t i = 0; i < PyTuple_Size(affixes); i++) {
        PyObject *affix = PyTuple_GetItem(affixes, i);
        Py_ssize_t size = PyBytes_Size(affix);
        if (size <= text.size && memcmp(text.at + (at_end ? text.size - size : 0), PyBytes_AsString(affix), (size_t)size) == 0)
            return 1;
    }
    return 0;
}

/* Files.opens_nothing: `AT_FDCWD</srv>, "/usr/share/a", O_RDONLY...` with the result `</usr/share/a>`. */
static int opens_nothing(Files *files, Text args, Text told) {
    static const char behind[] = "\", O_RDONLY";
    const char *end = args.at + args.size, *start = memchr(args.at, '"', (size_t)args.size);
    if (start == NULL || (start != args.at && (start < args.at + 2 || memcmp(start - 2, ", ", 2) != 0)))
        return 0;
    const char *close = memchr(start + 1, '"', (size_t)(end - start - 1));
    if (close == NULL || end - close < (ptrdiff_t)sizeof behind - 1 || memcmp(close, behind, sizeof behind - 1) != 0)
        return 0;
    Text path = {start + 1, close - start - 1};
    if (!has_one(files->of_system, path, 0) || has_one(files->libraries, path, 1) || memchr(path.at, '\\', (size_t)path.size) != NULL)
        return 0;
    for (ptrdiff_t i = 0; i + 4 <= path.size; i++)
        if (memcmp(path.at + i, ".so.", 4) == 0)
            return 0;
    if (told.size < 3 || told.at[0] != '<' || told.at[1] != '/' || told.at[told.size - 1] != '>')
        return 0;
    return memchr(told.at + 1, '<', (size_t)told.size - 1) == NULL && memchr(told.at, '>', (size_t)told.size - 1) == NULL;
}

/* Files.tells_nothing: 1 of what moves a log's end, 2 of a question to fcntl, which does not. -1 is an exception. */
static int tells_nothing(Files *files, long long lineno, const Call *call) {
    Text args = {PyBytes_AsString(call->args), PyBytes_Size(call->args)};
    long long fd = call->fd;
    int opens = PySet_Contains(files->opens, call->call), asks = 0;
    if (PySet_Contains(files->on_file, call->call)) {
        asks = PyUnicode_CompareWithASCIIString(call->call, "fcntl") == 0;
        fd = number_of_file(args);
        if ((fd < 0 && !is_standard(args)) || (asks && !is_question(args)))
            return disturb(files, lineno);
        if (PyUnicode_CompareWithASCIIString(call->call, "write") == 0)
            return 0;
    } else if (!opens)
        return PySet_Contains(files->harmless, call->call) ? 0 : disturb(files, lineno);
    if (fd < 3 || fd > MOST_NUMBER || !call->went_well || call->duration < 0 || call->duration >= 1000000000 ||
        args.size > LONGEST)
        return 0;
    int fresh = is_new(files, lineno, call);
    if (fresh != 1 || files->handled < files->disturbed || !PySet_Contains(files->names, call->call))
        return fresh < 0 ? -1 : 0;
    PyObject *number = PyLong_FromLongLong(fd);
    int other = number == NULL ? -1 : PySet_Contains(files->others, number);
    Py_XDECREF(number);
    if (other != 0)
        return other < 0 ? -1 : 0;
    return opens ? opens_nothing(files, args, call->told) : 1 + asks;
}
