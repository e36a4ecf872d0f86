package attach

import (
	"context"
	"errors"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/apiserver"
	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/netstatus"
)

// conflictTries is how often a status is written anew when the pod changed in between.
const conflictTries = 5

// tell writes the pod's network-status before it starts. A pod that is gone, or is another
// one by now, needs none; any other failure fails the ADD.
func (s *Session) tell(ctx context.Context, states []journal.State) error {
	text, left := netstatus.Text(netstatus.Entries(states), netstatus.MostBytes)
	for try := 1; ; try++ {
		err := s.write(ctx, text)
		switch {
		case err == nil:
			if len(left) > 0 {
				s.shortened(ctx, left)
			}
			return nil
		case errors.Is(err, apiserver.ErrNoPod):
			s.Log.Warnf("network-status: %v", err)
			return nil
		case !errors.Is(err, apiserver.ErrConflict) || try == conflictTries:
			return cnierror.New(types.ErrTryAgainLater, "the network-status cannot be written: %v", err)
		}
	}
}

func (s *Session) write(ctx context.Context, text string) error {
	pod, err := s.API.Pod(ctx, s.pod.Namespace, s.pod.Name)
	if err != nil {
		return err
	}
	if !samePod(s.pod.UID, pod) {
		s.Log.Warnf("network-status: the pod is another one by now (UID %s)", pod.UID)
		return nil
	}
	if pod.Annotations[netstatus.Annotation] == text {
		return nil
	}
	return s.API.Annotate(ctx, s.pod.Namespace, s.pod.Name, pod.UID, netstatus.Annotation, text)
}

// samePod compares UIDs; the runtime knows a static pod by the hash of its file, which its
// mirror at the API server tells.
func samePod(uid string, pod *apiserver.Pod) bool {
	return uid == "" || uid == pod.UID || uid == pod.Annotations["kubernetes.io/config.hash"]
}

func (s *Session) shortened(ctx context.Context, left []string) {
	text := "network-status is too long for an annotation, these networks are not in it: " + strings.Join(left, ", ")
	s.Log.Warnf("%s", text)
	if err := s.API.Warn(ctx, s.pod, "NetworkStatusShortened", text, s.Now()); err != nil {
		s.Log.Warnf("the event NetworkStatusShortened: %v", err)
	}
}
