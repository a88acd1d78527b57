# shellcheck shell=sh
# What the hooks of the demo have in common; read by them, not run.
# DEMO_RUN, DEMO_PYTHON, DEMO_SERVICE and DEMO_AT come with the daemon's environment, HAD_NODE from the daemon.

# Whether this node's web service is up.  A number alone proves nothing, it may be another process by now; and
# a zombie has no command line.
is_up() {
    pid=  # also for who calls this
    pid=$(cat "$DEMO_RUN/$HAD_NODE/service.pid" 2>/dev/null) &&
        grep -qsF "$DEMO_RUN/$HAD_NODE" "/proc/$pid/cmdline"
}
