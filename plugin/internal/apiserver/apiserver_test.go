package apiserver

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mooring.dev/mooring/plugin/internal/networks"
)

// client makes a client of a TLS server, by a kubeconfig with these user keys.
func client(t *testing.T, handler http.HandlerFunc, user string) *Client {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	folder := t.TempDir()
	text := "current-context: here\nclusters:\n- name: c\n  cluster:\n    server: " + server.URL + "\n    tls-server-name: example.com\n    certificate-authority-data: " +
		base64.StdEncoding.EncodeToString(authority) + "\ncontexts:\n- name: here\n  context: {cluster: c, user: u}\nusers:\n- name: u\n  user: {" + user + "}\n"
	path := filepath.Join(folder, "kubeconfig")
	for name, data := range map[string]string{path: text, filepath.Join(folder, "token"): "from-a-file\n"} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &Client{Kubeconfig: path, Patience: time.Second}
}

func TestTheServerIsTrustedByItsAuthorityAndToldWhoAsks(t *testing.T) {
	for user, want := range map[string]string{"token: secret": "Bearer secret", "tokenFile: token": "Bearer from-a-file", "username: a, password: b": "Basic YTpi"} {
		c := client(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != want || r.URL.Path != "/apis/k8s.cni.cncf.io/v1/namespaces/ns/network-attachment-definitions/a.b" {
				w.WriteHeader(http.StatusUnauthorized)
			}
			_, _ = w.Write([]byte(`{"metadata":{"namespace":"ns","name":"a.b","annotations":{"k8s.v1.cni.cncf.io/resourceName":"r"}},"spec":{"config":"{}"}}`))
		}, user)
		got, err := c.Definition(context.Background(), "ns", "a.b")
		if err != nil || *got != (networks.Definition{Namespace: "ns", Name: "a.b", ResourceName: "r", Config: "{}"}) {
			t.Errorf("%s: %+v, %v", user, got, err)
		}
	}
}

func TestABusyServerIsAskedAgainAndARefusalIsFinal(t *testing.T) {
	asked := 0
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"metadata":{"namespace":"ns","name":"p","uid":"u"}}`))
	}, "token: t")
	if pod, err := c.Pod(context.Background(), "ns", "p"); err != nil || pod.UID != "u" || asked != 2 {
		t.Errorf("%+v, %v, asked %d times", pod, err, asked)
	}
	refusals := 0
	c = client(t, func(w http.ResponseWriter, _ *http.Request) { refusals++; w.WriteHeader(http.StatusForbidden) }, "token: t")
	if _, err := c.Definition(context.Background(), "ns", "a"); err == nil || errors.Is(err, networks.ErrAbsent) || refusals != 1 {
		t.Errorf("%v, asked %d times", err, refusals)
	}
}

func TestAKubeconfigThatCannotBeUsedIsRefusedWithoutItsSecrets(t *testing.T) {
	for about, text := range map[string]string{
		"no YAML":    "token: hunter2\n\t- x",
		"no context": "current-context: there\nusers: [{name: u, user: {token: hunter2}}]\n",
		"a program":  "current-context: c\nclusters: [{name: c, cluster: {server: 'https://x'}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {token: hunter2, exec: {command: x}}}]\n",
		"no URL":     "current-context: c\nclusters: [{name: c, cluster: {server: here}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {token: hunter2}}]\n",
	} {
		path := filepath.Join(t.TempDir(), "kubeconfig")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := (&Client{Kubeconfig: path}).Definition(context.Background(), "ns", "a")
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", about, err)
		}
	}
}

func TestAKubeconfigIsReadTheSameAsJSONAndAsYAML(t *testing.T) {
	whole := `{"current-context":"here","clusters":[{"name":"c","cluster":{"server":"https://[fd00::1]:6443","tls-server-name":"n"}}],` +
		`"contexts":[{"name":"here","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{"token":"12345"}}]}`
	flow := "# flow style is no JSON\n" + strings.ReplaceAll(whole, `"here"`, "here")
	block := "current-context: here\nclusters:\n- name: c\n  cluster:\n    server: https://[fd00::1]:6443\n    tls-server-name: n\n" +
		"contexts:\n- name: here\n  context: {cluster: c, user: u}\nusers:\n- name: u\n  user:\n    token: 12345\n"
	for _, text := range []string{whole, flow, block} {
		path := filepath.Join(t.TempDir(), "kubeconfig")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := load(path)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got.server.String() != "https://[fd00::1]:6443" || got.tls.ServerName != "n" || got.token != "12345" {
			t.Errorf("%s: %s, %q, %q", text, got.server, got.tls.ServerName, got.token)
		}
	}
}
