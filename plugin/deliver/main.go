// mooring-deliver hands programs of an image over to the agent of the node that it runs on.
//
//	mooring-deliver -to FOLDER [-from ROOT] SHA256=PATH...   hand over, and keep what was handed over there
//	mooring-deliver -copy-self FILE                          copy this program
//
// Each program appears in the folder under its checksum, whole or not at all. It runs in a pod of a plugin set: either
// with the set's image mounted at ROOT, or inside of that image, which then needs neither a shell nor a library. It
// executes nothing of the image, and refuses what has not the checksum that the Installation says.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const usage = "usage: mooring-deliver -to FOLDER [-from ROOT] SHA256=PATH... | mooring-deliver -copy-self FILE"

const (
	// every is how often what was handed over is looked after.
	every = 5 * time.Second
	// vouched is how old the time of a file becomes before it is renewed: by it the agent sees what is still brought.
	vouched = time.Minute
	// abandoned is the age at which an unfinished file of a killed writer goes.
	abandoned = time.Hour
	suffix    = ".mooring-tmp"
)

// Set at link time.
var version = "development"

var checksum = regexp.MustCompile(`^[0-9a-f]{64}$`)

// program is one to hand over: where it is in the image, and the checksum that it must have.
type program struct{ sum, path string }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("mooring-deliver", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	to := flags.String("to", "", "")
	from := flags.String("from", "/", "")
	itself := flags.String("copy-self", "", "")
	told := flags.Bool("version", false, "")
	err := flags.Parse(arguments)
	programs, right := parse(flags.Args())
	switch {
	case err == nil && *told:
		fmt.Fprintf(stdout, "mooring-deliver %s\n", version)
		return 0
	case err == nil && *itself != "" && flags.NArg() == 0:
		err = copySelf(*itself)
	case err != nil || *to == "" || *itself != "" || !right:
		fmt.Fprintln(stderr, usage)
		return 2
	default:
		err = keep(ctx, *to, *from, programs, stdout)
	}
	if err != nil {
		// One line each: the kubelet shows the end of what a container said.
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(stderr, "mooring-deliver: %s\n", strings.TrimSpace(line))
		}
		return 1
	}
	return 0
}

func parse(words []string) ([]program, bool) {
	var programs []program
	for _, word := range words {
		sum, path, _ := strings.Cut(word, "=")
		if !checksum.MatchString(sum) || !strings.HasPrefix(path, "/") {
			return nil, false
		}
		programs = append(programs, program{sum, path})
	}
	return programs, len(programs) > 0
}

// keep hands everything over, and again what is taken away, until it is told to end. It ends with every error that
// there is: the pod is then not ready, and says why.
func keep(ctx context.Context, to, from string, programs []program, stdout io.Writer) error {
	folder, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer folder.Close()
	if from != "/" {
		// So that links of the image lead to where they lead in the image.
		if err := syscall.Chroot(from); err != nil {
			return fmt.Errorf("%s cannot be entered: %w", from, err)
		}
		if err := os.Chdir("/"); err != nil {
			return err
		}
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := handOver(folder, programs, time.Now(), stdout); err != nil {
			if !removed(folder) {
				return err
			}
			// The agent took it away with all that is ours: to make it again would undo that. This pod ends soon.
			fmt.Fprintln(stdout, "the folder was removed: this node is drained")
			<-ctx.Done()
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func removed(folder *os.Root) bool {
	found, err := folder.Stat(".")
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	status, known := found.Sys().(*syscall.Stat_t)
	return known && status.Nlink == 0
}

func handOver(folder *os.Root, programs []program, now time.Time, stdout io.Writer) error {
	var failures []error
	copied := false
	for _, each := range programs {
		found, err := folder.Lstat(each.sum)
		if err == nil && found.Mode().IsRegular() && found.Size() > 0 {
			if now.Sub(found.ModTime()).Abs() > vouched {
				err = folder.Chtimes(each.sum, now, now)
				if errors.Is(err, os.ErrNotExist) {
					err = nil // the next look brings it again
				}
			}
			failures = append(failures, err)
			continue
		}
		if !copied {
			copied = true
			failures = append(failures, sweep(folder, now))
		}
		if err := bring(folder, each); err != nil {
			failures = append(failures, err)
			continue
		}
		fmt.Fprintf(stdout, "handed over %s (sha256 %s)\n", each.path, each.sum[:12])
	}
	return errors.Join(failures...)
}

func bring(folder *os.Root, each program) error {
	// Not to hang on what is no file.
	source, err := os.OpenFile(each.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("the image has no readable %s: %w", each.path, errors.Unwrap(err))
	}
	defer source.Close()
	if found, err := source.Stat(); err != nil || !found.Mode().IsRegular() {
		return fmt.Errorf("%s of the image is not a regular file", each.path)
	}
	return write(folder, each.sum, func(target io.Writer) error {
		sum := sha256.New()
		if _, err := io.Copy(io.MultiWriter(target, sum), source); err != nil {
			return err
		}
		if has := hex.EncodeToString(sum.Sum(nil)); has != each.sum {
			return fmt.Errorf("%s of the image has the sha256 %s, and the Installation says %s", each.path, has, each.sum)
		}
		return nil
	}, 0o600)
}

func copySelf(path string) error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	at := strings.LastIndexByte(path, '/')
	folder, err := os.OpenRoot(path[:at+1] + ".")
	if err != nil {
		return err
	}
	defer folder.Close()
	return write(folder, path[at+1:], func(target io.Writer) error {
		_, err := io.Copy(target, self)
		return err
	}, 0o755)
}

// write makes a file whole, or leaves what was there.
func write(folder *os.Root, name string, fill func(io.Writer) error, mode os.FileMode) error {
	temporary := "." + name + "." + rand.Text()[:16] + suffix
	target, err := folder.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(fill(target), target.Chmod(mode), target.Sync(), target.Close())
	if err == nil {
		err = folder.Rename(temporary, name)
	}
	if err != nil {
		_ = folder.Remove(temporary)
		return err
	}
	return sync(folder)
}

func sync(folder *os.Root) error {
	opened, err := folder.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}

// sweep removes what killed writers left; others may be writing at this moment.
func sweep(folder *os.Root, now time.Time) error {
	opened, err := folder.Open(".")
	if err != nil {
		return err
	}
	names, err := opened.Readdirnames(-1)
	failures := []error{err, opened.Close()}
	for _, name := range names {
		if !strings.HasPrefix(name, ".") || !strings.HasSuffix(name, suffix) {
			continue
		}
		if found, err := folder.Lstat(name); err == nil && now.Sub(found.ModTime()).Abs() > abandoned {
			failures = append(failures, folder.Remove(name))
		}
	}
	return errors.Join(failures...)
}
