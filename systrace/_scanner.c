/* The hot loop of systrace.parser.records in C: complete calls on one line become Records, calls that nobody asked for are
 * counted, and every other line goes back to the Python loop, which is the reference: what it would make of a line is what
 * is made here, or the line is handed over.
 *
 * What it does not make, it borrows: results, names of calls, seconds and threads are asked for in Python, and remembered.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <structmember.h>
#include <limits.h>
#include <stdint.h>
#include "_scanner_text.h"
#include "_scanner_files.h"

enum { SOURCE, LINENO, TID, TIME, DURATION, SYSCALL, ARGS, RETVAL, ERRNO, OUTCOME, RAW, RESULT_TEXT, FIELDS };

#define BATCH_BYTES (1 << 20) /* of arguments: `-s 1000000` makes lines of a megabyte */
#define LONG 700              /* of irregular.py: a longer line loses its middle as evidence */
#define HEAD 460
#define TAIL 200

/* A small cache: text -> object, each place for the last text that came to it. */
#define PLACES 256
#define WIDEST 110
typedef struct {
    uint8_t size;
    char text[WIDEST];
    PyObject *value;
} Place;

typedef struct {
    PyObject_HEAD
    PyObject *lines, *keep, *known_result, *second_of, *note, *irregular, *threads, *pending, *renamed, *tids, *telling, *record;
    PyObject *source, *ready, *last, *nobody; /* nobody: the tid of a line without pid, until Python was at work */
    PyObject *returned, *empty;
    Py_ssize_t offsets[FIELDS];
    Place *names, *results;
    Files files;
    long long base, lineno, calls;
    Py_ssize_t most, held; /* records of a batch; bytes of the arguments of this one */
    int pid, clock;        /* the columns that lines have; CLOCK_UNKNOWN: all lines are Python's */
    char timed, varied;
    uint8_t second_size;
    char second[16];
} Scanner;

static uint32_t hash(Text text) {
    uint32_t sum = 2166136261u;
    for (Py_ssize_t i = 0; i < text.size; i++)
        sum = (sum ^ (uint8_t)text.at[i]) * 16777619u;
    return sum ^ (sum >> 15);
}

/* The place of a text, and whether it is there. NULL: it is too long for one. */
static Place *place_of(Place *places, Text text, int *found) {
    *found = 0;
    if (text.size > WIDEST)
        return NULL;
    Place *place = &places[hash(text) % PLACES];
    *found = place->value != NULL && place->size == text.size && memcmp(place->text, text.at, (size_t)text.size) == 0;
    return place;
}

static void put(Place *place, Text text, PyObject *value) {
    PyObject *old = place->value;
    place->size = (uint8_t)text.size;
    memcpy(place->text, text.at, (size_t)text.size);
    place->value = Py_NewRef(value);
    Py_XDECREF(old);
}

/* A borrowed tuple of calls.known_result: None where it is no result, NULL with an exception. */
static PyObject *result_of(Scanner *self, Text head) {
    int found;
    Place *place = place_of(self->results, head, &found);
    if (found)
        return place->value;
    if (place == NULL)
        return Py_None; /* so long a result is Python's */
    PyObject *text = PyBytes_FromStringAndSize(head.at, head.size);
    if (text == NULL)
        return NULL;
    PyObject *result = PyObject_CallFunctionObjArgs(self->known_result, text, NULL);
    Py_DECREF(text);
    if (result == NULL)
        return NULL;
    put(place, head, result);
    Py_DECREF(result);
    return place->value;
}

/* A borrowed name of the call (no longer than WIDEST), None for one that nobody asked for. NULL with an exception. */
static PyObject *call_of(Scanner *self, Text name) {
    int found;
    Place *place = place_of(self->names, name, &found);
    if (found)
        return place->value;
    PyObject *text = PyBytes_FromStringAndSize(name.at, name.size);
    if (text == NULL)
        return NULL;
    PyObject *call = PyObject_CallFunctionObjArgs(self->keep, text, NULL);
    Py_DECREF(text);
    if (call == NULL)
        return NULL;
    put(place, name, call);
    Py_DECREF(call);
    return place->value;
}

/* A Record without its __init__: the slots are filled where `learn_offsets` found them. Steals the fields; NULL is none. */
static PyObject *make_record(Scanner *self, PyObject *fields[FIELDS]) {
    PyObject *record = NULL;
    int whole = 1;
    for (int i = 0; i < FIELDS; i++)
        whole &= fields[i] != NULL;
    if (whole)
        record = PyType_GenericAlloc((PyTypeObject *)self->record, 0);
    for (int i = 0; i < FIELDS; i++)
        if (record != NULL)
            memcpy((char *)record + self->offsets[i], &fields[i], sizeof fields[i]);
        else
            Py_XDECREF(fields[i]);
    if (record != NULL)
        PyObject_GC_UnTrack(record); /* numbers and bytes lead nowhere: no collection has to look */
    return record;
}

static PyObject *evidence(PyObject *line, const char *start, Py_ssize_t size) {
    if (size <= LONG)
        return Py_NewRef(line);
    char text[HEAD + 5 + TAIL];
    memcpy(text, start, HEAD);
    memcpy(text + HEAD, " ... ", 5);
    memcpy(text + HEAD + 5, start + size - TAIL, TAIL);
    return PyBytes_FromStringAndSize(text, sizeof text);
}

enum { HANDED_OVER, DONE, FAILED }; /* the first: Python has to read this line */

/* Keep up with the clock, as the reader does: once a second. */
static int on_time(Scanner *self, Text clock) {
    if (self->clock == CLOCK_NONE || (clock.size == self->second_size && !memcmp(clock.at, self->second, (size_t)clock.size)))
        return DONE;
    const char *kind = self->clock == CLOCK_EPOCH ? "epoch" : "time-of-day";
    PyObject *base = PyObject_CallFunction(self->second_of, "y#s", clock.at, clock.size, kind);
    if (base == NULL)
        return FAILED;
    self->base = PyLong_AsLongLong(base);
    Py_DECREF(base);
    if ((self->base == -1 && PyErr_Occurred()) || self->base > LLONG_MAX - 1000000000) {
        PyErr_Clear(); /* some centuries ahead: a number that is too long for us */
        self->second_size = 0;
        return HANDED_OVER;
    }
    self->second_size = (uint8_t)clock.size;
    memcpy(self->second, clock.at, (size_t)clock.size);
    return DONE;
}

/* Whose line it is, borrowed; NULL without an exception: Python must say. */
static PyObject *tid_of(Scanner *self, Text pid) {
    if (pid.size == 0) {
        if (self->nobody == NULL && PyList_Size(self->renamed) == 0) /* else there is something to tell first */
            self->nobody = PyObject_CallMethod(self->threads, "of", "O", Py_None);
        return self->nobody;
    }
    PyObject *text = PyBytes_FromStringAndSize(pid.at, pid.size);
    if (text == NULL)
        return NULL;
    PyObject *tid = PyDict_GetItemWithError(self->tids, text);
    Py_DECREF(text);
    return tid;
}

/* What a result that is no plain number says, as far as calls on files are concerned. */
static void read_result(Scanner *self, PyObject *result, Call *call) {
    PyObject *value = PyTuple_GetItem(result, 0), *text = PyTuple_GetItem(result, 3);
    call->told = (Text){PyBytes_AsString(text), PyBytes_Size(text)};
    call->went_well = PyTuple_GetItem(result, 1) == Py_None && PyTuple_GetItem(result, 2) == self->returned;
    int overflow = 0;
    if (value != Py_None)
        call->fd = PyLong_AsLongLongAndOverflow(value, &overflow);
}

/* One line. */
static int take(Scanner *self, PyObject *line) {
    if (!PyBytes_CheckExact(line))
        return HANDED_OVER;
    const char *start = PyBytes_AsString(line), *end = start + PyBytes_Size(line);
    Columns columns;
    if (!columns_of(self->pid, self->clock, start, &columns) || columns.name.size > WIDEST)
        return HANDED_OVER;
    int kept = on_time(self, columns.clock);
    if (kept != DONE)
        return kept;
    PyObject *call = call_of(self, columns.name);
    if (call == NULL)
        return FAILED;
    if (call == Py_None) {
        if (!self->varied) {
            PyObject *name = PyBytes_FromStringAndSize(columns.name.at, columns.name.size);
            PyObject *enough = name == NULL ? NULL : PyObject_CallFunctionObjArgs(self->note, name, line, NULL);
            Py_XDECREF(name);
            if (enough == NULL)
                return FAILED;
            self->varied = enough == Py_True;
            Py_DECREF(enough);
        }
        self->calls++;
        return DONE;
    }
    const char *mark = result_mark(columns.arguments, end);
    if (mark == NULL)
        return HANDED_OVER;
    Text head = {mark + 3, 0};
    const char *after = end;
    while (after > head.at && is_space(after[-1]))
        after--;
    long long duration = -1;
    const char *timed = duration_in(head.at, after, &duration);
    if (timed != NULL)
        self->timed = 1; /* of a line that is handed over, too, as there */
    head.size = (timed != NULL ? timed : after) - head.at;
    Text value = {head.at, digits(head.at, 18)}; /* most results are a number, or one with the descriptor's file */
    Text told = {value.at + value.size, head.size - value.size};
    int plain = value.size >= 1 && value.size <= 18 && told.size == 0;
    int simple = plain || (value.size >= 1 && value.size <= 18 && is_note(told));
    PyObject *result = NULL;
    if (!simple) {
        result = result_of(self, head);
        if (result == NULL)
            return FAILED;
        if (result == Py_None)
            return HANDED_OVER;
        plain = PyTuple_GetItem(result, 4) == Py_True;
    }
    const char *close = mark;
    while (close > columns.arguments && is_space(close[-1]))
        close--;
    if (close <= columns.arguments || close[-1] != ')')
        return HANDED_OVER;
    Py_ssize_t size = close - 1 - columns.arguments;
    if (!plain && size >= 5 && memcmp(close - 6, " ...>", 5) == 0)
        return HANDED_OVER;
    if (PySet_Contains(self->telling, call))
        return HANDED_OVER;
    PyObject *tid = tid_of(self, columns.pid);
    if (tid == NULL)
        return PyErr_Occurred() ? FAILED : HANDED_OVER;
    if (columns.pid.size && PyDict_Size(self->pending) && PyDict_Contains(self->pending, tid))
        return HANDED_OVER; /* that call has returned meanwhile */
    PyObject *args = PyBytes_FromStringAndSize(columns.arguments, size);
    if (args == NULL)
        return FAILED;
    long long time = self->clock == CLOCK_NONE ? 0 : self->base + nanoseconds(columns.fraction);
    if (self->files.python != NULL && self->clock != CLOCK_NONE) {
        Call found = {call, args, tid, told, -1, duration, 1};
        if (result == NULL)
            found.fd = number(value);
        else
            read_result(self, result, &found);
        int nothing = tells_nothing(&self->files, self->lineno, &found);
        if (nothing != 0) {
            Py_DECREF(args);
            if (nothing < 0)
                return FAILED;
            if (nothing == 1 && duration <= LLONG_MAX - time && time + duration > self->files.last_ns)
                self->files.last_ns = time + duration;
            self->calls++;
            return DONE;
        }
    }
    PyObject *fields[FIELDS] = {
        [SOURCE] = Py_NewRef(self->source),
        [LINENO] = PyLong_FromLongLong(self->lineno),
        [TID] = Py_NewRef(tid),
        [TIME] = self->clock == CLOCK_NONE ? Py_NewRef(Py_None) : PyLong_FromLongLong(time),
        [DURATION] = timed == NULL ? Py_NewRef(Py_None) : PyLong_FromLongLong(duration),
        [SYSCALL] = Py_NewRef(call),
        [ARGS] = args,
        [RETVAL] = result ? Py_NewRef(PyTuple_GetItem(result, 0)) : PyLong_FromLongLong(number(value)),
        [ERRNO] = Py_NewRef(result ? PyTuple_GetItem(result, 1) : Py_None),
        [OUTCOME] = Py_NewRef(result ? PyTuple_GetItem(result, 2) : self->returned),
        [RAW] = evidence(line, start, end - start),
        [RESULT_TEXT] = result  ? Py_NewRef(PyTuple_GetItem(result, 3))
                        : plain ? Py_NewRef(self->empty)
                                : PyBytes_FromStringAndSize(told.at, told.size),
    };
    PyObject *record = make_record(self, fields);
    if (record == NULL || PyList_Append(self->ready, record) < 0) {
        Py_XDECREF(record);
        return FAILED;
    }
    Py_DECREF(record);
    self->held += size;
    self->calls++;
    return DONE;
}

/* The next line that Python has to read, or an empty one when a batch of records is ready before that. */
static PyObject *next_line(Scanner *self) {
    PyObject *open = PyObject_GetAttrString(self->irregular, "open");
    if (open == NULL)
        return NULL;
    int active = open == Py_None && self->clock != CLOCK_UNKNOWN;
    Py_DECREF(open);
    self->second_size = 0; /* Python was at work: what it knows of clock and threads may be another thing by now */
    Py_CLEAR(self->nobody);
    self->held = 0;
    while (PyList_Size(self->ready) < self->most && self->held < BATCH_BYTES) {
        PyObject *line = PyIter_Next(self->lines), *before = self->last;
        if (line == NULL)
            return NULL;
        self->lineno++;
        self->last = line;
        Py_XDECREF(before);
        int taken = active ? take(self, line) : HANDED_OVER;
        if (taken != DONE)
            return taken == FAILED ? NULL : Py_NewRef(line);
    }
    return Py_NewRef(self->empty);
}

static PyObject *scanner_next(Scanner *self) {
    if (!files_from_python(&self->files))
        return NULL;
    PyObject *line = next_line(self);
    if (PyErr_Occurred() || files_to_python(&self->files))
        return line;
    Py_XDECREF(line);
    return NULL;
}

/* Where the slots of a record are: each of a probe's fields is looked for in its memory. 0 is an exception. */
static int learn_offsets(Scanner *self) {
    PyObject *probes = PyTuple_New(FIELDS), *size = PyObject_GetAttrString(self->record, "__basicsize__"), *record = NULL;
    int known = 0;
    for (Py_ssize_t i = 0; probes != NULL && i < FIELDS; i++)
        PyTuple_SetItem(probes, i, PyList_New(0));
    if (probes != NULL && size != NULL)
        record = PyObject_CallObject(self->record, probes);
    if (record != NULL) {
        const Py_ssize_t end = PyLong_AsSsize_t(size), word = sizeof(PyObject *);
        for (Py_ssize_t at = sizeof(PyObject); at + word <= end; at += word)
            for (Py_ssize_t i = 0; i < FIELDS; i++)
                if (*(PyObject **)((char *)record + at) == PyTuple_GetItem(probes, i)) {
                    self->offsets[i] = at;
                    known++;
                }
        if (known != FIELDS || end != (Py_ssize_t)sizeof(PyObject) + FIELDS * word)
            PyErr_SetString(PyExc_TypeError, "a record must have twelve slots and nothing else");
    }
    Py_XDECREF(record);
    Py_XDECREF(probes);
    Py_XDECREF(size);
    return !PyErr_Occurred();
}

static PyObject *scanner_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *lines, *keep, *known, *second, *note, *irregular, *tids, *telling, *record, *source, *files;
    Py_ssize_t most;
    if (kwargs != NULL && PyDict_Size(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "OOOOOOO!OOOnO", &lines, &keep, &known, &second, &note, &irregular, &PyDict_Type, &tids,
                          &telling, &record, &source, &most, &files))
        return NULL;
    Scanner *self = (Scanner *)PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    self->keep = Py_NewRef(keep);
    self->known_result = Py_NewRef(known);
    self->second_of = Py_NewRef(second);
    self->note = Py_NewRef(note);
    self->irregular = Py_NewRef(irregular);
    self->tids = Py_NewRef(tids);
    self->telling = Py_NewRef(telling);
    self->record = Py_NewRef(record);
    self->source = Py_NewRef(source);
    self->most = most;
    self->clock = CLOCK_UNKNOWN;
    self->lines = PyObject_GetIter(lines);
    self->threads = PyObject_GetAttrString(irregular, "threads");
    self->pending = PyObject_GetAttrString(irregular, "pending");
    self->renamed = self->threads ? PyObject_GetAttrString(self->threads, "renamed") : NULL;
    self->ready = PyList_New(0);
    self->last = PyBytes_FromStringAndSize(NULL, 0);
    self->empty = PyBytes_FromStringAndSize(NULL, 0);
    self->names = PyMem_Calloc(PLACES, sizeof(Place));
    self->results = PyMem_Calloc(PLACES, sizeof(Place));
    if (self->names == NULL || self->results == NULL)
        PyErr_NoMemory();
    else if (!files_new(&self->files, files) && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "threads must be a dictionary");
    PyObject *plain = PyErr_Occurred() ? NULL : PyObject_CallFunction(known, "y", "0");
    if (plain != NULL && (self->returned = PySequence_GetItem(plain, 2)) != NULL && learn_offsets(self)) {
        Py_DECREF(plain);
        return (PyObject *)self;
    }
    Py_XDECREF(plain);
    Py_DECREF(self);
    return NULL;
}

static void scanner_dealloc(Scanner *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyObject *held[] = {self->lines, self->keep, self->known_result, self->second_of, self->note, self->irregular,
                        self->threads, self->pending, self->renamed, self->tids, self->telling, self->record, self->source, self->ready,
                        self->last, self->nobody, self->returned, self->empty};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        Py_XDECREF(held[i]);
    files_free(&self->files);
    for (int i = 0; i < PLACES; i++) {
        if (self->names != NULL)
            Py_XDECREF(self->names[i].value);
        if (self->results != NULL)
            Py_XDECREF(self->results[i].value);
    }
    PyMem_Free(self->names);
    PyMem_Free(self->results);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *scanner_expect(Scanner *self, PyObject *args) {
    const char *pid, *clock;
    int plain;
    if (!PyArg_ParseTuple(args, "ssp", &pid, &clock, &plain))
        return NULL;
    self->pid = strcmp(pid, "bare") == 0 ? PID_BARE : strcmp(pid, "bracket") == 0 ? PID_BRACKET : PID_NONE;
    self->clock = !plain                            ? CLOCK_UNKNOWN
                  : strcmp(clock, "none") == 0        ? CLOCK_NONE
                  : strcmp(clock, "epoch") == 0       ? CLOCK_EPOCH
                  : strcmp(clock, "time-of-day") == 0 ? CLOCK_OF_DAY
                                                      : CLOCK_UNKNOWN;
    Py_RETURN_NONE;
}

static PyMemberDef members[] = {
    {"ready", T_OBJECT_EX, offsetof(Scanner, ready), READONLY, "the records that were made"},
    {"last", T_OBJECT_EX, offsetof(Scanner, last), READONLY, "the line that was taken last"},
    {"lineno", T_LONGLONG, offsetof(Scanner, lineno), READONLY, "its number"},
    {"calls", T_LONGLONG, offsetof(Scanner, calls), READONLY, "calls that needed no Python"},
    {"timed", T_BOOL, offsetof(Scanner, timed), READONLY, "whether one of these had a duration"},
    {NULL, 0, 0, 0, NULL},
};
static PyMethodDef methods[] = {
    {"expect", (PyCFunction)scanner_expect, METH_VARARGS, "expect(pid, clock, plain): the columns of lines from now on"},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot slots[] = {
    {Py_tp_new, scanner_new},   {Py_tp_dealloc, scanner_dealloc}, {Py_tp_iter, PyObject_SelfIter}, {Py_tp_iternext, scanner_next},
    {Py_tp_members, members},   {Py_tp_methods, methods},         {0, NULL},
};
static PyType_Spec spec = {"systrace._scanner.Scanner", sizeof(Scanner), 0, Py_TPFLAGS_DEFAULT, slots};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "systrace._scanner", NULL, -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__scanner(void) {
    PyObject *module = PyModule_Create(&definition), *type = PyType_FromSpec(&spec);
    if (module == NULL || type == NULL || PyModule_AddObjectRef(module, "Scanner", type) < 0)
        Py_CLEAR(module);
    Py_XDECREF(type);
    return module;
}
