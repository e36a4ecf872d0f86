package kubelet

import (
	"reflect"
	"testing"

	"mooring.dev/mooring/plugin/internal/devices"
)

func field(number int, content string) string {
	return string(rune(number<<3|2)) + string(rune(len(content))) + content
}

func TestAPodsDevicesAreFoundAmongAllPods(t *testing.T) {
	device := field(1, "example.com/nic") + field(2, "dev-b") + field(2, "dev-a") + "\x18\x05"
	other := field(1, "example.com/gpu") + field(2, "g0")
	response := field(1, field(1, "web")+field(2, "default")+field(3, field(1, "c")+field(2, device)+field(2, other))) +
		field(1, field(1, "web")+field(2, "elsewhere")+field(3, field(2, field(1, "example.com/nic")+field(2, "not-mine"))))
	got, err := devicesOf([]byte(response), "default", "web")
	want := devices.Allocated{"example.com/nic": {"dev-b", "dev-a"}, "example.com/gpu": {"g0"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func FuzzTheKubeletsAnswerNeverPanics(f *testing.F) {
	f.Add([]byte(field(1, field(1, "web")+field(2, "default"))))
	f.Add([]byte("\x08\x01\x0d1234\x091234567\x0a\xff"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = devicesOf(data, "default", "web") })
}

func TestTheCheckpointIsReadInBothForms(t *testing.T) {
	text := `{"Data":{"PodDeviceEntries":[
		{"PodUID":"u","ContainerName":"c","ResourceName":"r","DeviceIDs":{"0":["b"],"-1":["a"]}},
		{"PodUID":"u","ContainerName":"d","ResourceName":"r","DeviceIDs":["c","a"]},
		{"PodUID":"v","ResourceName":"r","DeviceIDs":["x"]}]},"Checksum":1}`
	got, err := fromCheckpoint([]byte(text), "u")
	if err != nil || len(got["r"]) != 3 {
		t.Errorf("got %v, %v", got, err)
	}
}
