package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"mooring.dev/mooring/plugin/internal/object"
)

// reader takes keys out of the configuration and collects what is wrong with them.
type reader struct {
	raw      object.Object
	problems []error
}

func (r *reader) report(path string, err error) {
	r.problems = append(r.problems, fmt.Errorf("$%s: %w", path, err))
}

func (r *reader) with(key string, take func(json.RawMessage) error) {
	if value := r.raw.Find(key); value != nil {
		if err := take(value); err != nil {
			r.report("."+key, err)
		}
	}
}

func (r *reader) value(key, expected string, into any) {
	r.with(key, func(value json.RawMessage) error {
		if json.Unmarshal(value, into) != nil {
			return fmt.Errorf("expected %s, found %s", expected, object.Kind(value))
		}
		return nil
	})
}

func (r *reader) text(key string, into *string) {
	r.with(key, func(value json.RawMessage) (err error) {
		*into, err = object.String(value)
		return err
	})
}

// folder reads a path; empty means the default.
func (r *reader) folder(key string, into *string) {
	r.with(key, func(value json.RawMessage) error {
		path, err := object.String(value)
		switch {
		case err != nil:
			return err
		case path == "":
			return nil
		case !filepath.IsAbs(path):
			return fmt.Errorf("%q is not an absolute path", path)
		}
		*into = filepath.Clean(path)
		return nil
	})
}

func (r *reader) seconds(key string, into *time.Duration) {
	r.with(key, func(value json.RawMessage) error {
		var seconds float64
		if json.Unmarshal(value, &seconds) != nil || seconds <= 0 || seconds > 3600 {
			return errors.New("expected a number of seconds above 0, at most 3600")
		}
		*into = time.Duration(seconds * float64(time.Second))
		return nil
	})
}
