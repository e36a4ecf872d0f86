"""A real Kubernetes cluster on one Linux machine, for tests and the demo.

Owns everything that is needed to have one: binaries, images, nodes made of namespaces, and
taking it all away again. Refuses to know Mooring: it brings up the cluster that Mooring is
installed into. Uses the standard library only, so that it runs before anything is installed.
"""
