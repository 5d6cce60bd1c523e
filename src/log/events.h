// SPDX-License-Identifier: Apache-2.0
// events: the events of the log: X(NAME, name, levels), in the order of LOG EVENTS of mcrd(8). tests/man.sh compares
// that page with this list.
#ifndef MCR_LOG_EVENTS_H
#define MCR_LOG_EVENTS_H

#define LOG_EVENTS(X)                                                                                                  \
    X(EVENT_FEATURES, features, LOG_AT(NOTICE))                                                                        \
    X(EVENT_STARTED, started, LOG_AT(NOTICE))                                                                          \
    X(EVENT_RELOAD_ASKED, reload_asked, LOG_AT(NOTICE))                                                                \
    X(EVENT_RELOAD, reload, LOG_AT(NOTICE) | LOG_AT(ERR))                                                              \
    X(EVENT_RULE_ADDED, rule_added, LOG_AT(NOTICE))                                                                    \
    X(EVENT_RULE_REMOVED, rule_removed, LOG_AT(NOTICE))                                                                \
    X(EVENT_RULE_CHANGED, rule_changed, LOG_AT(NOTICE))                                                                \
    X(EVENT_LOAD_BEGINS, load_begins, LOG_AT(NOTICE))                                                                  \
    X(EVENT_CONFIRM_ASKED, confirm_asked, LOG_AT(WARNING))                                                             \
    X(EVENT_CONFIRMED, confirmed, LOG_AT(NOTICE))                                                                      \
    X(EVENT_RETURNED, returned, LOG_AT(ERR))                                                                           \
    X(EVENT_LOADS_SUMMED, loads_summed, LOG_AT(NOTICE))                                                                \
    X(EVENT_AUDIT, audit, LOG_AT(ERR) | LOG_AT(NOTICE))                                                                \
    X(EVENT_RULE_TIMES, rule_times, LOG_AT(NOTICE))                                                                    \
    X(EVENT_CONFIG_EXPIRED, config_expired, LOG_AT(ERR))                                                               \
    X(EVENT_CLOCK, clock, LOG_AT(WARNING))                                                                             \
    X(EVENT_RULE_REVOKED, rule_revoked, LOG_AT(ERR))                                                                   \
    X(EVENT_FILE, file, LOG_AT(NOTICE) | LOG_AT(WARNING))                                                              \
    X(EVENT_TRUST, trust, LOG_AT(WARNING))                                                                             \
    X(EVENT_RULE_SILENT, rule_silent, LOG_AT(WARNING))                                                                 \
    X(EVENT_RULE_HEARD, rule_heard, LOG_AT(NOTICE))                                                                    \
    X(EVENT_RULE_SLOW, rule_slow, LOG_AT(WARNING))                                                                     \
    X(EVENT_RULE_IN_TIME, rule_in_time, LOG_AT(NOTICE))                                                                \
    X(EVENT_RULE_DELAYED, rule_delayed, LOG_AT(WARNING))                                                               \
    X(EVENT_RULE_PROMPT, rule_prompt, LOG_AT(NOTICE))                                                                  \
    X(EVENT_LEG_SILENT, leg_silent, LOG_AT(WARNING))                                                                   \
    X(EVENT_LEG_HEARD, leg_heard, LOG_AT(NOTICE))                                                                      \
    X(EVENT_LEG_CLEARED, leg_cleared, LOG_AT(NOTICE))                                                                  \
    X(EVENT_RULE_LOSSY, rule_lossy, LOG_AT(WARNING))                                                                   \
    X(EVENT_RULE_COMPLETE, rule_complete, LOG_AT(NOTICE))                                                              \
    X(EVENT_RULE_JITTERY, rule_jittery, LOG_AT(WARNING))                                                               \
    X(EVENT_RULE_STEADY, rule_steady, LOG_AT(NOTICE))                                                                  \
    X(EVENT_LEG_ACTIVE, leg_active, LOG_AT(NOTICE) | LOG_AT(WARNING))                                                  \
    X(EVENT_RULE_BLOCKED, rule_blocked, LOG_AT(WARNING))                                                               \
    X(EVENT_RULE_UNBLOCKED, rule_unblocked, LOG_AT(NOTICE))                                                            \
    X(EVENT_RULE_LIMITED, rule_limited, LOG_AT(WARNING))                                                               \
    X(EVENT_RULE_WITHIN_LIMIT, rule_within_limit, LOG_AT(NOTICE))                                                      \
    X(EVENT_CONTINUED, continued, LOG_AT(NOTICE) | LOG_AT(WARNING))                                                    \
    X(EVENT_STOPPING, stopping, LOG_AT(NOTICE))                                                                        \
    X(EVENT_START, start, LOG_AT(ERR))                                                                                 \
    X(EVENT_INTERFACE, interface, LOG_AT(NOTICE))                                                                      \
    X(EVENT_RULE, rule, LOG_AT(NOTICE))                                                                                \
    X(EVENT_INTERFACE_MISSING, interface_missing, LOG_AT(WARNING))                                                     \
    X(EVENT_RULE_HIDDEN, rule_hidden, LOG_AT(WARNING))                                                                 \
    X(EVENT_OUTPUT_WAITING, output_waiting, LOG_AT(WARNING))                                                           \
    X(EVENT_OUTPUT_OPENED, output_opened, LOG_AT(INFO))                                                                \
    X(EVENT_PORT_NOT_BOUND, port_not_bound, LOG_AT(NOTICE))                                                            \
    X(EVENT_LINK, link, LOG_AT(INFO) | LOG_AT(WARNING))                                                                \
    X(EVENT_LINKS, links, LOG_AT(ERR))                                                                                 \
    X(EVENT_LINKS_LOST, links_lost, LOG_AT(WARNING))                                                                   \
    X(EVENT_RING, ring, LOG_AT(DEBUG))                                                                                 \
    X(EVENT_WATCH, watch, LOG_AT(WARNING))                                                                             \
    X(EVENT_INPUT_NOT_QUIET, input_not_quiet, LOG_AT(WARNING))                                                         \
    X(EVENT_FEATURE_MISSING, feature_missing, LOG_AT(WARNING))                                                         \
    X(EVENT_BUFFER_SMALL, buffer_small, LOG_AT(INFO))                                                                  \
    X(EVENT_LOOPED, looped, LOG_AT(WARNING))                                                                           \
    X(EVENT_RING_STUCK, ring_stuck, LOG_AT(WARNING))                                                                   \
    X(EVENT_RING_WITHHELD, ring_withheld, LOG_AT(ERR))                                                                 \
    X(EVENT_OFFERS_END, offers_end, LOG_AT(ERR))                                                                       \
    X(EVENT_SEND_FAILED, send_failed, LOG_AT(WARNING))                                                                 \
    X(EVENT_SEND_WORKS, send_works, LOG_AT(NOTICE))                                                                    \
    X(EVENT_GSO_MISSING, gso_missing, LOG_AT(WARNING))                                                                 \
    X(EVENT_TX_RING_MISSING, tx_ring_missing, LOG_AT(WARNING))                                                         \
    X(EVENT_BROKER, broker, LOG_AT(ERR))                                                                               \
    X(EVENT_RELAY, relay, LOG_AT(ERR) | LOG_AT(WARNING))                                                               \
    X(EVENT_LOOP, loop, LOG_AT(ERR) | LOG_AT(WARNING))                                                                 \
    X(EVENT_STATISTICS, statistics, LOG_AT(ERR))                                                                       \
    X(EVENT_RUNNING, running, LOG_AT(WARNING))                                                                         \
    X(EVENT_NOTIFY, notify, LOG_AT(WARNING))                                                                           \
    X(EVENT_FILTER, filter, LOG_AT(WARNING))                                                                           \
    X(EVENT_SANDBOX_DROP, sandbox_drop, LOG_AT(ERR))                                                                   \
    X(EVENT_SANDBOX_USER, sandbox_user, LOG_AT(ERR))                                                                   \
    X(EVENT_SANDBOX_LIMIT, sandbox_limit, LOG_AT(ERR))                                                                 \
    X(EVENT_SANDBOX_LANDLOCK, sandbox_landlock, LOG_AT(ERR))                                                           \
    X(EVENT_SANDBOX_FILTER, sandbox_filter, LOG_AT(ERR))                                                               \
    X(EVENT_SANDBOX_GROUPS, sandbox_groups, LOG_AT(WARNING))                                                           \
    X(EVENT_SANDBOX_BOUNDING, sandbox_bounding, LOG_AT(DEBUG))                                                         \
    X(EVENT_SANDBOX_INHERITABLE, sandbox_inheritable, LOG_AT(DEBUG))

#define LOG_AT(LEVEL) (1 << LOG_LEVEL_##LEVEL)

#define LOG_EVENT_ENUM(NAME, name, levels) NAME,
enum event { LOG_EVENTS(LOG_EVENT_ENUM) EVENTS };

#endif
