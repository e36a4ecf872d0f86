package delegate

import (
	"errors"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// How often a child is asked for its end while a descendant of it holds the pipes open, on
	// kernels that do not tell of it through a descriptor.
	checkEvery = 100 * time.Millisecond

	// How long descendants of a child that has ended may hold them.
	pipeGrace = 500 * time.Millisecond

	// A child that has closed its pipes ends at once, as a rule.
	reapPause = 50 * time.Microsecond
	mostPause = 20 * time.Millisecond

	// Every page of a buffer costs a fault in a process that lives for milliseconds.
	pipeRead = 4 << 10
)

// child is one process with its three pipes, served by the thread that started it: os/exec
// takes four goroutines for that, and their switching costs more than all the rest of a call.
type child struct {
	pid, pidfd     int
	stdin          int // descriptors; closed is -1
	stdout, stderr int
	unsent         []byte
	out, err       *bounded
	status         syscall.WaitStatus
	ended          bool
}

// withoutPidfd is for tests: the way of kernels before 5.2.
var withoutPidfd = false

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
	// Pdeathsig is tied to the thread that starts the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := &child{unsent: stdin, out: out, err: err}
	if err := c.start(path, environ, outlives); err != nil {
		return 0, err
	}
	defer c.closePipes()
	failed := c.feed()
	if failed == nil && meanwhile != nil {
		meanwhile()
	}
	if failed == nil {
		failed = c.serve(deadline)
	}
	if failed != nil {
		if err := syscall.Kill(-c.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			failed = errors.Join(failed, err)
		}
	}
	if err := c.reap(deadline, failed != nil); failed == nil {
		failed = err
	}
	return c.status, failed
}

func (c *child) start(path string, environ []string, outlives bool) error {
	c.stdin, c.stdout, c.stderr, c.pidfd = closed, closed, closed, closed
	var in, out, err [2]int
	for _, pair := range []*[2]int{&in, &out, &err} {
		if err := unix.Pipe2(pair[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			return err
		}
	}
	c.stdin, c.stdout, c.stderr = in[1], out[0], err[0]
	told := &c.pidfd
	if withoutPidfd {
		told = nil
	}
	// A child expects pipes that block.
	problem := errors.Join(unix.SetNonblock(in[0], false), unix.SetNonblock(out[1], false), unix.SetNonblock(err[1], false))
	if problem == nil {
		files := []uintptr{uintptr(in[0]), uintptr(out[1]), uintptr(err[1])}
		death := syscall.SIGKILL
		if outlives {
			// A pipe that somebody can read does not break: without us the child reads its own.
			files, death = append(files, uintptr(out[0]), uintptr(err[0])), 0
		}
		how := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death, PidFD: told}
		attributes := &syscall.ProcAttr{Env: environ, Files: files, Sys: how}
		c.pid, problem = syscall.ForkExec(path, []string{path}, attributes)
		if told != nil && errors.Is(problem, syscall.EINVAL) {
			// Old kernels ignore what they do not know of clone; an emulated one (QEMU's) refuses it.
			how.PidFD = nil
			c.pid, problem = syscall.ForkExec(path, []string{path}, attributes)
		}
	}
	for _, end := range []int{in[0], out[1], err[1]} {
		_ = unix.Close(end)
	}
	if problem != nil {
		c.closePipes()
	}
	return problem
}

// serve feeds and reads the pipes until the child has closed its own.
func (c *child) serve(deadline time.Time) error {
	ending := deadline
	buffer := make([]byte, pipeRead)
	for c.stdout != closed || c.stderr != closed {
		left := time.Until(ending)
		if left <= 0 {
			if c.ended {
				return nil // whoever holds the pipes is none of ours
			}
			return errTime
		}
		if c.pidfd == closed {
			left = min(left, checkEvery)
		}
		if _, err := unix.Poll(c.polled(), int(min(left, time.Hour).Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if err := errors.Join(c.feed(), c.drain(&c.stdout, c.out, buffer), c.drain(&c.stderr, c.err, buffer)); err != nil {
			return err
		}
		if c.out.over {
			return errTooMuch
		}
		if !c.ended && (c.stdout != closed || c.stderr != closed) {
			if err := c.wait(unix.WNOHANG); err != nil {
				return err
			}
			if c.ended {
				ending = time.Now().Add(pipeGrace)
			}
		}
	}
	return nil
}

func (c *child) polled() []unix.PollFd {
	polled := make([]unix.PollFd, 0, 4)
	if !c.ended && c.pidfd != closed {
		polled = append(polled, unix.PollFd{Fd: int32(c.pidfd), Events: unix.POLLIN})
	}
	if c.stdin != closed {
		polled = append(polled, unix.PollFd{Fd: int32(c.stdin), Events: unix.POLLOUT})
	}
	for _, pipe := range []int{c.stdout, c.stderr} {
		if pipe != closed {
			polled = append(polled, unix.PollFd{Fd: int32(pipe), Events: unix.POLLIN})
		}
	}
	return polled
}

// feed writes what stdin takes and closes it after the last byte. A child may end or close its
// stdin without reading.
func (c *child) feed() error {
	for c.stdin != closed {
		n, err := unix.Write(c.stdin, c.unsent)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
			return nil
		case err == nil:
			c.unsent = c.unsent[n:]
		case !errors.Is(err, unix.EPIPE):
			return err
		}
		if err != nil || len(c.unsent) == 0 {
			return shut(&c.stdin)
		}
	}
	return nil
}

func (c *child) drain(pipe *int, into *bounded, buffer []byte) error {
	for *pipe != closed {
		n, err := unix.Read(*pipe, buffer)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
			return nil
		case err != nil:
			return err
		case n == 0:
			return shut(pipe)
		}
		into.add(buffer[:n])
		if into.over && into == c.out {
			return nil
		}
	}
	return nil
}

func (c *child) wait(options int) error {
	for !c.ended {
		pid, err := syscall.Wait4(c.pid, &c.status, options, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return err
		case pid == 0:
			return nil
		default:
			c.ended = true
		}
	}
	return nil
}

// reap waits for the end of a child that has closed its pipes, or that was killed.
func (c *child) reap(deadline time.Time, killed bool) error {
	if killed {
		return c.wait(0)
	}
	for pause := reapPause; ; pause = min(2*pause, mostPause) {
		if err := c.wait(unix.WNOHANG); err != nil || c.ended {
			return err
		}
		if time.Now().After(deadline) {
			return errors.Join(errTime, syscall.Kill(-c.pid, syscall.SIGKILL), c.wait(0))
		}
		c.rest(pause, deadline)
	}
}

const closed = -1

func shut(pipe *int) error {
	if *pipe == closed {
		return nil
	}
	err := unix.Close(*pipe)
	*pipe = closed
	return err
}

// rest waits for the end of the child where the kernel tells of it, else for a moment: not by
// time.Sleep, which rounds up to a millisecond.
func (c *child) rest(pause time.Duration, deadline time.Time) {
	if c.pidfd == closed {
		span := unix.NsecToTimespec(pause.Nanoseconds())
		_ = unix.Nanosleep(&span, nil)
		return
	}
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(c.pidfd), Events: unix.POLLIN}}, int(time.Until(deadline).Milliseconds())+1)
}

func (c *child) closePipes() {
	for _, pipe := range []*int{&c.stdin, &c.stdout, &c.stderr, &c.pidfd} {
		_ = shut(pipe)
	}
}
