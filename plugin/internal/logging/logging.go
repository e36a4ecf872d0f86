// Package logging writes the plugin's log: lines on stderr and in a file that rotates.
//
// A line is fields in logfmt: time, level, what the call is about, the message, what else is said.
// Many plugin processes share one file, so it is opened for appending and rotated under a
// lock. A log that cannot be written never fails a call. Nothing here may be handed a token
// or, below debug, a whole configuration.
package logging

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Level says how much is written; a higher one writes more.
type Level int

// Multus' levels, which the configuration names.
const (
	Panic Level = iota
	Error
	Verbose
	Debug
)

var levels = map[string]Level{"panic": Panic, "error": Error, "verbose": Verbose, "debug": Debug}

// Options are the keys of the configuration.
type Options struct {
	File     string
	Level    string
	ToStderr bool
	Rotation Rotation
}

// Rotation bounds the file: megabytes, days and number of files kept.
type Rotation struct {
	MaxSize    int  `json:"maxSize"`
	MaxAge     int  `json:"maxAge"`
	MaxBackups int  `json:"maxBackups"`
	Compress   bool `json:"compress"`
}

// Defaults are Multus'.
func Defaults() Options {
	return Options{Level: "panic", ToStderr: true, Rotation: Rotation{MaxSize: 100, MaxAge: 5, MaxBackups: 5, Compress: true}}
}

// Read takes the keys that concern logging out of a configuration.
func (o *Options) Read(take func(key, expected string, into any)) {
	take("logFile", "a string", &o.File)
	take("logLevel", "a string", &o.Level)
	take("logToStderr", "a boolean", &o.ToStderr)
	take("logOptions", "an object", &o.Rotation)
}

// Logger writes lines.
type Logger struct {
	level  Level
	stderr io.Writer
	file   *rotating
	now    func() time.Time
	about  string
}

// New makes a logger. An unknown level is told on stderr and changes nothing.
func New(options Options, stderr io.Writer, now func() time.Time) *Logger {
	l := &Logger{level: Panic, now: now}
	if options.ToStderr {
		l.stderr = stderr
	}
	if options.File != "" {
		l.file = &rotating{path: options.File, rotation: options.Rotation, now: now}
	}
	level, known := levels[strings.ToLower(options.Level)]
	if known {
		l.level = level
	} else if options.Level != "" {
		_, _ = fmt.Fprintf(stderr, "mooring: logLevel %q is none of debug, verbose, error, panic\n", options.Level)
	}
	return l
}

// About puts the same fields into every following line, key and value in turn: which call, which
// pod. An empty value says nothing and is left out, here and in the fields of a line.
func (l *Logger) About(pairs ...string) {
	l.about = fields(pairs)
}

// Errorf tells of what went wrong and was not the end of the call.
func (l *Logger) Errorf(format string, args ...any) {
	l.write(Error, "error", fmt.Sprintf(format, args...))
}

// Warnf tells of what a person should look at; it shows where errors show.
func (l *Logger) Warnf(format string, args ...any) {
	l.write(Error, "warning", fmt.Sprintf(format, args...))
}

// Error tells of a failure, with further fields.
func (l *Logger) Error(message string, pairs ...string) {
	l.write(Error, "error", message, pairs...)
}

// Verbose tells what was done, with further fields.
func (l *Logger) Verbose(message string, pairs ...string) {
	l.write(Verbose, "verbose", message, pairs...)
}

// Debug tells how, with further fields.
func (l *Logger) Debug(message string, pairs ...string) {
	l.write(Debug, "debug", message, pairs...)
}

func (l *Logger) write(level Level, word, message string, pairs ...string) {
	if level > l.level || (l.stderr == nil && l.file == nil) {
		return
	}
	text := "time=" + l.now().Format(timeFormat) + " level=" + word + l.about + field("msg", message) + fields(pairs) + "\n"
	if l.stderr != nil {
		_, _ = io.WriteString(l.stderr, text)
	}
	if l.file != nil {
		if err := l.file.write(text); err != nil && l.stderr != nil {
			_, _ = fmt.Fprintf(l.stderr, "mooring: logFile: %v\n", err)
		}
	}
}

// timeFormat is RFC 3339 with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

func fields(pairs []string) string {
	text := ""
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			text += field(pairs[i], pairs[i+1])
		}
	}
	return text
}

// field is one key and value with a blank before them.
func field(key, value string) string {
	plain := value != "" && !strings.ContainsFunc(value, func(r rune) bool {
		return r <= ' ' || r == '=' || r == '"' || r == '\\' || !unicode.IsPrint(r)
	})
	if !plain {
		value = strconv.Quote(value)
	}
	return " " + key + "=" + value
}
