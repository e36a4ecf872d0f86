// Package names says which texts may be names: of networks and containers (CNI specification,
// section 1), of Kubernetes' objects (RFC 1123), of interfaces (Linux).
//
// They are read byte by byte: a regular expression is compiled at the start of every process,
// which costs a pod more than all names that it ever has. Nothing is looked up here.
package names

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

const (
	maxLabel     = 63
	maxSubdomain = 253
	maxInterface = 15
	maxQuoted    = 80
)

// IsCNI says whether text may be the name of a network or the id of a container.
func IsCNI(text string) bool {
	for i := range len(text) {
		c := text[i]
		if !alphanumeric(c) && (c < 'A' || c > 'Z') && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return text != ""
}

// IsLabel says whether text is an RFC 1123 label.
func IsLabel(text string) bool { return len(text) <= maxLabel && isLabel(text) }

// IsSubdomain says whether text is an RFC 1123 subdomain, as most names of objects are. Its parts
// may be longer than a label: the API server lets them.
func IsSubdomain(text string) bool {
	if len(text) > maxSubdomain {
		return false
	}
	for part := range strings.SplitSeq(text, ".") {
		if !isLabel(part) {
			return false
		}
	}
	return true
}

func isLabel(text string) bool {
	for i := range len(text) {
		if !alphanumeric(text[i]) && (text[i] != '-' || i == 0 || i == len(text)-1) {
			return false
		}
	}
	return text != ""
}

func alphanumeric(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// CheckInterface refuses what the kernel or the CNI specification refuses as a name.
func CheckInterface(name string) error {
	switch {
	case name == "":
		return errors.New("the interface name is empty")
	case len(name) > maxInterface:
		return fmt.Errorf("interface %s has %d bytes, at most %d are possible", Quote(name), len(name), maxInterface)
	case name == "." || name == "..":
		return fmt.Errorf("interface %q is reserved", name)
	case strings.ContainsFunc(name, func(r rune) bool {
		return r == '/' || r == ':' || unicode.IsSpace(r) || unicode.IsControl(r)
	}):
		return fmt.Errorf("interface %q holds a blank, '/', ':' or a control character", name)
	}
	return nil
}

// Quote is a text of others in an error: in quotes, without anything that a terminal would act on,
// and cut where it is long.
func Quote(text string) string { return strconv.Quote(Cut(text)) }

// Cut is the beginning of a text that may be long.
func Cut(text string) string {
	if len(text) <= maxQuoted {
		return text
	}
	return strings.ToValidUTF8(text[:maxQuoted], "") + "…"
}
