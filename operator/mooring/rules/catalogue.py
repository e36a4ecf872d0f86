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
        "MR110",
        _W,
        "An option that the plugin does not read",
        "Plugins ignore what they do not know, so a misspelt option does nothing and nobody says so.",
    ),
    Rule(
        "MR111",
        _W,
        "An option of another plugin",
        "It is legal and ignored: a VLAN on a macvlan, a bridge's option on another plugin.",
    ),
    Rule(
        "MR112",
        _W,
        "A type that looks misspelt",
        "No plugin of this name is known, and one of a similar name is. Where the binary is missing on a node, "
        "every pod with this network fails there.",
    ),
    Rule(
        "MR113",
        _W,
        "Both type and plugins",
        "With a `type` the configuration is that of one plugin, and what stands in `plugins` is not executed.",
    ),
    Rule(
        "MR114",
        _W,
        "A plugin without the addresses that it needs",
        "The plugin runs its IPAM plugin whether there is one or not, and fails.",
    ),
    Rule(
        "MR115",
        _W,
        "An IPAM section without a type",
        "Without a type no IPAM plugin runs, and the rest of the section does nothing.",
    ),
    Rule(
        "MR116",
        _A,
        "No cniVersion",
        "Mooring fills one in. Others take 0.1.0, whose results hold neither interfaces nor several addresses.",
    ),
    Rule(
        "MR117",
        _W,
        "A plugin in the wrong place",
        "An IPAM plugin makes no interface, and a plugin that makes one gives no addresses.",
    ),
    Rule(
        "MR120",
        _E,
        "An option of the wrong type",
        "The plugin cannot decode it, so every pod with this network fails. A number in quotes is a text.",
    ),
    Rule(
        "MR121",
        _E,
        "A value that does not exist",
        "The plugin refuses it: a VLAN above 4094, a mode that there is not, a name with a blank.",
    ),
    Rule(
        "MR122",
        _E,
        "Options that are missing, or exclude one another",
        "The plugin refuses the combination.",
    ),
    Rule(
        "MR123",
        _W,
        "A chained plugin that comes first",
        "It works on the interface of a plugin before it, and fails where there is none.",
    ),
    Rule(
        "MR124",
        _W,
        "Two plugins that make the interface",
        "The second one finds its name taken, and fails.",
    ),
    Rule(
        "MR125",
        _E,
        "More than can be judged",
        "A definition is judged to its end before it is taken, while the API server waits. One that holds thousands of "
        "plugins, ranges or routes would take longer than that, and so would every pod that uses it.",
        relaxable=False,
    ),
    Rule(
        "MR201",
        _W,
        "A device that nobody names",
        "The plugin moves a device into the pod and is told none, neither in the configuration nor by the kubelet.",
    ),
    Rule(
        "MR202",
        _W,
        "A resource name that is none",
        "The kubelet is asked for a resource of this name; it will have none.",
    ),
    Rule(
        "MR203",
        _W,
        "One network name for different networks",
        "Leases, results and device records are kept by the name of the network: two networks of one name take "
        "each other's addresses.",
    ),
    Rule(
        "MR301",
        _E,
        "Not an address",
        "The plugin cannot decode it.",
    ),
    Rule(
        "MR302",
        _E,
        "A range outside its network",
        "host-local refuses it when a pod starts.",
    ),
    Rule(
        "MR303",
        _W,
        "A gateway outside its network",
        "It is legal, and pods cannot reach the gateway.",
    ),
    Rule(
        "MR304",
        _E,
        "A range that ends before it begins",
        "host-local refuses it when a pod starts.",
    ),
    Rule(
        "MR305",
        _E,
        "A network too small to give addresses of",
        "host-local needs at least two host bits.",
    ),
    Rule(
        "MR306",
        _E,
        "A network with host bits",
        "host-local takes the network address only, so that a typing error in the prefix is noticed.",
    ),
    Rule(
        "MR307",
        _E,
        "Ranges that overlap, or mix families",
        "host-local refuses them when a pod starts.",
    ),
    Rule(
        "MR308",
        _E,
        "No address to give",
        "host-local refuses to start without a range, or runs out with the first pod.",
    ),
    Rule(
        "MR309",
        _W,
        "Bounds of a range without its network",
        "They do nothing: host-local looks at them only beside a `subnet`.",
    ),
    Rule(
        "MR311",
        _A,
        "Addresses of one node on a network of several",
        "host-local keeps its leases on each node, so that pods of two nodes get the same address.",
    ),
    Rule(
        "MR312",
        _E,
        "More addresses than the version can hold",
        "Up to CNI 0.2.0 a result holds one IPv4 and one IPv6 address, and the plugin refuses more.",
    ),
    Rule(
        "MR313",
        _W,
        "A route with host bits in its destination",
        "The kernel refuses it when the pod starts.",
    ),
    Rule(
        "MR314",
        _W,
        "A route through a gateway of the other family",
        "The plugin cannot set it.",
    ),
    Rule(
        "MR320",
        _W,
        "Two definitions give the same addresses",
        "Both give addresses of one range on the same bridge or master, and neither knows the leases of the other.",
    ),
    Rule(
        "MR501",
        _E,
        "A selection of networks that cannot be read",
        "The meta-plugin refuses it, and the pod does not start: better than a pod without a network "
        "that was asked for.",
    ),
    Rule(
        "MR502",
        _E,
        "Two networks on one interface",
        "The second one would find the name taken.",
    ),
    Rule(
        "MR503",
        _E,
        "Not exactly one default network",
        "A pod has one default network.",
    ),
    Rule(
        "MR504",
        _W,
        "A key in a selection that nobody reads",
        "Keys without a dot are reserved; a misspelt one does nothing.",
    ),
    Rule(
        "MR505",
        _E,
        "Two gateways for one default route",
        "The meta-plugin refuses it: it would be chance which is taken.",
    ),
    Rule(
        "MR510",
        _W,
        "A network that does not exist",
        "The pod waits until it does. Things are applied in any order, so this is a warning.",
    ),
    Rule(
        "MR511",
        _W,
        "A network of a namespace that is isolated",
        "The meta-plugin refuses it when the pod starts.",
    ),
)

RULES: dict[str, Rule] = {rule.code: rule for rule in _RULES}
