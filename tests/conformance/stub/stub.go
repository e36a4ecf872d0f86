// A CNI plugin that does nothing: it records what it is called with and answers from a script.
//
// MOORING_STUB names a folder. Every call is appended to calls.jsonl in it. What the plugin
// does is read from answers.json: an object whose keys are "<type>.<VERB>.<ifname>",
// "<type>.<VERB>" or "<VERB>", the first that is there.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type answer struct {
	Stdout string          `json:"stdout"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
	Stderr string          `json:"stderr"`
	Exit   int             `json:"exit"`
	Hang   bool            `json:"hang"`
	Flood  int             `json:"flood"`
	// KillParent ends the program under test the hard way, in the middle of a delegate's work.
	KillParent bool `json:"killParent"`
	// WaitFor is a file that must exist before the answer is given.
	WaitFor string `json:"waitFor"`
	// Break is a path to make unusable by replacing it with a folder.
	Break string `json:"break"`
	// Fill is a folder of a small file system in which no room is left.
	Fill string `json:"fill"`
	// Child is a process that outlives this one unless somebody ends it; its id is in the file "child".
	Child bool `json:"child"`
	// Collect is a folder with leases of host-local, of which those go that GC does not name as valid.
	Collect string `json:"collect"`
}

func main() {
	stdin, err := io.ReadAll(os.Stdin)
	check(err)
	verb, kind := os.Getenv("CNI_COMMAND"), filepath.Base(os.Args[0])
	ifName := os.Getenv("CNI_IFNAME")
	folder := os.Getenv("MOORING_STUB")
	if folder == "" {
		check(fmt.Errorf("MOORING_STUB is not set"))
	}
	begun := time.Now()
	script := map[string]answer{}
	if data, err := os.ReadFile(filepath.Join(folder, "answers.json")); err == nil {
		check(json.Unmarshal(data, &script))
	}
	chosen := answer{}
	for _, key := range []string{kind + "." + verb + "." + ifName, kind + "." + verb, verb} {
		if found, present := script[key]; present {
			chosen = found
			break
		}
	}
	record(folder, "begin", kind, verb, stdin, begun)
	if chosen.Child {
		child := exec.Command("sleep", "600")
		check(child.Start())
		check(os.WriteFile(filepath.Join(folder, "child"), []byte(strconv.Itoa(child.Process.Pid)), 0o600))
	}
	if chosen.KillParent {
		check(syscall.Kill(os.Getppid(), syscall.SIGKILL))
	}
	for chosen.WaitFor != "" {
		if _, err := os.Stat(chosen.WaitFor); err == nil {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	if chosen.Break != "" {
		check(os.RemoveAll(chosen.Break))
		check(os.Mkdir(chosen.Break, 0o700))
	}
	if chosen.Fill != "" {
		fill(chosen.Fill)
	}
	if chosen.Collect != "" {
		collect(chosen.Collect, stdin)
	}
	if chosen.Hang {
		time.Sleep(time.Hour)
	}
	for range chosen.Flood {
		fmt.Print(strings.Repeat("x", 1<<20))
	}
	fmt.Fprint(os.Stderr, chosen.Stderr)
	record(folder, "end", kind, verb, stdin, time.Now())
	switch {
	case len(chosen.Error) > 0:
		_, err = os.Stdout.Write(chosen.Error)
		check(err)
		os.Exit(max(1, chosen.Exit))
	case chosen.Stdout != "":
		fmt.Print(chosen.Stdout)
	case len(chosen.Result) > 0:
		_, err = os.Stdout.Write(chosen.Result)
		check(err)
	case verb == "VERSION":
		fmt.Print(`{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}`)
	case verb == "ADD":
		fmt.Print(result(stdin, ifName))
	}
	os.Exit(chosen.Exit)
}

// result is what a plugin of the configuration's version says when it made an interface.
func result(stdin []byte, ifName string) string {
	var conf struct {
		CNIVersion string          `json:"cniVersion"`
		PrevResult json.RawMessage `json:"prevResult"`
	}
	check(json.Unmarshal(stdin, &conf))
	if len(conf.PrevResult) > 0 {
		return string(conf.PrevResult)
	}
	switch conf.CNIVersion {
	case "", "0.1.0", "0.2.0":
		return `{"cniVersion":"` + conf.CNIVersion + `","ip4":{"ip":"10.9.0.2/24","gateway":"10.9.0.1"},"dns":{}}`
	}
	family := ""
	if strings.HasPrefix(conf.CNIVersion, "0.") {
		family = `"version":"4",`
	}
	return `{"cniVersion":"` + conf.CNIVersion + `","interfaces":[{"name":"` + ifName + `","mac":"02:00:00:00:00:01","sandbox":"` +
		os.Getenv("CNI_NETNS") + `"}],"ips":[{` + family + `"interface":0,"address":"10.9.0.2/24"}],"dns":{}}`
}

// fill writes until there is no room for one more byte.
func fill(folder string) {
	file, err := os.Create(filepath.Join(folder, ".full"))
	check(err)
	for size := 1 << 20; size > 0; {
		if _, err := file.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else {
			check(err)
		}
	}
	check(file.Close())
}

// collect does what no reference plugin does yet.
func collect(folder string, stdin []byte) {
	var conf struct {
		Valid []struct{ ContainerID, IfName string } `json:"cni.dev/valid-attachments"`
	}
	check(json.Unmarshal(stdin, &conf))
	kept := map[string]bool{}
	for _, attachment := range conf.Valid {
		kept[attachment.ContainerID+"\r\n"+attachment.IfName] = true
	}
	entries, err := os.ReadDir(folder)
	check(err)
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		lease, err := os.ReadFile(path)
		check(err)
		if strings.Contains(string(lease), "\r\n") && !kept[string(lease)] {
			check(os.Remove(path))
		}
	}
}

func record(folder, event, kind, verb string, stdin []byte, at time.Time) {
	environment := map[string]string{}
	for _, pair := range os.Environ() {
		key, value, _ := strings.Cut(pair, "=")
		environment[key] = value
	}
	line, err := json.Marshal(map[string]any{
		"event": event, "type": kind, "verb": verb, "env": environment, "raw": string(stdin),
		"conf": json.RawMessage(orNull(stdin)), "at": at.UnixNano(), "pid": os.Getpid(),
	})
	check(err)
	file, err := os.OpenFile(filepath.Join(folder, "calls.jsonl"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	check(err)
	_, err = file.Write(append(line, '\n'))
	check(err)
	check(file.Close())
}

func orNull(data []byte) []byte {
	if len(bytes.TrimSpace(data)) == 0 {
		return []byte("null")
	}
	return data
}

func check(err error) {
	if err != nil {
		fmt.Printf(`{"code":999,"msg":%q}`, "stub: "+err.Error())
		os.Exit(1)
	}
}
