// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "sandbox/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "log/log.h"

// Returns whether the capability sets of this process hold exactly what the role may keep. The inheritable set gives no
// right without execve(2) and with no_new_privs, so it may stay if capset(2) is refused, as under the project's systemd
// units.
static bool capabilities_are(enum sandbox_role role, bool inheritable_may_stay)
{
    capng_clear(CAPNG_SELECT_ALL);
    if (capng_get_caps_process() != 0)
        return false;
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
        bool keep = role == SANDBOX_BROKER && cap == CAP_NET_RAW;
        if (capng_have_capability(CAPNG_EFFECTIVE, (unsigned) cap) != keep ||
            capng_have_capability(CAPNG_PERMITTED, (unsigned) cap) != keep ||
            (capng_have_capability(CAPNG_INHERITABLE, (unsigned) cap) && !inheritable_may_stay) ||
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
            return false;
    }
    return true;
}

// Returns whether the bounding set can be reduced, which needs CAP_SETPCAP. Without it libcap-ng logs an error to
// syslog and leaves its socket open, so it must not try.
static bool may_cut_bounds(void)
{
    capng_clear(CAPNG_SELECT_ALL);
    return capng_get_caps_process() == 0 && capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
}

static bool bounds_are_empty(void)
{
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            return false;
    return true;
}

static void choose_capabilities(enum sandbox_role role)
{
    capng_clear(CAPNG_SELECT_ALL);
    if (role == SANDBOX_BROKER)
        capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_RAW);
}

// Drops the supplementary groups. This needs CAP_SETGID, and is impossible in a user namespace that denies setgroups(2)
// (user_namespaces(7)); there the groups give no right that the invoking user does not have.
static bool drop_groups(void)
{
    gid_t one;
    int n;

    if (setgroups(0, NULL) == 0 || (n = getgroups(0, NULL)) == 0)
        return true;
    // systemd adds the unit's own group to them, which gives no further right.
    if (n == 1 && getgroups(1, &one) == 1 && one == getegid())
        return true;
    if (geteuid() == 0 && errno != EPERM)
        return false;
    log_warn(EVENT_SANDBOX_GROUPS, "kept=%d reason=\"not permitted to give up supplementary groups\"",
             getgroups(0, NULL));
    return true;
}

static bool drop_capabilities(enum sandbox_role role)
{
    bool cut = may_cut_bounds();

    choose_capabilities(role);
    if (cut && (capng_apply(CAPNG_SELECT_BOUNDS) != 0 || !bounds_are_empty()))
        return false;
    if (!bounds_are_empty())
        log_debug(EVENT_SANDBOX_BOUNDING, "kept=yes");
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return false;
    if (capabilities_are(role, false))
        return true;
    choose_capabilities(role);
    if (capng_apply(CAPNG_SELECT_CAPS) == 0)
        return capabilities_are(role, false);
    log_debug(EVENT_SANDBOX_INHERITABLE, "kept=yes");
    return capabilities_are(role, true);
}

static bool ids_are(uid_t uid, gid_t gid)
{
    return getuid() == uid && geteuid() == uid && getgid() == gid && getegid() == gid;
}

static bool change_ids(enum sandbox_role role, uid_t uid, gid_t gid)
{
    if (ids_are(uid, gid))
        return drop_groups();
    // capng_change_id() keeps the chosen capabilities across the change of user; capng_apply() alone would lose them.
    choose_capabilities(role);
    int rc = capng_change_id((int) uid, (int) gid, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING);
    if (rc != 0)
        log_error(EVENT_SANDBOX_USER, "uid=%u gid=%u rc=%d reason=\"cannot become this user and group\"",
                  (unsigned) uid, (unsigned) gid, rc);
    return rc == 0;
}

bool sandbox_drop(enum sandbox_role role, uid_t uid, gid_t gid)
{
    const char *name = sandbox_role_name(role);
    bool cut = may_cut_bounds(); // no longer when the user has changed

    if (!change_ids(role, uid, gid) || !drop_capabilities(role)) {
        log_errno(LOG_LEVEL_ERR, EVENT_SANDBOX_DROP,
                  "role=%s uid=%u gid=%u reason=\"start as root or with CAP_NET_RAW\"", name, (unsigned) uid,
                  (unsigned) gid);
        return false;
    }
    // This comes after the change of user, which changes whether the process is dumpable.
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        log_errno(LOG_LEVEL_ERR, EVENT_SANDBOX_DROP, "role=%s", name);
        return false;
    }
    if (!ids_are(uid, gid) || !capabilities_are(role, true) || (cut && !bounds_are_empty()) ||
        prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) {
        log_error(EVENT_SANDBOX_DROP, "role=%s reason=\"rights are not as they must be after the drop\"", name);
        return false;
    }
    return true;
}

uint64_t sandbox_capabilities(void)
{
    uint64_t set = 0;

    capng_clear(CAPNG_SELECT_ALL);
    if (capng_get_caps_process() != 0)
        return UINT64_MAX;
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (capng_have_capability(CAPNG_EFFECTIVE, (unsigned) cap) ||
            capng_have_capability(CAPNG_PERMITTED, (unsigned) cap))
            set |= UINT64_C(1) << cap;
    return set;
}
