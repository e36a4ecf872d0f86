// In the place of plugin/internal/delegate/spawn.go: the same by os/exec.
package delegate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// How long descendants of a child that has ended may hold its pipes.
	pipeGrace = 500 * time.Millisecond

	// What a pipe takes before anybody reads, at the least: the kernel gives two pages to a user
	// who has very many (pipe(7), pipe-user-pages-soft).
	pipeSize = 8 << 10

	// Every page of a buffer costs a fault in a process that lives for milliseconds.
	pipeRead = 4 << 10
)

// errTime and errTooMuch say why a child was killed.
var (
	errTime    = errors.New("out of time")
	errTooMuch = errors.New("too much output")
)

// spawn runs a program to its end and returns how it ended. It is killed, with its process
// group, at the deadline or when it prints more than out holds; then the error says so.
//
// meanwhile, where there is one, is done once while the program works.
//
// A program that outlives us goes on when this process is killed. Any other is killed with it.
func spawn(path string, stdin []byte, environ []string, outlives bool, deadline time.Time, out, err *bounded, meanwhile func()) (syscall.WaitStatus, error) {
	command := exec.Command(path)
	command.Env, command.WaitDelay = environ, pipeGrace
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if !outlives {
		runtime.LockOSThread() // the signal comes when the thread ends that starts the child
		defer runtime.UnlockOSThread()
		command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	pipes, problem := connect(command, stdin, outlives)
	if problem == nil {
		problem = command.Start()
	}
	pipes.started()
	defer pipes.close()
	if problem != nil {
		return 0, problem
	}

	var cause atomic.Pointer[error]
	kill := func(why error) {
		if cause.CompareAndSwap(nil, &why) {
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // it may have ended meanwhile
		}
	}
	timer := time.AfterFunc(time.Until(deadline), func() { kill(errTime) })
	defer timer.Stop()
	var reading sync.WaitGroup
	reading.Go(func() { read(pipes.stdout, out, func() { kill(errTooMuch) }) })
	reading.Go(func() { read(pipes.stderr, err, func() {}) })
	if meanwhile != nil {
		meanwhile()
	}
	problem = command.Wait()
	pipes.endSoon()
	reading.Wait()
	if why := cause.Load(); why != nil {
		return 0, *why
	}
	status, known := command.ProcessState.Sys().(syscall.WaitStatus)
	var ended *exec.ExitError
	if !known || problem != nil && !errors.As(problem, &ended) && !errors.Is(problem, exec.ErrWaitDelay) {
		return 0, problem
	}
	return status, nil
}

// pipes are our ends of a child's stdout and stderr, and the files that it is given.
type pipes struct {
	stdout, stderr *os.File
	given          []*os.File
}

// connect makes the pipes of a command. What is returned with an error is to be closed too.
func connect(command *exec.Cmd, stdin []byte, outlives bool) (*pipes, error) {
	p := &pipes{}
	for _, output := range []struct {
		ours   **os.File
		theirs *io.Writer
	}{{&p.stdout, &command.Stdout}, {&p.stderr, &command.Stderr}} {
		ours, theirs, err := p.pipe(outlives)
		*output.ours = ours
		if err != nil {
			return p, err
		}
		*output.theirs = theirs
	}
	if len(stdin) > pipeSize {
		command.Stdin = bytes.NewReader(stdin)
		return p, nil
	}
	// A pipe that is full already needs nobody who feeds it.
	full, feed, err := os.Pipe()
	if err != nil {
		return p, err
	}
	p.given, command.Stdin = append(p.given, full), full
	_, err = feed.Write(stdin)
	return p, errors.Join(err, feed.Close())
}

// pipe returns the end that we read and the one that a child is given. A child that outlives us
// can read its own end as well: a pipe that somebody can read does not break.
func (p *pipes) pipe(outlives bool) (ours, theirs *os.File, err error) {
	ours, theirs, err = os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	p.given = append(p.given, theirs)
	if !outlives {
		return ours, theirs, nil
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", theirs.Fd()), os.O_RDWR, 0)
	if err != nil {
		return ours, nil, err
	}
	p.given = append(p.given, theirs)
	return ours, theirs, nil
}

// started closes what the child was given.
func (p *pipes) started() {
	for _, file := range p.given {
		_ = file.Close()
	}
}

// endSoon bounds how long is read of a child that has ended: whoever holds its pipes is none of ours.
func (p *pipes) endSoon() {
	for _, file := range []*os.File{p.stdout, p.stderr} {
		_ = file.SetReadDeadline(time.Now().Add(pipeGrace))
	}
}

func (p *pipes) close() {
	for _, file := range []*os.File{p.stdout, p.stderr} {
		_ = file.Close() // nil is none
	}
}

// read takes a pipe to its end, or to its deadline, and keeps what there is room for.
func read(pipe *os.File, into *bounded, over func()) {
	buffer := make([]byte, pipeRead)
	for {
		n, err := pipe.Read(buffer)
		into.add(buffer[:n])
		if into.over {
			over()
		}
		if err != nil {
			return
		}
	}
}
