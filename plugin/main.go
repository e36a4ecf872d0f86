// The meta-plugin of Mooring: a CNI plugin that attaches a pod to its default network and to
// every further network that it asks for, by running other CNI plugins.
//
// Reading order: main, the verbs, what a call works with, how its end is told.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	cniversion "github.com/containernetworking/cni/pkg/version"
	"golang.org/x/sys/unix"

	"mooring.dev/mooring/plugin/internal/attach"
	"mooring.dev/mooring/plugin/internal/call"
	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/config"
	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/failures"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/logging"
	"mooring.dev/mooring/plugin/internal/networks"
)

// Set at link time.
var (
	version = "development"
	commit  = "unknown"
	date    = "unknown"
)

func main() {
	if len(os.Args) > 1 && (os.Args[1] == "-v" || os.Args[1] == "-version" || os.Args[1] == "--version") {
		fmt.Println(about())
		return
	}
	os.Exit(run(os.Getenv, os.Stdin, surviving(1, os.Stdout), surviving(2, os.Stderr)))
}

// surviving is a file of the same output to which writing fails when nobody reads it any more. At
// os.Stdout and os.Stderr Go ends the process by SIGPIPE then, before anything is rolled back.
func surviving(number uintptr, output *os.File) io.Writer {
	descriptor, err := unix.FcntlInt(number, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return output
	}
	return os.NewFile(uintptr(descriptor), output.Name())
}

func about() string {
	return fmt.Sprintf("mooring %s, commit %s, built %s", version, commit, date)
}

func run(getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	if getenv("CNI_COMMAND") == "" {
		_, _ = fmt.Fprintf(stderr, "%s: a CNI meta-plugin, to be run by a container runtime\n", about())
	}
	c, err := call.Read(getenv, stdin, stdout, stderr)
	if err == nil {
		err = serve(c)
	}
	if err == nil {
		return 0
	}
	known := cnierror.From(err)
	if getenv("CNI_COMMAND") == "DEL" {
		known = cnierror.Plain(known)
	}
	if err := call.PrintError(stdout, known); err != nil {
		_, _ = fmt.Fprintf(stderr, "mooring: %s (it could not be written to stdout: %v)\n", known.Msg, err)
	}
	return 1
}

func serve(c *call.Call) error {
	if c.Verb == "VERSION" {
		return cniversion.All.Encode(c.Stdout)
	}
	started := time.Now()
	configuration, err := config.Parse(c.Config)
	session := newSession(c, configuration)
	session.ConfigError = err
	switch {
	case err != nil && c.Verb == "DEL":
		session.Log.Errorf("undoing what is on record in spite of this: %v", err)
	case err != nil:
		return session.end(err, started)
	}
	ctx := context.Background()
	switch c.Verb {
	case "ADD":
		err = session.Add(ctx)
	case "DEL":
		err = session.Del(ctx)
	case "CHECK":
		err = session.Check(ctx)
	case "STATUS":
		err = session.Status(ctx)
	case "GC":
		err = session.GC(ctx)
	}
	return session.end(err, started)
}

type session struct{ *attach.Session }

func newSession(c *call.Call, configuration *config.Config) session {
	log := logging.New(configuration.Log, c.Stderr, time.Now)
	made := &attach.Session{
		Call: c, Config: configuration, Log: log, Now: time.Now,
		Runner: &delegate.Runner{Path: configuration.Path(c.Path), Timeout: configuration.DelegateTimeout, Stderr: c.Stderr},
		Finder: &networks.Finder{CNIDir: configuration.CNIDir, ConfDir: configuration.ConfDir, Warn: log.Warnf},
	}
	made.Runner.Ran = made.LogExecution
	connect(made)
	return session{made}
}

// end notes a failed call where the agent reads it, and what a call may have left behind.
func (s session) end(err error, started time.Time) error {
	if leak := s.Leak(); leak != "" {
		s.Log.Errorf("%s", leak)
		s.note(cnierror.New(types.ErrIOFailure, "%s", leak), time.Now(), started)
	}
	if err == nil {
		return nil
	}
	known := cnierror.From(err)
	now := time.Now()
	s.Log.Error("the call failed", "code", strconv.FormatUint(uint64(known.Code), 10), "network", s.FailedNetwork(),
		"milliseconds", strconv.FormatInt(now.Sub(started).Milliseconds(), 10), "error", known.Msg, "details", known.Details)
	s.note(known, now, started)
	return known
}

func (s session) note(known *types.Error, now, started time.Time) {
	err := failures.Note(s.Config.CNIDir, failures.Failure{
		Time: now.UTC().Format(journal.TimeFormat), Verb: s.Call.Verb, ContainerID: s.Call.ContainerID, IfName: s.Call.IfName,
		Pod: s.Pod(), Network: s.FailedNetwork(), Reason: s.Reason(), Code: known.Code, Msg: known.Msg, Details: known.Details,
		Milliseconds: now.Sub(started).Milliseconds(),
	})
	if err != nil {
		s.Log.Warnf("failures.jsonl: %v", err)
	}
}
