// Package boot tells the time by a clock that nobody can set: which boot it is, and for how long
// it has lasted. It knows nothing of the time of day.
package boot

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Moment is a point in time: seconds since a boot, suspended time included. Without an ID it is
// unknown.
type Moment struct {
	ID      string
	Seconds float64
}

// Now is this moment.
func Now() Moment { return Moment{ID(), Seconds()} }

// ID is the running kernel's, empty where it has none.
func ID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// Seconds since the boot; negative where the kernel does not say.
func Seconds() float64 {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return -1
	}
	return float64(now.Sec) + float64(now.Nsec)/float64(time.Second)
}

// Until is how many seconds after m another moment of the same boot is; 0 for another boot's.
func (m Moment) Until(later Moment) float64 {
	if m.ID == "" || m.ID != later.ID {
		return 0
	}
	return later.Seconds - m.Seconds
}
