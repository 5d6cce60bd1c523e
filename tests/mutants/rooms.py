# SPDX-License-Identifier: Apache-2.0
"""Which tests of "make check" see a mutation of a file soonest: the cheapest first, some 30 s in all.

A row: the beginning of the file's path in src/, the suites of tests/unit, the fuzz targets, the scripts of tests/config, and
the functions of tests/net/test_NAME.py. All units that are not slow run for each file; the first row that fits counts.
"""
# They take seconds each: of the file's own suites they run, too.
SLOW = "merge/more_numbers*|merge/in_order_and*|merge_killed/*|config/no_cut*|trust/each_*|stats/reader_*"

_PACKET = {"hostile": "bad_udp_checksum malformed cut_frames vlan_tags", "fragments": "any_order overlapping6 filtered",
           "vlan": "vlan_input", "basic": "emitted_frame ttl_number dscp_preserve"}
_STREAM = {"basic": "one_rule_group plain_sockets source_port_given", "fanout": "disabled_rule several_sources two_inputs",
           "keep": "preserve_fragments", "payloads": "mix", "legs": "own_sources", "ranges": "counterparts"}
_LOAD = {"reload": "counters record bucket", "links": "late_input down_and_up", "start": "missing_wait uptime reload_broken"}
_REQUEST = {"start": "reload_broken reload_unchanged stats_directory broker_dies", "audit": "chain full_disk required",
            "restart": "fresh which_file", "attack": "nonsense broker_dies_loading many_loads record"}

ROOMS = (
    ("wire/merge", "merge merge_* rig", "merge forward", "", {"merge": "rtp in_order payload active reload",
     "restart_merges": "short_wait"}),
    ("wire/monitor", "monitor rig", "monitor forward", "", {"monitor": "rtp_figures field transport blind reload_keeps silent_leg"}),
    ("wire/reassembly", "reassembly rig", "reassembly forward", "", {
     "fragments": "large any_order overlapping interfaces vlans across_reload"}),
    ("wire/", "packet rig", "packet forward", "explain", _PACKET),
    ("relay/limiter", "limiter rig", "forward", "", {"health": "per_source forged shadow limited", "ranges": "limit"}),
    ("relay/egress", "tx_ring rig", "forward relay", "", {"offload": "source_gso fallbacks max_payload shorter_last_cut",
     "tx_ring": "many_flows mixtures_tagged narrow", **_STREAM}),
    ("relay/tx_ring", "tx_ring rig", "forward relay", "", {"tx_ring": "many_flows outputs mixtures smaller_mtu made_again narrow"}),
    ("relay/ingress", "ingress rig", "forward relay", "", {"hostile": "other_station own_frames",
     "overflow": "ring_overflow super_frame_overflow input_gone", "fragments": "across_reload", "restart": "broker_killed",
     "residence": "burst", **_STREAM}),
    ("relay/rings", "ingress rig", "relay", "", {"overflow": "ring_overflow input_down", "residence": "burst",
     "health": "alone waiting", **_STREAM}),
    ("relay/forward_life", "memory rig", "forward relay", "", {"restart": "monitors", "reload": "counters bucket"}),
    ("relay/forward", "forward rig", "forward", "explain", {"residence": "deadline", "merge": "in_order", **_STREAM}),
    ("relay/rtnetlink", "rtnetlink rig", "relay", "", {"links": "late_input down_and_up"}),
    ("relay/timed", "schedule rig", "relay", "", {"times": "begins_and_ends steps validity"}),
    ("relay/on_trial", "offer rig", "relay", "", {"trial": "confirmed returned on_silence"}),
    ("relay/streams", "streams monitor rig", "relay", "", {"monitor": "loss silent_leg reload_alarm", "merge": "active"}),
    ("relay/health", "rig", "relay", "", {"health": "limited silence slow silence_reload begins_anew"}),
    ("relay/condition", "state rig", "relay", "", {"health": "silence begins_anew", "tell": "failing_output", **_LOAD}),
    ("relay/swap", "offer rig", "relay forward", "", {"trial": "returned", "legs": "reload", "restart": "monitors", **_LOAD}),
    ("relay/", "notify rig", "relay forward", "", {"tell": "start_in_log paths_in_log", "health": "silence_reload", "legs": "reload",
     "trial": "returned", "residence": "alarm", "restart": "monitors", "watch": "applied burst", **_LOAD}),
    ("table/", "table* compiled", "table relay", "explain", {"fanout": "disabled_rule", "ranges": "counterparts", "reload": "counters"}),
    ("compile/", "table* plan state compiled rig", "config broker", "explain", {"links": "late_input", "reload": "counters",
     "legs": "reload one_missing", "start": "missing_wait", **_STREAM}),
    ("broker/audit", "audit rig", "audit broker", "", {"audit": "chain restarts trouble full_disk changed_by_others directory"}),
    ("broker/approve", "trust rig", "broker trust", "", {"signatures": "started none on_change changed_trust"}),
    ("broker/trial", "trial rig", "broker", "", {"trial": "confirmed returned broker_killed restarts"}),
    ("broker/validity", "offer rig", "broker", "", {"times": "begins_and_ends loads validity steps", "attack": "temporary_opening"}),
    ("broker/keep", "keep rig", "broker", "", {"restart": "fresh which_file small_store changed refused_ring hostile",
     "signatures": "kept", "restart_told": "refusal"}),
    ("broker/watch", "offer watch rig", "broker", "", {"watch": "replaced in_place deleted link applied directory_replaced"}),
    ("broker/asker", "asker rig", "broker", "", {"attack": "many_loads record", "reload": "record"}),
    ("broker/offer", "offer rig", "broker", "reload", {"trial": "confirmed returned", **_REQUEST, "restart": "broker_killed which_file"}),
    ("broker/", "offer rig", "broker", "reload", _REQUEST),
    ("sandbox/", "sandbox", "", "", {"attack": "relay_is_refused isolation broker_is_refused broker_files inherited modes",
     "start": "container_rights without_right features"}),
    ("handover/", "handover rig", "broker relay", "", {**_REQUEST, **_LOAD}),
)


def room_of(file):
    """The row of src/FILE; None: it is not mutated."""
    return next((row for row in ROOMS if file.startswith(row[0])), None)
