package attach

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/config"
	"mooring.dev/mooring/plugin/internal/podinfo"
	"mooring.dev/mooring/plugin/internal/status"
)

// canWriteStatus refuses a configuration that asks for a status which nobody could write.
func (s *Session) canWriteStatus() error {
	if s.Config.Status == config.StatusRequired && s.API == nil {
		return cnierror.New(types.ErrInvalidNetworkConfig, "statusBeforeStart: the configuration names no kubeconfig to write the network-status with")
	}
	return nil
}

// writeStatus writes the pod's network-status where no agent does, or where it must be there
// before the pod starts. Only then is it an error that it cannot be written.
func (w *work) writeStatus(ctx context.Context) error {
	if w.Config.Status == config.StatusByAgent || w.API == nil || w.pod.Namespace == "" || w.pod.Name == "" {
		return nil
	}
	attached := make([]status.Attached, 0, len(w.states))
	for i := range w.states {
		state := &w.states[i]
		told := status.Attached{Network: state.Network, Default: state.Default, Result: state.Result, DeviceInfo: state.DeviceInfo}
		if state.DefaultRoute != nil {
			told.DefaultRoute = append([]string{}, *state.DefaultRoute...)
		}
		attached = append(attached, told)
	}
	text, leftOut := status.Text(attached, status.MostBytes)
	err := w.API.Annotate(ctx, w.pod, status.Annotation, text)
	switch {
	case errors.Is(err, podinfo.ErrNoPod), errors.Is(err, podinfo.ErrOtherPod):
		w.Log.Warnf("the network-status is not written: %v", err)
		return nil
	case err != nil && w.Config.Status == config.StatusRequired:
		return cnierror.New(types.ErrTryAgainLater, "statusBeforeStart: the network-status cannot be written: %v", err)
	case err != nil:
		w.Log.Warnf("the network-status cannot be written: %v", err)
		return nil
	}
	if len(leftOut) > 0 {
		note := fmt.Sprintf("The network-status would be too long; it leaves out %s", strings.Join(leftOut, ", "))
		if err := w.API.Warn(ctx, w.pod, "NetworkStatusTooLong", note, w.Now()); err != nil {
			w.Log.Warnf("the event NetworkStatusTooLong: %v", err)
		}
	}
	return nil
}
