"""A second kernel for what this machine's kernel lacks: User Mode Linux, a plain process, no KVM.

Owns asking a kernel for its link types, choosing where a program runs, and running it there. Refuses to
know what the program tests, and to let it write anywhere but into the folder that it was given.
"""
