package apiserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/networks"
	"mooring.dev/mooring/plugin/internal/object"
	"mooring.dev/mooring/plugin/internal/podinfo"
)

const (
	requestTimeout = 2500 * time.Millisecond
	retryPause     = 250 * time.Millisecond
	eventTimeout   = 2500 * time.Millisecond
	maxAnswer      = 8 << 20
	userAgent      = "mooring-plugin"
)

// Client asks the API server. It holds a path until something is asked.
type Client struct {
	Kubeconfig string
	Patience   time.Duration // how long an answer is waited for in all; 0 means the usual
	access     *access
	http       *http.Client
}

// statusError is an answer that is no success.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %s", e.code, e.text) }

// Pod waits, within bounds, for a pod to be there: the watch of the kubelet may be ahead of
// the server that answers us. podinfo.ErrNoPod where it does not appear.
func (c *Client) Pod(ctx context.Context, namespace, name string) (*podinfo.Pod, error) {
	pod, err := c.pod(ctx, namespace, name, http.StatusNotFound)
	if isStatus(err, http.StatusNotFound) {
		return nil, podinfo.ErrNoPod
	}
	return pod, err
}

// pod asks for a pod, again where these codes are answered.
func (c *Client) pod(ctx context.Context, namespace, name string, again ...int) (*podinfo.Pod, error) {
	var pod struct {
		Metadata podinfo.Pod `json:"metadata"`
	}
	err := c.patiently(ctx, func(ctx context.Context) error {
		return c.do(ctx, http.MethodGet, podPath(namespace, name), nil, "", nil, &pod)
	}, again...)
	if err != nil {
		return nil, err
	}
	return &pod.Metadata, answersFor(namespace, name, pod.Metadata.Namespace, pod.Metadata.Name)
}

// answersFor refuses an answer about something else, or about nothing: a proxy in between may
// say 200 to anything, and a pod without annotations is one without networks.
func answersFor(namespace, name, gotNamespace, gotName string) error {
	if gotNamespace == namespace && gotName == name {
		return nil
	}
	return fmt.Errorf("asked for %s/%s, the answer is about %q/%q: not an answer of an API server", namespace, name, gotNamespace, gotName)
}

// Definition reads a NetworkAttachmentDefinition; networks.ErrAbsent where there is none,
// networks.ErrRefused where the server gives another answer.
func (c *Client) Definition(ctx context.Context, namespace, name string) (*networks.Definition, error) {
	var found struct {
		Metadata struct {
			Namespace   string            `json:"namespace"`
			Name        string            `json:"name"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Spec struct {
			Config string `json:"config"`
		} `json:"spec"`
	}
	err := c.patiently(ctx, func(ctx context.Context) error {
		return c.do(ctx, http.MethodGet, "/apis/k8s.cni.cncf.io/v1/namespaces/"+url.PathEscape(namespace)+"/network-attachment-definitions/"+url.PathEscape(name), nil, "", nil, &found)
	})
	if isStatus(err, http.StatusNotFound) {
		return nil, networks.ErrAbsent
	}
	if refused(err) {
		return nil, fmt.Errorf("%w: %w", networks.ErrRefused, err)
	}
	if err == nil {
		err = answersFor(namespace, name, found.Metadata.Namespace, found.Metadata.Name)
	}
	if err != nil {
		return nil, err
	}
	return &networks.Definition{Namespace: namespace, Name: name, ResourceName: found.Metadata.Annotations["k8s.v1.cni.cncf.io/resourceName"], Config: found.Spec.Config}, nil
}

// Get reads an object or a list by its path.
func (c *Client) Get(ctx context.Context, path string, query url.Values, into any) error {
	return c.patiently(ctx, func(ctx context.Context) error {
		return c.do(ctx, http.MethodGet, path, query, "", nil, into)
	})
}

// Warn records a Warning event on a pod. It is tried once. What was said already, and is still
// known to the server, is not said again: a pod that is stuck fails every few seconds.
func (c *Client) Warn(ctx context.Context, pod journal.Pod, reason, message string, now time.Time) error {
	limited, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	node, err := os.Hostname()
	if err != nil {
		node = "unknown"
	}
	event := map[string]any{
		"apiVersion": "events.k8s.io/v1", "kind": "Event", "type": "Warning", "reason": reason, "note": cut(message), "action": "Attaching",
		"metadata":            map[string]any{"name": eventName(pod, reason, message), "namespace": pod.Namespace},
		"regarding":           map[string]any{"apiVersion": "v1", "kind": "Pod", "namespace": pod.Namespace, "name": pod.Name, "uid": pod.UID},
		"eventTime":           now.UTC().Format(journal.TimeFormat),
		"reportingController": "mooring.dev/plugin", "reportingInstance": node,
	}
	err = c.do(limited, http.MethodPost, "/apis/events.k8s.io/v1/namespaces/"+url.PathEscape(pod.Namespace)+"/events", nil, "application/json", object.Encode(event), nil)
	if isStatus(err, http.StatusConflict) {
		return nil
	}
	return err
}

// eventName is the same for the same words about the same pod.
func eventName(pod journal.Pod, reason, message string) string {
	const most = 200
	name := pod.Name
	if len(name) > most {
		name = strings.TrimRight(name[:most], "-.")
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{pod.UID, reason, message}, "\x00")))
	return name + "." + hex.EncodeToString(sum[:8])
}

// cut keeps a note within the API's bound of 1024 bytes.
func cut(text string) string {
	const most = 1000
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// patiently repeats a request while the server is away, busy, or answers one of these codes.
func (c *Client) patiently(ctx context.Context, try func(context.Context) error, again ...int) error {
	if err := c.connect(); err != nil {
		return err
	}
	patience := c.Patience
	if patience == 0 {
		patience = requestTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	for {
		err := try(ctx)
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if err == nil {
			return nil
		}
		var status *statusError
		if refused(err) && errors.As(err, &status) && !contains(again, status.code) {
			return err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(retryPause):
		}
	}
}

func (c *Client) do(ctx context.Context, method, path string, query url.Values, contentType string, body []byte, into any) error {
	if err := c.connect(); err != nil {
		return err
	}
	target := c.access.server.JoinPath(path)
	target.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", userAgent)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if c.access.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.access.token)
	} else if c.access.user != "" {
		request.SetBasicAuth(c.access.user, c.access.pass)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		var status struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(data, &status) != nil || status.Message == "" {
			status.Message = http.StatusText(response.StatusCode)
		}
		return &statusError{response.StatusCode, status.Message}
	}
	if into == nil {
		return nil
	}
	if json.Unmarshal(data, into) != nil {
		if kind := object.Kind(data); kind != "an object" || object.Syntax(data) != nil {
			return fmt.Errorf("the answer is %s and no object of the API", kind)
		}
		return errors.New("the answer is an object of another form than the API has")
	}
	return nil
}

func (c *Client) connect() error {
	if c.http != nil {
		return nil
	}
	access, err := load(c.Kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", c.Kubeconfig, err)
	}
	c.access = access
	c.http = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: access.tls, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: false},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

func isStatus(err error, code int) bool {
	var status *statusError
	return errors.As(err, &status) && status.code == code
}

// refused says whether the server answered and will not tell. One that cannot (5xx) or that is
// too busy (429) has not answered, nor has a proxy that says what no API server does.
func refused(err error) bool {
	var status *statusError
	return errors.As(err, &status) && status.code < 500 && status.code != http.StatusTooManyRequests
}

func contains(codes []int, code int) bool {
	for _, candidate := range codes {
		if candidate == code {
			return true
		}
	}
	return false
}
