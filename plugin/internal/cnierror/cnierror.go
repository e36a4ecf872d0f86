// Package cnierror makes errors that keep their CNI code on the way to the runtime.
//
// A delegate's code tells the runtime what to do next (11: try again), so it must survive
// every layer that adds words to the message. Wrapping with %w alone would lose the words:
// what is printed is the innermost types.Error, hence the text is kept in it. Whatever a delegate
// says, no text becomes longer than MaxText: every error that is told comes out of this package.
package cnierror

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/containernetworking/cni/pkg/types"
)

// Codes that the CNI specification defines and its Go library does not name.
const (
	TryAgain                 = types.ErrTryAgainLater
	NotAvailable        uint = 50
	LimitedConnectivity uint = 51
)

// MaxText is the most bytes that the message of an error may have, and its details.
const MaxText = 4 << 10

const cutHere = "… (cut to 4 KiB)"

// bounded is an error whose texts are no longer than MaxText.
func bounded(code uint, msg, details string) *types.Error {
	return types.NewError(code, cut(msg), cut(details))
}

// cut keeps the beginning of a text, where our own words are, and says so.
func cut(text string) string {
	if len(text) <= MaxText {
		return text
	}
	end := MaxText - len(cutHere)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + cutHere
}

// New is an error with a code of the CNI specification.
func New(code uint, format string, args ...any) *types.Error {
	return bounded(code, fmt.Sprintf(format, args...), "")
}

// From finds the CNI error in err. What carries no code becomes code 999.
func From(err error) *types.Error {
	var known *types.Error
	if errors.As(err, &known) {
		return bounded(known.Code, known.Msg, known.Details)
	}
	return bounded(types.ErrInternal, err.Error(), "")
}

// Prefix puts words before the message and leaves code and details alone.
func Prefix(err error, format string, args ...any) *types.Error {
	known := From(err)
	return bounded(known.Code, fmt.Sprintf(format, args...)+": "+known.Msg, known.Details)
}

// Join is one error for several: the first one's code, all texts. It is nil for none.
func Join(errs []error) *types.Error {
	if len(errs) == 0 {
		return nil
	}
	first := From(errs[0])
	if len(errs) == 1 {
		return first
	}
	texts := make([]string, 0, len(errs))
	details := make([]string, 0, len(errs))
	for _, err := range errs {
		known := From(err)
		texts = append(texts, known.Msg)
		if known.Details != "" {
			details = append(details, known.Details)
		}
	}
	return bounded(first.Code, strings.Join(texts, "; "), strings.Join(details, "; "))
}

// Plain replaces the phrases that runtimes take for success: a DEL that failed has failed.
func Plain(known *types.Error) *types.Error {
	plain := func(text string) string {
		return without(without(text, "missing", "not", "found"), "file is missing", "no such file or directory")
	}
	return bounded(known.Code, plain(known.Msg), plain(known.Details))
}

// without puts other words in the place of these, in any case and with any blanks between them.
// A regular expression would be shorter, but the package alone costs every pod's start.
func without(text, other string, words ...string) string {
	var out strings.Builder
	for text != "" {
		if size := startsWith(text, words); size > 0 {
			out.WriteString(other)
			text = text[size:]
			continue
		}
		out.WriteByte(text[0])
		text = text[1:]
	}
	return out.String()
}

// startsWith returns the number of bytes that the words take at the start of text, 0 where they
// are not there.
func startsWith(text string, words []string) int {
	rest := text
	for i, word := range words {
		if i > 0 {
			trimmed := strings.TrimLeft(rest, " \t\n\f\r")
			if len(trimmed) == len(rest) {
				return 0
			}
			rest = trimmed
		}
		if len(rest) < len(word) || !strings.EqualFold(rest[:len(word)], word) {
			return 0
		}
		rest = rest[len(word):]
	}
	return len(text) - len(rest)
}

// FirstOf names the first of many, for a text that people read.
func FirstOf(texts []string) string {
	const most = 5
	if more := len(texts) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(texts[:most], ", "), more)
	}
	return strings.Join(texts, ", ")
}
