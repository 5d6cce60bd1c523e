// SPDX-License-Identifier: Apache-2.0
// rig_rules: texts of rules on the rig's machine.
#ifndef MCR_TESTS_UNIT_RIG_RULES_H
#define MCR_TESTS_UNIT_RIG_RULES_H

// A rule of this name and with these keys, from a group to the same one by another interface.
#define RULE(name, keys, in, group, out)                                                                               \
    "{name=\"" name "\";" keys "input={interface=\"" in "\";group=\"239.255.0." group                                  \
    "\";port=5000;};"                                                                                                  \
    "outputs=({interface=\"" out "\";group=\"239.255.1." group "\";port=6000;});}"

// By two legs.
#define MERGED(name, keys, group)                                                                                      \
    "{name=\"" name "\";" keys "inputs=({leg=\"A\";interface=\"in1\";group=\"239.255.0." group                         \
    "\";port=5000;},"                                                                                                  \
    "{leg=\"B\";interface=\"in2\";group=\"239.255.0." group                                                            \
    "\";port=5000;});"                                                                                                 \
    "outputs=({interface=\"out0\";group=\"239.255.1." group "\";port=6000;});}"

#define ONE "rules=(" RULE("one", "", "in0", "1", "out0") ");"

#define TRIAL(keys, rules) "trial={seconds=60;" keys "};rules=(" rules ");"

// In the hour in which the rig begins, at 46:40.
#define TIMED(from, until) "active_from=\"2030-03-17T17:" from "Z\";active_until=\"2030-03-17T17:" until "Z\";"

#endif
