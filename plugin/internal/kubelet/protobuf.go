package kubelet

import (
	"encoding/binary"
	"errors"

	"mooring.dev/mooring/plugin/internal/devices"
)

var errWire = errors.New("the kubelet's answer is no protocol buffer")

// fields walks over a protocol buffer and hands out its length-delimited fields; nothing that
// we read is of another kind, so the others are passed over.
func fields(message []byte, take func(number uint64, value []byte) error) error {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 {
			return errWire
		}
		message = message[n:]
		switch tag & 7 {
		case 0:
			_, n := binary.Uvarint(message)
			if n <= 0 {
				return errWire
			}
			message = message[n:]
		case 1, 5:
			size := map[uint64]int{1: 8, 5: 4}[tag&7]
			if len(message) < size {
				return errWire
			}
			message = message[size:]
		case 2:
			size, n := binary.Uvarint(message)
			if n <= 0 || size > uint64(len(message)-n) {
				return errWire
			}
			if err := take(tag>>3, message[n:n+int(size)]); err != nil {
				return err
			}
			message = message[n+int(size):]
		default:
			return errWire
		}
	}
	return nil
}

// Numbers of the fields in the kubelet's pod-resources API, version v1.
const (
	listPods        = 1
	podName         = 1
	podNamespace    = 2
	podContainers   = 3
	containerDevice = 2
	deviceResource  = 1
	deviceIDs       = 2
)

// devicesOf reads a ListPodResourcesResponse for one pod.
func devicesOf(response []byte, namespace, name string) (devices.Allocated, error) {
	found := devices.Allocated{}
	err := fields(response, func(number uint64, pod []byte) error {
		if number != listPods {
			return nil
		}
		var itsName, itsNamespace string
		var containers [][]byte
		err := fields(pod, func(number uint64, value []byte) error {
			switch number {
			case podName:
				itsName = string(value)
			case podNamespace:
				itsNamespace = string(value)
			case podContainers:
				containers = append(containers, value)
			}
			return nil
		})
		if err != nil || itsName != name || itsNamespace != namespace {
			return err
		}
		for _, container := range containers {
			if err := addContainer(found, container); err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}

func addContainer(found devices.Allocated, container []byte) error {
	return fields(container, func(number uint64, device []byte) error {
		if number != containerDevice {
			return nil
		}
		var resource string
		var ids []string
		err := fields(device, func(number uint64, value []byte) error {
			switch number {
			case deviceResource:
				resource = string(value)
			case deviceIDs:
				ids = append(ids, string(value))
			}
			return nil
		})
		found.Add(resource, ids...)
		return err
	})
}
