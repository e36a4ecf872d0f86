"""Ring 2: all traffic with the node: files, binaries, journal, inotify, plugin execution."""
