"""The catalogue of rules: owns every code, its default severity, its title, and why it is a rule.

Codes are stable: one that is no longer used is not given to another rule. docs/rules.md is generated from here.
The families: MR1xx configuration, MR2xx reference, MR3xx addressing, MR4xx node, MR5xx pod.
"""

from __future__ import annotations

from mooring.rules.findings import Rule, Severity

_E, _W, _A = Severity.ENFORCE, Severity.WARN, Severity.AUDIT

_RULES = (
    Rule(
        "MR100",
        _E,
        "The manifest has the wrong shape",
        "The API server refuses or silently drops such a field; the network would have no configuration.",
    ),
    Rule(
        "MR101",
        _E,
        "The configuration is not JSON",
        "No plugin can read it. It is the most frequent mistake of all: a comma too many or too few, a remark "
        "inside the string, a bracket that is never closed.",
        relaxable=False,
    ),
    Rule("MR102", _E, "The configuration is not an object", "CNI configurations are objects.", relaxable=False),
    Rule(
        "MR103",
        _E,
        "Neither type nor plugins",
        "A configuration names one plugin in `type`, or several in `plugins`; without either there is nothing "
        "to execute. Both names are looked up in exactly this spelling.",
    ),
    Rule("MR104", _E, "A chain that cannot be executed", "Each entry of `plugins` is an object with a `type`."),
    Rule(
        "MR105",
        _E,
        "A type that is not the name of a binary",
        "Plugins are looked up by name in the folder of CNI binaries; a path would leave it.",
    ),
    Rule(
        "MR106",
        _E,
        "A version of the CNI specification that does not exist",
        "Plugins refuse a version that they do not know, so that every pod with this network fails.",
    ),
    Rule(
        "MR107",
        _E,
        "An illegal network name",
        "The CNI library takes letters, digits, `_`, `.` and `-`, beginning with a letter or digit: the name "
        "becomes part of file names.",
    ),
    Rule(
        "MR108",
        _E,
        "A meta-plugin that delegates to itself",
        "Each pod would start processes until its node has no memory left.",
    ),
    Rule(
        "MR109",
        _W,
        "A key stands twice",
        "Only the last one counts; the other one is what somebody believes to be in effect.",
    ),
    Rule(
        "MR113",
        _W,
        "Both type and plugins",
        "With a `type` the configuration is that of one plugin, and what stands in `plugins` is not executed.",
    ),
    Rule(
        "MR116",
        _A,
        "No cniVersion",
        "Mooring fills one in. Other runtimes take 0.1.0, whose results hold neither interfaces nor several addresses.",
    ),
    Rule(
        "MR120",
        _E,
        "An option of the wrong type",
        "The plugin cannot decode it, so that every pod with this network fails. Text that looks like a number "
        "is not a number.",
    ),
)

RULES: dict[str, Rule] = {rule.code: rule for rule in _RULES}
