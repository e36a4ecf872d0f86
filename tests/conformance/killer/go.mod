module mooring.dev/mooring/tests/conformance/killer

go 1.26
