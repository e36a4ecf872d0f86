// Package cnierror makes errors that keep their CNI code on the way to the runtime.
//
// A delegate's code tells the runtime what to do next (11: try again), so it must survive
// every layer that adds words to the message. Wrapping with %w alone would lose the words:
// what is printed is the innermost types.Error, hence the whole text is kept in it.
package cnierror

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// Codes that the CNI specification defines and its Go library does not name.
const (
	TryAgain                 = types.ErrTryAgainLater
	NotAvailable        uint = 50
	LimitedConnectivity uint = 51
)

// New is an error with a code of the CNI specification.
func New(code uint, format string, args ...any) *types.Error {
	return types.NewError(code, fmt.Sprintf(format, args...), "")
}

// From finds the CNI error in err. What carries no code becomes code 999.
func From(err error) *types.Error {
	var known *types.Error
	if errors.As(err, &known) {
		return known
	}
	return types.NewError(types.ErrInternal, err.Error(), "")
}

// Prefix puts words before the message and leaves code and details alone.
func Prefix(err error, format string, args ...any) *types.Error {
	known := From(err)
	return types.NewError(known.Code, fmt.Sprintf(format, args...)+": "+known.Msg, known.Details)
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
	return types.NewError(first.Code, strings.Join(texts, "; "), strings.Join(details, "; "))
}

// Plain replaces the phrases that runtimes take for success: a DEL that failed has failed.
func Plain(known *types.Error) *types.Error {
	// Compiled here and not at the start of every process: few calls fail.
	notFound := regexp.MustCompile(`(?i)not\s+found`)
	noSuchFile := regexp.MustCompile(`(?i)no such file or directory`)
	plain := func(text string) string {
		return noSuchFile.ReplaceAllString(notFound.ReplaceAllString(text, "missing"), "file is missing")
	}
	return types.NewError(known.Code, plain(known.Msg), plain(known.Details))
}
