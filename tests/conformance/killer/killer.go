// A program that runs another one and ends it with SIGKILL in front of a chosen step.
//
//	killer STEP PROGRAM [ARGUMENT...]
//
// A step is a system call of the program's own process that changes what is on disk or starts
// a process; they are counted from 1 over all of its threads. Its children are not traced. With
// STEP 0 nothing is killed. The steps that were seen, the one in front of which it was killed
// included, are written to the file that KILLER_STEPS names, one word a line. The exit status is
// the program's, or 137 where it was killed.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

const (
	waitForAll     = 0x40000000 // __WALL
	traceSysGood   = 0x1
	traceClone     = 0x8
	exitKill       = 0x100000
	getSyscallInfo = 0x420e
	entry          = 1
	renameat2AMD64 = 316
	renameat2ARM64 = 276
	sysGoodBit     = 0x80
)

// changing are the system calls that leave something behind when the next one never comes.
var changing = map[uint64]string{
	syscall.SYS_WRITE: "write", syscall.SYS_PWRITE64: "pwrite64", syscall.SYS_FTRUNCATE: "ftruncate", syscall.SYS_FSYNC: "fsync",
	syscall.SYS_FDATASYNC: "fdatasync", syscall.SYS_LINKAT: "linkat", syscall.SYS_UNLINKAT: "unlinkat", syscall.SYS_MKDIRAT: "mkdirat",
	syscall.SYS_RENAMEAT: "renameat", syscall.SYS_SENDTO: "sendto", syscall.SYS_FLOCK: "flock",
}

func main() {
	status, err := run(os.Args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "killer:", err)
		os.Exit(120)
	}
	os.Exit(status)
}

func run(args []string) (int, error) {
	if len(args) < 3 {
		return 0, errors.New("usage: killer STEP PROGRAM [ARGUMENT...]")
	}
	step, err := strconv.Atoi(args[1])
	if err != nil {
		return 0, err
	}
	switch runtime.GOARCH {
	case "amd64":
		changing[renameat2AMD64] = "renameat2"
	case "arm64":
		changing[renameat2ARM64] = "renameat2"
	default:
		return 0, fmt.Errorf("the system calls of %s are not known here", runtime.GOARCH)
	}
	runtime.LockOSThread() // whoever traces must be one thread
	command := exec.Command(args[2], args[3:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := command.Start(); err != nil {
		return 0, err
	}
	seen, status, err := trace(command.Process.Pid, step)
	if err != nil {
		return 0, err
	}
	if file := os.Getenv("KILLER_STEPS"); file != "" {
		if err := os.WriteFile(file, []byte(strings.Join(seen, "\n")), 0o600); err != nil {
			return 0, err
		}
	}
	return status, nil
}

// trace follows all threads of a process and returns the steps seen and its exit status.
func trace(process, step int) ([]string, int, error) {
	var state syscall.WaitStatus
	if _, err := syscall.Wait4(process, &state, waitForAll, nil); err != nil {
		return nil, 0, err
	}
	if err := syscall.PtraceSetOptions(process, traceSysGood|traceClone|exitKill); err != nil {
		return nil, 0, err
	}
	if err := syscall.PtraceSyscall(process, 0); err != nil {
		return nil, 0, err
	}
	var seen []string
	killed := false
	for {
		thread, err := syscall.Wait4(-1, &state, waitForAll, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return seen, 0, err
		}
		switch {
		case state.Exited() && thread == process:
			return seen, state.ExitStatus(), nil
		case state.Signaled() && thread == process:
			return seen, 128 + int(state.Signal()), nil
		case !state.Stopped() || killed:
			continue
		}
		deliver := 0
		switch signal := state.StopSignal(); {
		case signal == syscall.SIGTRAP|sysGoodBit:
			if change := changes(thread); change != "" {
				seen = append(seen, change)
				if len(seen) == step {
					killed = true
					if err := syscall.Kill(process, syscall.SIGKILL); err != nil {
						return seen, 0, err
					}
					continue
				}
			}
		case signal == syscall.SIGTRAP, signal == syscall.SIGSTOP: // a new thread, and its first stop
		default:
			deliver = int(signal)
		}
		// The thread may have ended meanwhile.
		if err := syscall.PtraceSyscall(thread, deliver); err != nil && !errors.Is(err, syscall.ESRCH) {
			return seen, 0, err
		}
	}
}

// changes names the call that a stopped thread is about to make, if it counts: one of the list, or
// one that starts a process (clone with SIGCHLD as its exit signal).
func changes(thread int) string {
	var info [88]byte // struct ptrace_syscall_info
	_, _, err := syscall.RawSyscall6(syscall.SYS_PTRACE, getSyscallInfo, uintptr(thread), uintptr(len(info)), uintptr(unsafe.Pointer(&info[0])), 0, 0)
	if err != 0 || info[0] != entry {
		return ""
	}
	number := binary.NativeEndian.Uint64(info[24:])
	if number == syscall.SYS_CLONE {
		if binary.NativeEndian.Uint64(info[32:])&0xff == uint64(syscall.SIGCHLD) {
			return "start"
		}
		return ""
	}
	return changing[number]
}
