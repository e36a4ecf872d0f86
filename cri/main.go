// mooring-cri asks a node's container runtime one question by CRI and prints the answer as one JSON object.
//
//	mooring-cri status SOCKET       what the runtime is, and which CNI networks it has loaded
//	mooring-cri sandboxes SOCKET    the pod sandboxes that it knows
//
// The agent executes it when it needs to know: a gRPC library in the agent would double what it weighs. It asks once,
// tries nothing again and never waits longer than its deadline; who calls it decides what a failure means.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// formatVersion is the version of what is printed (contract/): another number means that a field changed its meaning.
const formatVersion = 1

// How a call ends.
const (
	exitAnswered = 0
	exitFailed   = 1 // the runtime refused, was not there, or did not answer in time
	exitUsage    = 2
)

const usage = "usage: mooring-cri [-timeout 5s] status|sandboxes SOCKET"

// mostBytes bounds an answer: 50,000 sandboxes with their labels and annotations are about 40 MB.
const mostBytes = 128 << 20

// question asks the runtime and returns what is printed.
type question func(context.Context, runtime.RuntimeServiceClient) (any, error)

var questions = map[string]question{"status": askStatus, "sandboxes": askSandboxes}

// Set at link time.
var version = "development"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(arguments []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("mooring-cri", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	timeout := flags.Duration("timeout", 5*time.Second, "")
	told := flags.Bool("version", false, "")
	err := flags.Parse(arguments)
	if err == nil && *told {
		fmt.Fprintf(stdout, "mooring-cri %s\n", version)
		return exitAnswered
	}
	ask := questions[flags.Arg(0)]
	if err != nil || ask == nil || flags.NArg() != 2 || flags.Arg(1) == "" || *timeout <= 0 {
		fmt.Fprintln(stderr, usage)
		return exitUsage
	}
	if err := answer(ask, flags.Arg(1), *timeout, stdout); err != nil {
		fmt.Fprintf(stderr, "mooring-cri: %s %s: %s\n", flags.Arg(0), flags.Arg(1), clause(err, *timeout))
		return exitFailed
	}
	return exitAnswered
}

func answer(ask question, socket string, timeout time.Duration, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	// gRPC would try a socket that is not there until the deadline; this says at once what is wrong with it.
	if found, err := os.Stat(socket); err != nil {
		return errors.Unwrap(err)
	} else if found.Mode()&os.ModeSocket == 0 {
		return errors.New("it is not a socket")
	}
	// Dialled by us: gRPC's own resolver reads a path as a URL.
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", socket)
	}
	connection, err := grpc.NewClient(
		"passthrough:///runtime",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"),
		grpc.WithContextDialer(dial),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(mostBytes)),
	)
	if err != nil {
		return err
	}
	defer connection.Close()
	said, err := ask(ctx, runtime.NewRuntimeServiceClient(connection))
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(said)
}

// clause says an error for the person who reads it in a NodeState.
func clause(err error, timeout time.Duration) string {
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		return fmt.Sprintf("the runtime did not answer within %s", timeout)
	case codes.Unimplemented:
		return "what listens there does not serve the CRI's runtime service v1"
	}
	told, ok := status.FromError(err)
	if !ok {
		return err.Error()
	}
	message := told.Message()
	// Of a connection that fails, gRPC tells its own layers before the reason.
	if _, reason, found := strings.Cut(message, "connect: "); found && told.Code() == codes.Unavailable {
		return strings.TrimSuffix(reason, `"`)
	}
	return message
}
