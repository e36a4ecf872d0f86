module mooring.dev/mooring/tests/conformance/stub

go 1.26
