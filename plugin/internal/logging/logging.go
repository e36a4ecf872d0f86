// Package logging writes the plugin's log: lines on stderr and in a file that rotates.
//
// Many plugin processes share one file, so it is opened for appending and rotated under a
// lock. A log that cannot be written never fails a call. Nothing here may be handed a token
// or, below debug, a whole configuration.
package logging

import (
	"fmt"
	"io"
	"strings"
	"time"
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

// About puts the same words before every following line: which call, which pod.
func (l *Logger) About(format string, args ...any) { l.about = fmt.Sprintf(format, args...) + ": " }

// Errorf tells of what went wrong and was not the end of the call.
func (l *Logger) Errorf(format string, args ...any) { l.write(Error, "error", format, args) }

// Warnf tells of what a person should look at; it shows where errors show.
func (l *Logger) Warnf(format string, args ...any) { l.write(Error, "warning", format, args) }

// Verbosef tells what was done.
func (l *Logger) Verbosef(format string, args ...any) { l.write(Verbose, "verbose", format, args) }

// Debugf tells how.
func (l *Logger) Debugf(format string, args ...any) { l.write(Debug, "debug", format, args) }

func (l *Logger) write(level Level, word, format string, args []any) {
	if level > l.level || (l.stderr == nil && l.file == nil) {
		return
	}
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", `\n`)
	text = fmt.Sprintf("%s [%s] %s%s\n", l.now().Format(time.RFC3339), word, l.about, text)
	if l.stderr != nil {
		_, _ = io.WriteString(l.stderr, text)
	}
	if l.file != nil {
		if err := l.file.write(text); err != nil && l.stderr != nil {
			_, _ = fmt.Fprintf(l.stderr, "mooring: logFile: %v\n", err)
		}
	}
}
